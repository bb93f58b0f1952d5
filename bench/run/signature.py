"""The arguments of a `_target_`, read from its source: validation and planning never import torch.

The star rule: arguments before `*` are supplied by the code that builds the object, arguments after it are its config keys. A constructor that
ends in `**shared`, of any name, hands these on to the next one up its bases and has its keys too: a family writes each key once.
"""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from bench import types
from bench.errors import UserError
from bench.run.crash import LIBRARIES, shown
from bench.run.loading import load
from bench.run.paths import ROOT

REQUIRED = object()


@dataclass(frozen=True)
class Signature:
    """Config keys of a constructor: name -> (annotation, default or REQUIRED), and the file that defines it."""

    keys: dict[str, tuple[Any, Any]]
    supplied: tuple[str, ...]
    file: Path


@dataclass(frozen=True)
class Definition:
    """A class or function by its full name "package.module.Name"; a library's has no node, one without a source no file either."""

    name: str
    node: ast.ClassDef | ast.FunctionDef | None = None
    file: Path | None = None

    @property
    def source(self) -> Path:
        """The file of one that has a node."""
        assert self.file is not None
        return self.file


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
    """The syntax tree of a file as it is when it is first asked for; UserError as `tree_of`."""
    return tree_of(path.read_text(encoding="utf-8"), path)


def tree_of(text: str, path: Path) -> ast.Module:
    """The syntax tree of a file's text.

    Raises:
        UserError: it is no Python.
    """
    try:
        return ast.parse(text, filename=str(path))
    except SyntaxError as error:
        raise UserError(f"{shown(path)}:{error.lineno}: {error.msg}") from None
    except (ValueError, RecursionError) as error:  # bytes that are not UTF-8, a null byte, thousands of brackets
        raise UserError(f"{shown(path)}: no Python source ({error})") from None


def _find(name: str) -> Definition:
    """The definition of "package.module.Name", following imports; that of a library stays unread."""
    module, _, last = name.rpartition(".")
    path = source_file(module) if module else None
    if path is None or LIBRARIES & set(path.parts):
        return Definition(name, None, path)
    for node in parse(path).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == last:
            return Definition(name, node, path)
    origin = _imported_from(path, last, module)
    return _find(origin) if origin else Definition(name)


def takes_one(target: str) -> bool | None:
    """Can the function "package.module.name" be called with one argument by its place? None: the source does not tell, as of a library's.

    Raises:
        UserError: its module's source defines, imports and computes no such function.
    """
    found = _find(target)
    module, _, name = target.rpartition(".")
    path = source_file(module)
    if found.node is None and found.file is None and path is not None and not LIBRARIES & set(path.parts):
        values = [
            line.value
            for line in parse(path).body
            if isinstance(line, ast.Assign) and name in map(ast.unparse, line.targets)
        ]
        if not any(isinstance(value, ast.Call | ast.Lambda | ast.Name | ast.Attribute) for value in values):
            raise UserError(f"no function '{name}' in {module}")
    if not isinstance(found.node, ast.FunctionDef):
        return None
    args = found.node.args
    needed = len(args.posonlyargs) + len(args.args) - len(args.defaults)
    return needed <= 1 <= len(args.posonlyargs) + len(args.args) and None not in args.kw_defaults


def origin(target: str) -> str:
    """The full name under which "package.module.Name" was defined, as far as imports of sources that are no library's tell."""
    return _find(target).name


def imported_from(node: ast.ImportFrom, path: Path, module: str) -> str:
    """The module that `from x import y` in a module's file names; `from .x` counts from the file's package."""
    parts = module.split(".")
    package = parts[: len(parts) - node.level + (path.name == "__init__.py")] if node.level else []
    return ".".join([*package, *([node.module] if node.module else [])])


def _imported_from(path: Path, name: str, module: str) -> str | None:
    """The full name of what a module's imports call `name` (`Base`, `module.Base`); None: it is not imported."""
    first, *rest = name.split(".")
    for node in parse(path).body:
        if isinstance(node, ast.Import):
            for alias in node.names:
                if (alias.asname or alias.name.split(".")[0]) == first:
                    return ".".join((alias.name if alias.asname else first, *rest))
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (alias.asname or alias.name) == first:
                    return ".".join((imported_from(node, path, module), alias.name, *rest))
    return None


def _bases(found: Definition) -> list[Definition]:
    """The direct bases of a class."""
    if not isinstance(found.node, ast.ClassDef):
        return []
    own = found.name.rpartition(".")[0]
    names = [ast.unparse(base) for base in found.node.bases]
    return [_find(_imported_from(found.source, name, own) or f"{own}.{name}") for name in names]


