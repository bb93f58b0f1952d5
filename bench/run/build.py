"""Build the object that a typed config node names."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from contextlib import nullcontext
from functools import partial
from pickle import UnpicklingError
from typing import Any

from bench.errors import UserError, in_one_line
from bench.run.ahead import handed
from bench.run.crash import from_library, own_line
from bench.run.datafiles import recorded
from bench.run.loading import load

READ = ("dataset", "model")  # the groups whose files are part of the data
OURS = ("_target_", "verify")  # keys that are no argument
UNREADABLE = (
    OSError,
    EOFError,
    LookupError,
    zipfile.BadZipFile,
    zlib.error,
    UnpicklingError,
)  # of a file, not of the code


def build(group: str, node: Mapping[str, Any], *supplied: Any, **more: Any) -> Any:
    """`_target_(*supplied, **node)`. A constructor's ValueError becomes a UserError that names the config group.

    The files that a data set or a model opens are recorded, and what a data set meets when it reads them (no such file, no such array)
    is a UserError that names the line of its function.
    """

    def make() -> Any:
        return _made(group, node, supplied, more)

    return handed((dict(node), supplied, more), make) if group == "dataset" else make()


def arguments(node: Mapping[str, Any]) -> dict[str, Any]:
    """What a node's keys are to its constructor: themselves, but where one holds a node that names a class, a function that builds it."""
    return {name: _function(value) for name, value in node.items() if name not in OURS}


def _function(value: Any) -> Any:
    named = isinstance(value, Mapping) and "_target_" in value
    return partial(load(str(value["_target_"])), **arguments(value)) if named else value


def _made(group: str, node: Mapping[str, Any], supplied: tuple[Any, ...], more: Mapping[str, Any]) -> Any:
    given = arguments(node)
    try:
        with recorded(*given.values()) if group in READ else nullcontext():
            return load(str(node["_target_"]))(*supplied, **more, **given)
    except ValueError as error:
        at = f"{type(error).__name__} at {own_line(error)}: " if group == "dataset" and from_library(error) else ""
        raise UserError(f"{group}: {at}{in_one_line(error)}") from error
    except UNREADABLE as error:
        if group != "dataset":
            raise
        said = f"{error.strerror}: {error.filename}" if isinstance(error, OSError) and error.filename else str(error)
        raise UserError(f"dataset: {type(error).__name__} at {own_line(error)}: {in_one_line(said)}") from error
