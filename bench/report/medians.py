"""Medians over seeds with intervals that assume nothing of the distribution, and how tables write them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from bench.judge import statistics as stats
from bench.judge.statistics import Interval

RANGE = "range"


def median_interval(values: Sequence[float] | np.ndarray) -> Interval:
    """The median with the interval between two order statistics that covers the population's at 95 % or more, whatever the
    distribution; the range below 6 values, where there is no such interval."""
    x = np.asarray(values, float)
    if len(x) == 1:
        return Interval(float(x[0]), math.nan, math.nan, 1, "one value")
    found = stats.median_interval(x)
    if math.isfinite(found.low) or not np.isfinite(x).all():
        return found
    return Interval(found.estimate, float(x.min()), float(x.max()), len(x), RANGE)


def text_of(interval: Interval | None, sign: str = "", digits: int = 4) -> str:
    """`0.8512 [0.821, 0.884]`, `0.8512 (0.840..0.860)` for a range, the value alone where all are the same or there is one."""
    if interval is None:
        return ""
    if math.isnan(interval.low) or interval.low == interval.high:
        return number_text(interval.estimate, digits, sign, zeros=False)
    middle = number_text(interval.estimate, digits, sign)
    low, high = (number_text(value, 3, sign) for value in (interval.low, interval.high))
    return f"{middle} ({low}..{high})" if interval.how == RANGE else f"{middle} [{low}, {high}]"


def number_text(value: float, digits: int = 4, sign: str = "", zeros: bool = True) -> str:
    """So many significant digits, whole numbers whole; no exponent where a person would write none."""
    if value == int(value) and abs(value) < 1e9:
        return f"{value:{sign},.0f}"
    if not 1e-4 <= abs(value) < 1e6:
        return f"{value:{sign}.{digits - 1}g}"
    text = f"{value:{sign},.{max(0, digits - 1 - math.floor(math.log10(abs(value))))}f}"
    return text if zeros or "." not in text else text.rstrip("0").rstrip(".")


def interval_of(values: Sequence[float]) -> Interval | None:
    """The median's interval; None without values."""
    return median_interval(values) if len(values) else None
