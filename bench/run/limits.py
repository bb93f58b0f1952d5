"""Sizes and numbers that no machine has: what was asked for by mistake ends in one line that says which keys are to blame."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from bench.errors import UserError

UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB", "EB")
ASKED = re.compile(r"tried to allocate (\d+) bytes|Tried to allocate ([\d.]+ \w+)|Unable to allocate ([\d.]+ \w+)")
OVERFLOWS = (
    "Storage size calculation overflowed",
    "Overflow when unpacking long",
    "array is too big",
    "Maximum allowed dimension",
)
EXTREME = 1e12  # a number above it, or below its inverse, may be what broke an operation of double precision


def refusal(error: Exception, parts: Mapping[str, Mapping[str, Any]]) -> UserError | None:
    """The line for an error that the job's sizes or numbers explain; None for one that may be a bug."""
    return out_of_memory(error, parts) or out_of_range(error, parts)


def out_of_range(error: Exception, parts: Mapping[str, Mapping[str, Any]]) -> UserError | None:
    """The line for an arithmetic error where the job has numbers that double precision cannot work with; None for any other."""
    extreme = [
        f"{name}={value:g}" for name, value in _numbers(parts) if not 1 / EXTREME <= abs(value) <= EXTREME and value
    ]
    broken = isinstance(error, ArithmeticError) or type(error).__name__.endswith("LinAlgError")
    if not extreme or not broken:
        return None
    what = str(error.args[-1] if error.args else type(error).__name__).splitlines()[0]
    return UserError(f"double precision ends here ({what}): bring {', '.join(extreme[:3])} nearer to 1")


def out_of_memory(error: Exception, parts: Mapping[str, Mapping[str, Any]]) -> UserError | None:
    """The line for an error of torch or NumPy that says so, with the job's largest sizes; None for any other error."""
    text = str(error)
    asked = ASKED.search(text)
    if asked is None and not isinstance(error, MemoryError) and not any(word in text for word in OVERFLOWS):
        return None
    amount = "more than can be addressed"
    if asked is not None:
        amount = in_words(int(asked[1])) if asked[1] else str(asked[2] or asked[3])
    elif isinstance(error, MemoryError):
        amount = "more than there is"
    largest = sorted(_sizes(parts), key=lambda pair: -pair[1])[:3]
    sizes = ", ".join(f"{name}={value}" for name, value in largest)
    return UserError(
        f"out of memory: an array of this job would take {amount}; its largest sizes: {sizes}; make one smaller"
    )


def _numbers(parts: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, float]]:
    """Every real number of the config by its dotted name; those of a list under the list's."""
    for part, node in parts.items():
        for name, value in node.items():
            for each in value if isinstance(value, list) else [value]:
                if isinstance(each, float):
                    yield f"{part}.{name}", each


def in_words(count: int) -> str:
    """`17.3 PB`."""
    amount, unit = float(count), 0
    while amount >= 1000 and unit + 1 < len(UNITS):
        amount, unit = amount / 1000, unit + 1
    return f"{amount:.3g} {UNITS[unit]}"


def _sizes(parts: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, int]]:
    """Every whole number of the config by its dotted name, of a list its largest; but not seeds."""
    for part, node in parts.items():
        for name, value in node.items():
            found = [v for v in (value if isinstance(value, list) else [value]) if type(v) is int]
            if found and not name.endswith("seed") and name != "instance":
                yield f"{part}.{name}", max(found)
