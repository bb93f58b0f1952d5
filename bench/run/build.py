"""Build the object that a typed config node names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hydra.utils import get_object

from bench.errors import UserError


def build(group: str, node: Mapping[str, Any], *supplied: Any, **more: Any) -> Any:
    """`_target_(*supplied, **node)`. A constructor's ValueError becomes a UserError that names the config group."""
    arguments = {name: value for name, value in node.items() if name != "_target_"}
    try:
        return get_object(str(node["_target_"]))(*supplied, **more, **arguments)
    except ValueError as error:
        raise UserError(f"{group}: {error}") from error
