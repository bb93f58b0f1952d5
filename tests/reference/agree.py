"""Does a program say what its naive reference says? Names first, then numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Row = dict[str, Any]


def same_rows(
    found: Sequence[Mapping[str, Any]],
    wanted: Sequence[Mapping[str, Any]],
    rel: float = 1e-9,
    loose: Mapping[str, float] = {},
    *,
    floor: float = 1e-15,
    part: float = 0.0,
) -> set[str]:
    """The names that were compared: in each row all of them, in the order of the rows.

    Args:
        found: what the program logged.
        wanted: what the reference says.
        rel: relative difference that rounding explains.
        loose: of a name, a larger one.
        floor, part: difference that is rounding whatever the size of a number: `floor`, or `part` of its relative one where that is more.
    """
    assert len(found) == len(wanted), f"{len(found)} rows, {len(wanted)} by the reference"
    names: set[str] = set()
    for k, (one, other) in enumerate(zip(found, wanted)):
        assert set(one) == set(other), f"row {k}: names {set(one) ^ set(other)} stand on one side only"
        for name, value in other.items():
            tolerance = loose.get(name, rel)
            near = close(one[name], value, tolerance, max(floor, part * tolerance))
            assert near, f"row {k} of {other}: {name} = {one[name]!r}, reference {value!r}"
        names |= set(other)
    return names


def close(found: Any, wanted: Any, rel: float, floor: float) -> bool:
    """A number that is not finite is written as null; counts and names are equal; all others to `rel` or `floor`."""
    if wanted is None or (isinstance(wanted, float) and not math.isfinite(wanted)):
        return found is None
    if found is None:
        return False
    if isinstance(wanted, int | str):
        return found == wanted
    return math.isclose(found, wanted, rel_tol=rel, abs_tol=floor)


def all_compared(compared: Iterable[str], note: Any, *apart: str) -> None:
    """Every metric that a task's note names was among those compared, but for those that are said here to lie apart."""
    assert set(note.metrics) - set(compared) == set(apart)
