"""Step sizes that a theory gives for a number of steps and a dimension."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.errors import UserError


def scaled(node: Mapping[str, Any], factors: Mapping[str, float] | None) -> dict[str, Any]:
    """A method's keys, `lr` and `beta` times a theory's factors, beta at most 1; None: no theory, keys as they are.

    Raises:
        UserError: a beta above 1 that is no multiple of a theory's.
    """
    if factors is None:
        if node.get("beta", 1.0) > 1:
            beta = node["beta"]
            raise UserError(f"method.beta = {beta}: the weight of the new gradient is at most 1; or task.theory=true")
        return dict(node)
    found = dict(node) | {key: node[key] * factor for key, factor in factors.items() if key in node}
    return found | ({"beta": min(1.0, found["beta"])} if "beta" in found else {})
