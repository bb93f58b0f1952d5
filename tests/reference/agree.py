"""Does a program say what its naive reference says? Names first, then numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def same_rows(
    found: Sequence[Mapping[str, Any]], wanted: Sequence[Mapping[str, Any]], rel: float, loose: Mapping[str, float] = {}
) -> set[str]:
    """The names that were compared: in each row all of them, in the order of the rows.

    Args:
        found: what the program logged.
        wanted: what the reference says.
        rel: relative difference that rounding explains; numbers below 1 in size are compared to `rel` times their size too, but to no less
            than 1e-15.
        loose: of a name, a larger one.
    """
    assert len(found) == len(wanted)
    names: set[str] = set()
    for k, (one, other) in enumerate(zip(found, wanted)):
        assert set(one) == set(other), f"row {k}"
        for name, value in other.items():
            assert close(one[name], value, loose.get(name, rel)), f"row {k}, {name}: {one[name]!r}, reference {value!r}"
        names |= set(other)
    return names


def close(found: Any, wanted: float, rel: float) -> bool:
    """A number that is not finite is written as null; counts are equal; all others to `rel`."""
    if not math.isfinite(wanted):
        return found is None
    if found is None:
        return False
    if isinstance(wanted, int):
        return found == wanted
    return math.isclose(found, wanted, rel_tol=rel, abs_tol=1e-15)


def all_compared(compared: Iterable[str], note: Any, *apart: str) -> None:
    """Every metric that a task's note names was among those compared, but for those that are said here to lie apart."""
    assert set(note.metrics) - set(compared) == set(apart)
