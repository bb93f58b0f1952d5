"""The tests that a claim consists of: an estimate with its interval, what the claim accepts, and p values for and against."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from bench.judge import statistics as stats
from bench.judge.checks import ALPHA
from bench.judge.statistics import Interval

MANY = 20  # seeds from which on an interval is BCa's
SIZES = (5, 10, 20)  # seeds at which the planner states the power


@dataclass(frozen=True)
class Part:
    """One test of a claim. The estimate is to lie in `accept` = (low, high); p is of the claim, `against` of its opposite.

    effect: distance of the estimate from the border of what is accepted, in standard deviations over seeds; negative outside.
    """

    label: str
    interval: Interval
    accept: tuple[float, float]
    p: float
    against: float
    effect: float | None = None
    paired: bool = False


@dataclass(frozen=True)
class Planner:
    """Power of the claim's weakest part at the effect measured: at 5, 10 and 20 seeds, and the seeds that 80 % need (None: over 1000)."""

    power: dict[int, float]
    needed: int | None


def interval(values: np.ndarray) -> Interval:
    """Of the mean: Student's t, from 20 seeds on BCa bootstrap."""
    return stats.mean_interval(values) if len(values) < MANY else stats.bootstrap_interval(values, np.mean)


@dataclass(frozen=True)
class Tests:
    """The tests over seeds; with `exact`, of a computation without randomness, every value must satisfy the claim and one is enough."""

    exact: bool = False

    def paired(self, name: str, gains: np.ndarray, sign: float, by: float = 0.0) -> Part:
        """Exact sign-flip test of positive mean gain; the interval is of the difference itself."""
        accept = (by, math.inf) if sign > 0 else (-math.inf, 0.0 - by)
        p = (stats.sign_flip(gains), stats.sign_flip(-gains))
        return self._part(name, sign * (gains + by), accept, gains, p, paired=True)

    def one_sided(self, name: str, values: np.ndarray, accept: tuple[float, float]) -> Part:
        """t test of a mean above or below a bound."""
        low, high = accept
        if math.isinf(low):
            p, margins = (stats.below(values, high), stats.above(values, high)), high - values
        else:
            p, margins = (stats.above(values, low), stats.below(values, low)), values - low
        return self._part(name, values, accept, margins, p)

    def equivalence(self, name: str, values: np.ndarray, accept: tuple[float, float]) -> Part:
        """Two one-sided tests of a mean within (low, high); the opposite: below low, or above high."""
        low, high = accept
        if math.isinf(low) or math.isinf(high):
            return self.one_sided(name, values, accept)
        against = min(stats.below(values, low), stats.above(values, high))
        margins = values - low if values.mean() - low < high - values.mean() else high - values
        return self._part(name, values, accept, margins, (stats.equivalent(values, low, high), against))

    def exactly(self, name: str, error: float, tolerance: float, runs: int) -> Part:
        """No statistics: the largest error over `runs` is within the tolerance, or it is not."""
        holds = error <= tolerance
        found = Interval(error, math.nan, math.nan, runs, "exact")
        return Part(name, found, (-math.inf, tolerance), 0.0 if holds else 1.0, 1.0 if holds else 0.0)

    def _part(
        self,
        name: str,
        values: np.ndarray,
        accept: tuple[float, float],
        margins: np.ndarray,
        p: tuple[float, float],
        paired: bool = False,
    ) -> Part:
        """`margins` are positive where a value satisfies the claim."""
        if self.exact:
            holds = bool((margins > 0).all())
            found = Interval(float(values.mean()), math.nan, math.nan, len(values), "exact")
            return Part(name, found, accept, 0.0 if holds else 1.0, 1.0 if holds else 0.0)
        return Part(name, interval(values), accept, *p, _effect(margins), paired)


def _effect(margins: np.ndarray) -> float | None:
    """Mean over standard deviation."""
    spread = float(margins.std(ddof=1)) if len(margins) > 1 else 0.0
    return None if spread == 0.0 else float(margins.mean()) / spread


def planner(part: Part, tests: int) -> Planner | None:
    """How many seeds would decide this part, one of `tests`; its opposite, when the effect points there, has to pass Holm's correction."""
    if part.effect is None:
        return None
    effect, alpha = abs(part.effect), ALPHA if part.effect > 0 else ALPHA / tests
    power = {n: (0.0 if part.paired and 2.0**-n > alpha else stats.power(effect, n, alpha)) for n in SIZES}
    return Planner(power, stats.seeds_needed(effect, part.paired, alpha))


def p_text(p: float) -> str:
    """p = 0.031"""
    return f"p = {p:.2g}" if p >= 1e-4 else "p < 0.0001"
