"""The arguments of a `_target_`, read from its source: validation and planning never import torch.

The star rule: arguments before `*` are supplied by the code that builds the object, arguments after it are its config keys. A constructor that
ends in `**shared`, of any name, hands these on to the next one in Python's order of its class's bases and has its keys too: a family writes each key once.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from bench import types
from bench.errors import UserError
from bench.run.paths import ROOT

REQUIRED = object()


@dataclass(frozen=True)
class Signature:
    """Config keys of a constructor: name -> (annotation, default or REQUIRED), and the file that defines it."""

    keys: dict[str, tuple[Any, Any]]
    supplied: tuple[str, ...]
    file: Path


def source_file(module: str) -> Path | None:
    """The file of a module, found without importing its parents."""
    for base in (ROOT, *map(Path, sys.path)):
        for path in (
            base.joinpath(*module.split(".")).with_suffix(".py"),
            base.joinpath(*module.split("."), "__init__.py"),
        ):
            if path.is_file():
                return path
    return None


@cache
def parse(path: Path) -> ast.Module:
    """The syntax tree of a file, parsed once per process."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


Definition = tuple[ast.AST, Path, str]  # of a class or function, its file and its module


def _find(module: str, name: str) -> Definition | None:
    """The definition of `module.name`, following `from x import name` re-exports."""
    path = source_file(module)
    if path is None:
        return None
    for node in parse(path).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return node, path, module
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return _find(imported_from(node, path, module), alias.name)
    return None


def imported_from(node: ast.ImportFrom, path: Path, module: str) -> str:
    """The module that `from x import y` in a module's file names; `from .x` counts from the file's package."""
    parts = module.split(".")
    package = parts[: len(parts) - node.level + (path.name == "__init__.py")] if node.level else []
    return ".".join([*package, *([node.module] if node.module else [])])


def _bases(found: Definition) -> list[Definition]:
    """The bases of a class whose source can be read."""
    node, _, module = found
    assert isinstance(node, ast.ClassDef)
    bases = [_find(module, base.id) for base in node.bases if isinstance(base, ast.Name)]
    return [base for base in bases if base is not None and isinstance(base[0], ast.ClassDef)]


def _order(found: Definition) -> Iterator[Definition]:
    """A class and what it inherits from, as far as it can be read, in Python's order (C3); no further than is asked for."""
    yield found
    bases = _bases(found)
    if len(bases) == 1:
        yield from _order(bases[0])
        return
    lines = [*([*_order(base)] for base in bases), bases]
    while lines := [line for line in lines if line]:
        first = next((line[0] for line in lines if not any(line[0] in other[1:] for other in lines)), lines[0][0])
        yield first
        lines = [[one for one in line if one != first] for line in lines]


def _constructors(found: Definition) -> Iterator[tuple[ast.FunctionDef, Path]]:
    """What is called to build a function's value or a class's object, then what that hands `**shared` on to; with their files."""
    if isinstance(found[0], ast.FunctionDef):
        yield found[0], found[1]
        return
    for node, path, _ in _order(found):
        assert isinstance(node, ast.ClassDef)
        for item in node.body:
            if isinstance(item, ast.FunctionDef) and item.name == "__init__":
                yield item, path
                if item.args.kwarg is None:
                    return


def _ours(found: Definition) -> bool:
    """Are the class and all its bases in source that can be read?"""
    node = found[0]
    if not isinstance(node, ast.ClassDef):
        return False
    bases = _bases(found)
    return len(bases) == len(node.bases) and all(map(_ours, bases))


def _keys(constructors: Iterable[tuple[ast.FunctionDef, Path]]) -> dict[str, tuple[Any, Any]]:
    """Config keys, those that are handed on first; what a constructor redefines is its own."""
    found: list[dict[str, tuple[Any, Any]]] = []
    for node, path in constructors:
        pairs = zip(node.args.kwonlyargs, node.args.kw_defaults)
        found.append({arg.arg: (_annotation(arg.annotation), _default(arg.arg, value, path)) for arg, value in pairs})
    return {name: key for own in reversed(found) for name, key in own.items()}


def _default(name: str, value: ast.expr | None, path: Path) -> Any:
    try:
        return REQUIRED if value is None else ast.literal_eval(value)
    except ValueError:
        raise UserError(
            f"{path}, line {value.lineno}: the default of '{name}' is {ast.unparse(value)}; that of a config key is a plain value, as 0.1"
        ) from None


def _annotation(node: ast.expr | None) -> Any:
    if node is None:
        return Any
    try:
        return eval(ast.unparse(node), dict(vars(types)))
    except (NameError, TypeError):  # of a library, or no type
        return Any


@cache
def signature(target: str) -> Signature:
    """Config keys of `target` ("package.module.Name"). UserError when there is no such definition."""
    module, _, name = target.rpartition(".")
    found = _find(module, name) if module else None
    if found is None:
        return _imported(target)
    constructors = list(_constructors(found))
    if not constructors:
        return Signature({}, (), found[1]) if _ours(found) else _imported(target)
    args = constructors[0][0].args
    supplied = tuple(a.arg for a in (*args.posonlyargs, *args.args) if a.arg != "self")
    return Signature(_keys(constructors), supplied, found[1])


def _imported(target: str) -> Signature:
    """For targets whose source is not readable as ours (a library's class): import it; keys are not typed."""
    import inspect

    from hydra.utils import get_object

    try:
        obj = get_object(target)
        parameters = list(inspect.signature(obj).parameters.values())[1:]
    except Exception as error:
        raise UserError(f"_target_ = '{target}': no such class or function ({error.__class__.__name__})") from None
    keys = {
        p.name: (Any, REQUIRED if p.default is p.empty else p.default)
        for p in parameters
        if p.kind is not p.VAR_KEYWORD
    }
    return Signature(keys, ("params",), Path(inspect.getfile(obj)))
