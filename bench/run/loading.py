"""The class or function that a checked `_target_` names; a file that cannot be imported is one line."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any

from bench.errors import UserError
from bench.run.crash import own_line, shown


def load_module(name: str) -> ModuleType:
    """Import a module.

    Raises:
        UserError: it or what it imports is not there, or is no Python; with file and line.
    """
    try:
        return import_module(name)
    except SyntaxError as error:
        raise UserError(f"{shown(error.filename or name)}:{error.lineno}: {error.msg}") from error
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError) and f"{name}.".startswith(f"{error.name}."):
            raise UserError(f"no such class or function: there is no module '{error.name}'") from None
        hint = f"; install '{error.name}', or correct the import" if isinstance(error, ModuleNotFoundError) else ""
        raise UserError(f"{own_line(error) or name}: {error}{hint}") from error


def load(target: str) -> Any:
    """The object "package.module.Name".

    Raises:
        UserError: as load_module, or the module has no such name.
    """
    module, _, name = target.rpartition(".")
    try:
        return getattr(load_module(module), name)
    except AttributeError as error:
        if getattr(error, "name", None) != name:
            raise
        raise UserError(f"_target_ = '{target}': no such class or function") from None
