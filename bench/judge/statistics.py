"""Intervals that hold for any distribution with the estimand they name: verdicts, tables and figures show these and no others.

Nothing here assumes a normal law. Where the estimand allows no such interval (the mean of an unbounded quantity), there is none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from scipy import special, stats

SIDE = 0.025  # what may fall outside of an interval at either end: 95 % intervals
POWER = 0.8  # what the planner aims at
ENUMERATED = 16  # values up to which all subsets are
RESAMPLES = 9999
GRID = 1000  # candidate means of a betting interval

Values = Sequence[float] | np.ndarray


class OutOfRange(ValueError):
    """A value lies outside of the range that a mean is claimed with."""


@dataclass(frozen=True)
class Interval:
    """An estimate and the ends that the true value lies between, but for `side` at either end; infinite where n is too small for one."""

    estimate: float
    low: float
    high: float
    n: int
    how: str
    side: float = SIDE

    @property
    def level(self) -> float:
        """Of both ends together."""
        return 1 - 2 * self.side


@cache
def rank(n: int, side: float = SIDE) -> int:
    """How many of n values may lie beyond an end of the median's interval: the largest k with P(Binomial(n, 1/2) < k) at most `side`."""
    return (
        int(stats.binom.ppf(side, n, 0.5)) if n else 0
    )  # ppf: the smallest k with cdf(k) >= side, so cdf(k - 1) < side


def median_interval(values: Values, side: float = SIDE, *, upper: Values | None = None) -> Interval:
    """Between two order statistics: exact for a continuous law, conservative for any other (Hahn and Meeker, 1991, section 5.2).

    Args:
        values: one a run; infinite ones are as good as any.
        upper: where a run is known between two values only, its larger one; `values` then holds the smaller.
    """
    low, high = np.sort(np.asarray(values, float)), np.sort(np.asarray(values if upper is None else upper, float))
    n, k = len(low), rank(len(low), side)
    ends = (float(low[k - 1]), float(high[n - k])) if k else (-math.inf, math.inf)
    return Interval(_middle(low, high), *ends, n, "median", side)


def _middle(low: np.ndarray, high: np.ndarray) -> float:
    """The middle of all ends; of two infinite ones with one sign that one."""
    both = np.sort(np.concatenate([low, high]))
    a, b = float(both[len(both) // 2 - 1]), float(both[len(both) // 2])
    return a if a == b else (a + b) / 2


@cache
def share_interval(successes: int, n: int, side: float = SIDE) -> Interval:
    """Of a probability (Clopper and Pearson, 1934)."""
    found = stats.binomtest(successes, n).proportion_ci(1 - 2 * side, method="exact")
    return Interval(successes / n, float(found.low), float(found.high), n, "share", side)


def mean_interval(values: Values, bounds: tuple[float, float], side: float = SIDE) -> Interval:
    """Of the mean of values that cannot leave `bounds`, in the order of the runs: hedged capital, a bettor against each candidate mean
    (Waudby-Smith and Ramdas, 2024, Theorem 3 with the bets of equation 26 for a fixed n).

    Raises:
        OutOfRange: a value lies outside of the bounds.
    """
    low, high = bounds
    x = (np.asarray(values, float) - low) / (high - low)
    if not ((x >= 0) & (x <= 1)).all():
        raise OutOfRange(f"a value lies outside of [{low:g}, {high:g}]")
    n, estimate = len(x), float(np.mean(values))
    m = (np.arange(GRID + 1) / GRID)[:, None]
    counts = np.arange(1, n + 1)
    means = (0.5 + np.cumsum(x)) / (counts + 1)
    spread = (0.25 + np.cumsum((x - means) ** 2)) / (counts + 1)
    earlier = np.concatenate([[0.25], spread[:-1]])
    bets = np.sqrt(2 * math.log(1 / side) / (n * earlier))
    with np.errstate(divide="ignore"):
        up = np.minimum(bets, 0.5 / m)  # the capital of a bet that the mean is above m, and below it
        down = np.minimum(bets, 0.5 / (1 - m))
    above = np.log1p(up * (x - m)).cumsum(1).max(1)
    below = np.log1p(-down * (x - m)).cumsum(1).max(1)
    kept_low = m[above < math.log(1 / side), 0]
    kept_high = m[below < math.log(1 / side), 0]
    ends = (kept_low.min() - 1 / GRID, kept_high.max() + 1 / GRID)  # outward by the grid's width
    a, b = (low + (high - low) * float(np.clip(end, 0.0, 1.0)) for end in ends)
    return Interval(estimate, a, b, n, f"mean of a quantity in [{low:g}, {high:g}]", side)


def centre_interval(values: Values, side: float = SIDE, seed: int = 0) -> Interval:
    """Of the centre of a symmetric law, by inverting all sign flips: means of subsets are its typical values (Hartigan, 1969).

    Exact where the law is symmetric, which the claim has to argue; of 16 values on subsets are drawn.
    """
    x = np.asarray(values, float)
    n = len(x)
    if n <= ENUMERATED:
        chosen = (np.arange(1, 2**n)[:, None] >> np.arange(n)) & 1
    else:
        chosen = np.random.default_rng(seed).integers(0, 2, (RESAMPLES, n))
        chosen = chosen[chosen.any(1)]
    typical = np.sort(chosen @ x / chosen.sum(1))
    k = math.floor(side * (len(typical) + 1))
    ends = (float(typical[k - 1]), float(typical[-k])) if k else (-math.inf, math.inf)
    return Interval(float(x.mean()), *ends, n, "centre of a symmetric law", side)


def iqm(values: Values, axis: int = -1) -> float:
    """Interquartile mean: the mean without the lowest and the highest quarter."""
    x = np.asarray(values, float)
    return (
        x.mean(axis) if x.shape[axis] < 4 else stats.trim_mean(x, 0.25, axis=axis)
    )  # the same below 4; scipy takes its time


def log_log_slopes(x: Values, y: np.ndarray) -> np.ndarray:
    """Least-squares slope of log y against log x for each seed. x [P], y [S, P] positive -> [S]."""
    return np.polyfit(np.log(np.asarray(x, float)), np.log(np.asarray(y, float)).T, 1)[0]


def fewest(side: float = SIDE) -> int:
    """Runs below which a median has no finite interval: 6 at 95 %."""
    return math.ceil(-math.log2(side))


@cache
def _ranks(side: float, most: int) -> np.ndarray:
    return np.array([rank(n, side) for n in range(1, most + 1)])


@lru_cache(1024)  # of the few shares that so many runs can have
def power(share: float, most: int, side: float = SIDE) -> np.ndarray:
    """Probability that n runs, each on the right side of a border with probability `share`, put the median's interval there; for n = 1 to `most`."""
    k = _ranks(side, most)
    return np.where(k > 0, special.bdtr(np.maximum(k - 1, 0), np.arange(1, most + 1), 1 - share), 0.0)
