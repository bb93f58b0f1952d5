"""Is everything a number that was to be one?"""

from __future__ import annotations

import math
from typing import Any


def finite(value: Any) -> bool:
    """No NaN, infinity or None anywhere in a metric: a number, a text, or lists and mappings of them."""
    if isinstance(value, dict):
        return all(finite(v) for v in value.values())
    if isinstance(value, list | tuple):
        return all(finite(v) for v in value)
    return value is not None and (not isinstance(value, float) or math.isfinite(value))


def broken(value: Any) -> bool:
    """Is a metric NaN or infinite? None in a row of a curve says that there is no such number there."""
    return isinstance(value, float) and not math.isfinite(value)