def _resolution_order(found: Definition) -> list[Definition]:
    """A class and its bases from below, each after all that derive from it."""
    below = [found, *(one for base in _bases(found) for one in _resolution_order(base))]
    return list(dict.fromkeys(reversed(below)))[::-1]


def _constructor(node: ast.ClassDef | ast.FunctionDef) -> ast.FunctionDef | None:
    if isinstance(node, ast.FunctionDef):
        return node
    return next((item for item in node.body if isinstance(item, ast.FunctionDef) and item.name == "__init__"), None)


def _constructors(found: Definition) -> list[tuple[ast.FunctionDef, Path]] | None:
    """The constructor with its file and, as long as one ends in `**shared`, the next one up; a library's keys are not ours to hand on.

    Empty: there is none. None: a library's class has it, or there is no such definition.
    """
    chain: list[tuple[ast.FunctionDef, Path]] = []
    for one in _resolution_order(found):
        if one.node is None:
            if chain and one.file is None:
                raise UserError(_unknown_keys(found, chain, f"'{one.name}', which has no source to read"))
            return chain or None
        if function := _constructor(one.node):
            chain.append((function, one.source))
            if function.args.kwarg is None:
                return chain
    if chain:
        raise UserError(_unknown_keys(found, chain, "a base, but no base has a constructor"))
    return chain


def _unknown_keys(found: Definition, chain: list[tuple[ast.FunctionDef, Path]], whose: str) -> str:
    shared = chain[-1][0].args.kwarg
    assert shared is not None
    return f"_target_ = '{found.name}': **{shared.arg} stands for the keys of {whose}; write these keys out"


def own_file(module: str) -> Path | None:
    """The file of this repository that holds a module; None for a library's, or where there is none."""
    path = source_file(module)
    return path if path and path.is_relative_to(ROOT) and ".venv" not in path.parts else None


def _annotation(node: ast.expr | None, file: Path) -> Any:
    """The type that an annotation names in bench.types' words, or through a name that its file, or one of ours that it imports from, gives one."""
    if node is None:
        return Any
    words = dict(vars(types))
    named = {name.id for name in ast.walk(node) if isinstance(name, ast.Name)} - set(words)
    for line in parse(file).body if named else ():
        if isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name) and line.targets[0].id in named:
            words[line.targets[0].id] = _annotation(line.value, file)
        elif isinstance(line, ast.ImportFrom) and line.module and not line.level:
            for alias in line.names:
                path = own_file(line.module) if (name := alias.asname or alias.name) in named else None
                if path and (kind := _annotation(ast.Name(alias.name), path)) is not Any:
                    words[name] = kind
    try:
        return eval(ast.unparse(node), words)
    except (NameError, TypeError):  # of a library, or no type
        return Any


def _default(found: Definition, name: str, node: ast.expr | None) -> Any:
    if node is None:
        return REQUIRED
    try:
        return ast.literal_eval(node)
    except ValueError:
        raise UserError(
            f"_target_ = '{found.name}': the default of '{name}' is {ast.unparse(node)}; a key's default is a literal"
        ) from None


def _supplied(function: ast.FunctionDef) -> tuple[str, ...]:
    return tuple(arg.arg for arg in (*function.args.posonlyargs, *function.args.args) if arg.arg != "self")


@cache
def signature(target: str) -> Signature:
    """Config keys of `target` ("package.module.Name"), a base's first; a key that is written again lower counts as written there.

    Raises:
        UserError: there is no such definition, or its keys cannot be read from its source and its bases'.
    """
    found = _find(target)
    constructors = _constructors(found)
    if constructors is None:
        return _imported(target)
    keys: dict[str, tuple[Any, Any]] = {}
    for function, file in reversed(constructors):
        args = function.args
        own = {
            arg.arg: (_annotation(arg.annotation, file), _default(found, arg.arg, default))
            for arg, default in zip(args.kwonlyargs, args.kw_defaults)
        }
        keys = {name: key for name, key in keys.items() if name not in _supplied(function)} | own
    return Signature(keys, _supplied(constructors[0][0]) if constructors else (), found.source)


def _imported(target: str) -> Signature:
    """For targets whose source is not readable as ours (a library's class): import it; keys are not typed."""
    import inspect

    try:
        obj = load(target)
        parameters = list(inspect.signature(obj).parameters.values())[1:]
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"_target_ = '{target}': no class or function ({error.__class__.__name__}: {error})") from None
    keys = {
        p.name: (Any, REQUIRED if p.default is p.empty else p.default)
        for p in parameters
        if p.kind is not p.VAR_KEYWORD
    }
    return Signature(keys, ("params",), Path(inspect.getfile(obj)))
