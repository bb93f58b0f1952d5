"""Build the object that a typed config node names."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from contextlib import nullcontext
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


def _made(group: str, node: Mapping[str, Any], supplied: tuple[Any, ...], more: Mapping[str, Any]) -> Any:
    arguments = {name: value for name, value in node.items() if name not in OURS}
    try:
        with recorded(*arguments.values()) if group in READ else nullcontext():
            return load(str(node["_target_"]))(*supplied, **more, **arguments)
    except ValueError as error:
        at = f"{type(error).__name__} at {own_line(error)}: " if group == "dataset" and from_library(error) else ""
        raise UserError(f"{group}: {at}{in_one_line(error)}") from error
    except UNREADABLE as error:
        if group != "dataset":
            raise
        said = f"{error.strerror}: {error.filename}" if isinstance(error, OSError) and error.filename else str(error)
        raise UserError(f"dataset: {type(error).__name__} at {own_line(error)}: {in_one_line(said)}") from error
