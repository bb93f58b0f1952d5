"""The parts that a claim consists of: a quantity with one number a run, its interval, and what the claim accepts.

The interval shown is the one that decides. A part holds where its interval lies inside of what is accepted; it is refuted where the interval
lies outside. Of several parts all have to hold, each at its own level (an intersection-union test keeps that level as a whole); any one
refutes, so for that each gets its share of the level.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bench.judge import statistics as stats
from bench.judge.statistics import Interval

SIZES = (6, 12, 24)  # runs at which the planner states the power
MOST = 1000  # runs that the planner thinks of
REPEATED = 1e-9  # relative: how far runs of a computation without randomness may differ
Law = Literal["median", "mean", "log_mean", "share", "every"]


@dataclass(frozen=True)
class Quantity:
    """What a part is about. Where a run tells only that its number lies between two, `high` is the larger.

    law: the estimand. bounds: of a mean. strict: the border itself is not accepted.
    event: between which numbers a run counts, of a share and of "every", of which one run that does not refutes.
    """

    label: str
    low: np.ndarray
    high: np.ndarray
    accept: tuple[float, float]
    law: Law = "median"
    bounds: tuple[float, float] | None = None
    strict: bool = False
    event: tuple[float, float] = (-math.inf, math.inf)

    @property
    def n(self) -> int:
        return len(self.low)

    def interval(self, side: float) -> Interval:
        """Of the estimand."""
        if self.law in ("share", "every"):
            return stats.share_interval(int(self._counts().sum()), self.n, side)
        if self.law == "median":
            return stats.median_interval(self.low, side, upper=self.high)
        return self._mean(side)

    def _counts(self) -> np.ndarray:
        return (self.low >= self.event[0]) & (self.high <= self.event[1])

    def _mean(self, side: float) -> Interval:
        low, high, bounds = self.low, self.high, self.bounds
        if bounds is not None:  # all that is known of a run that diverged
            low, high = (np.where(np.isfinite(x), x, np.clip(x, *bounds)) for x in (low, high))
        if self.law == "mean":
            return _mean_of(low, high, bounds, side)
        if not (low > 0).all():
            return Interval(math.nan, -math.inf, math.inf, self.n, "geometric mean of what is not positive", side)
        found = _mean_of(np.log(low), np.log(high), bounds and (math.log(bounds[0]), math.log(bounds[1])), side)
        with np.errstate(over="ignore"):
            estimate, low_end, high_end = (float(np.exp(v)) for v in (found.estimate, found.low, found.high))
        return Interval(estimate, low_end, high_end, self.n, f"geometric {found.how}", side)

    def holds(self, interval: Interval) -> bool:
        """Does the interval lie inside of what is accepted?"""
        low, high = self.accept
        if self.law == "every":
            return bool(self._counts().all()) and (interval.how == "exact" or interval.low >= low)
        if self.strict:
            return (low == -math.inf or interval.low > low) and (high == math.inf or interval.high < high)
        return low <= interval.low and interval.high <= high

    def refuted(self, interval: Interval) -> bool:
        """Does it lie outside?"""
        low, high = self.accept
        if self.law == "every":
            return not self._counts().all()
        if self.strict:
            return (low > -math.inf and interval.high <= low) or (high < math.inf and interval.low >= high)
        return interval.high < low or interval.low > high

    def exactly(self) -> Interval:
        """Of a computation without randomness: every run has the same number."""
        if self.law in ("share", "every"):
            share = float(self._counts().mean())
            return Interval(share, share, share, self.n, "exact", 0.0)
        return Interval(float(np.median(self.low)), float(self.low.min()), float(self.high.max()), self.n, "exact", 0.0)

    @property
    def repeats(self) -> bool:
        """Do all runs have the same number, but for rounding?"""
        if self.law in ("share", "every"):
            return len(set(self._counts().tolist())) == 1
        ends = np.concatenate([self.low, self.high])
        if len(set(ends.tolist())) == 1:
            return True
        return bool(np.isfinite(ends).all()) and float(np.ptp(ends)) <= REPEATED * float(np.abs(ends).max())


def _mean_of(low: np.ndarray, high: np.ndarray, bounds: tuple[float, float] | None, side: float) -> Interval:
    """Of a bounded quantity, else of one whose law is symmetric: nothing is known of its centre where a run diverged."""
    if bounds is not None:
        a, b = (stats.mean_interval(x, bounds, side) for x in (low, high))
        return Interval((a.estimate + b.estimate) / 2, a.low, b.high, a.n, a.how, side)
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        return Interval(math.nan, -math.inf, math.inf, len(low), "mean with a run that diverged", side)
    return stats.centre_interval(low, side)


@dataclass(frozen=True)
class Part:
    """A quantity with the interval that was tested: at its own level where the claim is reproduced, at its share of it elsewhere.

    strict: the border of what is accepted is not accepted itself.
    """

    label: str
    interval: Interval
    accept: tuple[float, float]
    law: Law
    strict: bool = False

    @property
    def bound(self) -> str | None:
        """What is accepted where it has one border, in words: `above 0` leaves the border out, `at least 0` does not; None of two."""
        low, high = (end + 0.0 for end in self.accept)  # -0 is 0
        if math.isfinite(low) == math.isfinite(high):
            return None
        words = ("above", "below") if self.strict else ("at least", "at most")
        return f"{words[0]} {low:.6g}" if math.isfinite(low) else f"{words[1]} {high:.6g}"


@dataclass(frozen=True)
class Planner:
    """For the verdict that the measured effect points to: its power at 6, 12 and 24 runs, and how many 80 % need (None: over 1000).

    again: at the level of another attempt, with other seeds.
    """

    towards: str
    power: dict[int, float]
    needed: int | None
    again: bool = False


def planner(quantity: Quantity, side: float, parts: int, again: bool = False) -> Planner | None:
    """How many runs would decide a median at a level; its opposite, when the effect points there, gets its share of it among the parts."""
    if quantity.law != "median":
        return None
    low, high = quantity.accept
    count = lambda right: (float(np.sum(right)) + 0.5) / (quantity.n + 1)  # noqa: E731 (of so few runs none is certain)
    inside = low <= quantity.interval(side).estimate <= high
    if inside:
        shares = [count(quantity.low > low)] * (low > -math.inf) + [count(quantity.high < high)] * (high < math.inf)
    else:
        shares = [max(count(quantity.high < low), count(quantity.low > high))]
    level = side if inside else side / parts
    towards = "reproduced" if inside else "not reproduced"
    found = np.maximum(
        0.0, 1 - sum(1 - stats.power(share, MOST, level) for share in shares)
    )  # of all borders, at least
    enough = np.flatnonzero(found >= stats.POWER).tolist() if min(shares) > 0.5 else []
    return Planner(towards, {n: float(found[n - 1]) for n in SIZES}, enough[0] + 1 if enough else None, again)
