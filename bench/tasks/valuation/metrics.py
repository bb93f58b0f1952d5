"""How well values find what is corrupted. N points; high values are worth having, so corrupted points are looked for among the low ones.

Equal values are one place: areas and correlations count them half, and where an order is needed a draw of the run decides, never the position.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def lowest_first(values: Floats, ties: Floats) -> NDArray[np.int64]:
    """Positions [N] from the lowest value to the highest; equal values in the order of `ties` [N]."""
    return np.lexsort((ties, values))


def ranks(values: Floats) -> Floats:
    """Ranks [N] from 1 for the lowest value; equal values share the mean of theirs."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    first = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])  # of each run of equal values
    sizes = np.diff(np.r_[first, len(values)])
    found = np.empty(len(values))
    found[order] = np.repeat(first + (sizes + 1) / 2, sizes)
    return found


def auc(values: Floats, corrupted: NDArray[np.bool_]) -> float:
    """The chance that a corrupted point has a lower value than a clean one, equal values half; NaN where there are not both."""
    bad = int(corrupted.sum())
    good = len(values) - bad
    if not bad or not good:
        return math.nan
    return float((bad * (good + (bad + 1) / 2) - ranks(values)[corrupted].sum()) / (bad * good))


def average_precision(values: Floats, corrupted: NDArray[np.bool_]) -> float:
    """sum_n (R_n - R_{n-1}) P_n over thresholds on the value; NaN where nothing is corrupted."""
    order = np.argsort(values, kind="stable")
    ordered, found = values[order], np.cumsum(corrupted[order])
    last = np.flatnonzero(np.r_[ordered[1:] != ordered[:-1], True])
    if not found[-1]:
        return math.nan
    precision, recall = found[last] / (last + 1), found[last] / found[-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def detected(order: NDArray[np.int64], corrupted: NDArray[np.bool_], counts: list[int]) -> list[float]:
    """The share of the corrupted points among the first so many of `order` [N]."""
    found = np.r_[0, np.cumsum(corrupted[order])]
    return (found[counts] / found[-1]).tolist()


def inspected_counts(points: int, rows: int) -> list[int]:
    """About `rows` numbers of points, half of them evenly spaced up to all of them and half evenly spaced in their logarithms."""
    even = np.linspace(0, points, rows // 2 + 1)[1:]
    log = np.geomspace(1, points, rows - rows // 2)
    return sorted({max(1, round(float(n))) for n in (*even, *log)})


def spearman(one: Floats, other: Floats) -> float:
    """The rank correlation of two lists of values; NaN where all of either are equal."""
    a, b = (ranks(values) - (len(values) + 1) / 2 for values in (one, other))
    scale = math.sqrt(float(a @ a)) * math.sqrt(float(b @ b))
    return float(a @ b) / scale if scale else math.nan
