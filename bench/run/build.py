"""Build the object that a typed config node names."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

from bench.errors import UserError
from bench.run.datafiles import recorded
from bench.run.loading import load


def build(group: str, node: Mapping[str, Any], *supplied: Any, **more: Any) -> Any:
    """`_target_(*supplied, **node)`. A constructor's ValueError becomes a UserError that names the config group.

    The files that a data set opens are recorded.
    """
    arguments = {name: value for name, value in node.items() if name != "_target_"}
    try:
        with recorded() if group == "dataset" else nullcontext():
            return load(str(node["_target_"]))(*supplied, **more, **arguments)
    except ValueError as error:
        raise UserError(f"{group}: {error}") from error
