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


def _find(module: str, name: str) -> tuple[ast.AST, Path, str] | None:
    """The definition of `module.name`, its file and its module, following `from x import name` re-exports."""
    path = source_file(module)
    if path is None:
        return None
    for node in parse(path).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return node, path, module
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return _find(node.module, alias.name)
    return None


@dataclass(frozen=True)
class _Constructor:
    """A function or an `__init__`, the module that defines it, and the bases that come after its class."""

    node: ast.FunctionDef
    module: str
    bases: tuple[ast.expr, ...]


def _constructor(node: ast.AST, module: str) -> _Constructor | None:
    """What is called to build a function's value or a class's object; None where no source of ours says it."""
    if isinstance(node, ast.FunctionDef):
        return _Constructor(node, module, ())
    assert isinstance(node, ast.ClassDef)
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            return _Constructor(item, module, tuple(node.bases))
    return _inherited(tuple(node.bases), module)


def _inherited(bases: tuple[ast.expr, ...], module: str) -> _Constructor | None:
    """The first constructor of the bases, in Python's order for classes without a diamond."""
    for base in bases:
        found = _find(module, base.id) if isinstance(base, ast.Name) else None
        if found and (constructor := _constructor(found[0], found[2])):
            return constructor
    return None


def _ours(node: ast.AST, module: str) -> bool:
    """Are the class and all its bases in source that can be read?"""
    if not isinstance(node, ast.ClassDef):
        return False
    found = [_find(module, base.id) if isinstance(base, ast.Name) else None for base in node.bases]
    return all(base is not None and _ours(base[0], base[2]) for base in found)


def _keys(constructor: _Constructor) -> dict[str, tuple[Any, Any]]:
    """Config keys, those of the bases first where the constructor hands on `**shared`; what it redefines is its own."""
    args = constructor.node.args
    own = {
        arg.arg: (_annotation(arg.annotation), REQUIRED if default is None else ast.literal_eval(default))
        for arg, default in zip(args.kwonlyargs, args.kw_defaults)
    }
    above = _inherited(constructor.bases, constructor.module) if args.kwarg else None
    return (_keys(above) if above else {}) | own


def _annotation(node: ast.expr | None) -> Any:
    if node is None:
        return Any
    try:
        return eval(ast.unparse(node), dict(vars(types)))
    except NameError:
        return Any


@cache
def signature(target: str) -> Signature:
    """Config keys of `target` ("package.module.Name"). UserError when there is no such definition."""
    module, _, name = target.rpartition(".")
    found = _find(module, name) if module else None
    if found is None:
        return _imported(target)
    constructor = _constructor(found[0], found[2])
    if constructor is None:
        return Signature({}, (), found[1]) if _ours(found[0], found[2]) else _imported(target)
    args = constructor.node.args
    supplied = tuple(a.arg for a in (*args.posonlyargs, *args.args) if a.arg != "self")
    return Signature(_keys(constructor), supplied, found[1])


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
