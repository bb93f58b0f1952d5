"""Comparing what a run of the program reports with what a reference says: names exactly, whole numbers exactly, others to rounding."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]


def same(found: Sequence[Row], wanted: Sequence[Row], rel: float = 1e-9, floor: float = 1e-12) -> None:
    """Rows in the same order with the same names and numbers; a number that is not finite is None in the program's files.

    Args:
        rel: largest relative difference.
        floor: difference that is rounding whatever the size of the number.
    """
    assert len(found) == len(wanted), f"{len(found)} rows, {len(wanted)} by the reference"
    for place, (row, other) in enumerate(zip(found, wanted)):
        assert set(row) == set(other), f"row {place}: names {set(row) ^ set(other)} stand on one side only"
        for name, value in other.items():
            problem = _differs(row[name], value, rel, floor)
            assert not problem, f"row {place} of {other}: {name} = {row[name]}, the reference has {value}"


def _differs(found: Any, wanted: Any, rel: float, floor: float) -> bool:
    if wanted is None or (isinstance(wanted, float) and not math.isfinite(wanted)):
        return found is not None
    if found is None:
        return True
    if isinstance(wanted, int | str):
        return found != wanted
    return not math.isclose(found, wanted, rel_tol=rel, abs_tol=floor)
