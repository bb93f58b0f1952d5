"""The code a result depends on: the task's, method's, data set's and model's files and what they import from this repository."""

from __future__ import annotations

import ast
import hashlib
import io
import tokenize
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from bench.run.memo import OfFiles
from bench.run.paths import ROOT
from bench.run.signature import imported_from, own_file, tree_of

# How a run is asked for and stored, never what it computes: editing these makes no result stale.
MECHANICS = {"bench/errors.py", "bench/types.py"} | {
    f"bench/run/{name}.py"
    for name in (
        "ahead", "atomic", "build", "checkpoint", "clock", "codehash", "config", "crash", "curve", "datafiles", "files", "gpu", "identity", "job",
        "known", "limits", "loading", "locks", "memo", "notes", "options", "paths", "progress", "refusal", "registry", "resolvers", "result", "schema",
        "signature", "stopping", "store", "targets", "world", "yaml_files",
    )
}  # fmt: skip


def _facts(path: Path) -> list[object]:
    """What this module needs of a file: the names that it imports, and a digest of its meaning."""
    names: set[str] = set()
    text = path.read_text(encoding="utf-8")
    tree = tree_of(text, path)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (module := imported_from(node, path, _module(path))):
            names.update((module, *(f"{module}.{alias.name}" for alias in node.names)))
    return [sorted(names), hashlib.sha256(meaning(text, tree).encode()).hexdigest()]


def _module(path: Path) -> str:
    """A file of this repository by its module's name; of a package's __init__.py, the package's."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


_of_file = OfFiles("code", "3", _facts)


@cache
def _imported_files(path: Path) -> frozenset[Path]:
    """Files of this repository that one file imports."""
    return frozenset(file for name in _of_file(path)[0] if (file := _own(name)) is not None)


_own = cache(own_file)


def files_of(modules: Iterable[str]) -> list[Path]:
    """Files of this repository that `modules` reach through imports, sorted."""
    seen: set[Path] = set()
    todo = [file for module in modules if (file := _own(module)) is not None]
    while todo:
        path = todo.pop()
        if path not in seen:
            seen.add(path)
            todo.extend(_imported_files(path))
    return sorted(seen)


def meaning(text: str, tree: ast.Module) -> str:
    """A source without comments, docstrings and blank lines: editing those makes no result stale."""
    lines = text.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            and ast.get_docstring(node, clean=False) is not None
        ):
            doc = node.body[0]
            for row in range(doc.lineno - 1, doc.end_lineno or doc.lineno):
                lines[row] = ""
    return "\n".join(line.rstrip() for line in lines if line.strip())


@cache
def code_hash(targets: frozenset[str]) -> str:
    """12 hex digits over the meaning of every file that the targets ("package.module.Name") reach."""
    digest = hashlib.sha256()
    for path in files_of(target.rpartition(".")[0] for target in targets):
        name = str(path.relative_to(ROOT))
        if name not in MECHANICS:
            digest.update(f"{name}\0{_of_file(path)[1]}\0".encode())
    return digest.hexdigest()[:12]
