"""The statistics behind the verdicts, on scipy.stats where it has them. Samples are one number a seed, ddof = 1 throughout."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from bench.judge.checks import ALPHA

LEVEL = 0.95  # of every interval
POWER = 0.8  # what the planner aims at
EXACT = 16  # differences up to which all sign flips are enumerated
RESAMPLES = 9999

Values = Sequence[float] | np.ndarray


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval: `low` and `high` are NaN when n = 1 tells nothing of the spread."""

    estimate: float
    low: float
    high: float
    n: int
    how: str


def mean_interval(values: Values, level: float = LEVEL) -> Interval:
    """Student's t interval of the mean, exact for normal values at any n."""
    x = np.asarray(values, float)
    estimate = float(x.mean())
    if len(x) == 1:
        return Interval(estimate, math.nan, math.nan, 1, "one value")
    half = stats.t.ppf(0.5 + level / 2, len(x) - 1) * x.std(ddof=1) / math.sqrt(len(x))
    return Interval(estimate, estimate - float(half), estimate + float(half), len(x), f"mean, t interval, {level:.0%}")


def bootstrap_interval(
    values: Values, statistic: Callable[..., float], level: float = LEVEL, seed: int = 0, resamples: int = RESAMPLES
) -> Interval:
    """BCa bootstrap interval (Efron, 1987) of any statistic; meant for n >= 20, below that it is too short.

    Args:
        statistic: of an array and its axis, vectorised, as numpy.median.
    """
    x = np.asarray(values, float)
    estimate = float(statistic(x, axis=-1))
    if len(x) == 1 or np.ptp(x) == 0:
        bound = estimate if len(x) > 1 else math.nan
        return Interval(estimate, bound, bound, len(x), "no spread")
    found = stats.bootstrap(
        (x,), statistic, confidence_level=level, method="BCa", n_resamples=resamples, rng=np.random.default_rng(seed)
    ).confidence_interval
    return Interval(estimate, float(found.low), float(found.high), len(x), f"BCa bootstrap, {level:.0%}")


def iqm(values: Values, axis: int = -1) -> float:
    """Interquartile mean: the mean without the lowest and the highest quarter."""
    x = np.asarray(values, float)
    return (
        x.mean(axis) if x.shape[axis] < 4 else stats.trim_mean(x, 0.25, axis=axis)
    )  # the same below 4; scipy takes its time


def sign_flip(differences: Values, seed: int = 0) -> float:
    """One-sided p of "the mean difference is above zero" under random signs; exact up to 16 differences, n of them cannot go below 2^-n.

    The null: each difference is symmetric about zero, as paired runs under common random numbers are when the methods are alike.
    """
    d = np.asarray(differences, float)
    n = len(d)
    tolerance = 1e-12 * max(np.abs(d).sum(), 1e-300)
    if n <= EXACT:
        signs = 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
        return float(np.mean(signs @ d >= d.sum() - tolerance))
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], (RESAMPLES, n))
    return float((1 + np.sum(signs @ d >= d.sum() - tolerance)) / (RESAMPLES + 1))


def above(values: Values, bound: float) -> float:
    """One-sided p of "the mean is above `bound`" (t test). No spread: 0 if it is, else 1. One value: 1, it proves nothing."""
    return _t_test(np.asarray(values, float) - bound)


def below(values: Values, bound: float) -> float:
    """One-sided p of "the mean is below `bound`" (t test)."""
    return _t_test(bound - np.asarray(values, float))


def _t_test(x: np.ndarray) -> float:
    if len(x) == 1:
        return 1.0
    if np.ptp(x) == 0:
        return 0.0 if x[0] > 0 else 1.0
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", RuntimeWarning
        )  # nearly equal values lose digits; the p is right to a few of them
        return float(stats.ttest_1samp(x, 0.0, alternative="greater").pvalue)


def equivalent(values: Values, low: float, high: float) -> float:
    """p of "the mean lies in (low, high)": two one-sided tests (Schuirmann, 1987)."""
    return max(above(values, low), below(values, high))


def welch(a: Values, b: Values) -> tuple[float, Interval]:
    """Two-sided p of equal means of independent samples, and the interval of mean(a) - mean(b)."""
    found = stats.ttest_ind(a, b, equal_var=False)
    bounds = found.confidence_interval(LEVEL)
    difference = float(np.mean(a) - np.mean(b))
    return float(found.pvalue), Interval(
        difference, float(bounds.low), float(bounds.high), min(len(a), len(b)), "Welch, 95%"
    )


def welch_equivalent(a: Values, b: Values, margin: float) -> float:
    """p of "|mean(a) - mean(b)| < margin" for independent samples: two one-sided Welch tests."""
    shifted = np.asarray(a, float)
    lower = stats.ttest_ind(shifted + margin, b, equal_var=False, alternative="greater").pvalue
    upper = stats.ttest_ind(shifted - margin, b, equal_var=False, alternative="less").pvalue
    return float(max(lower, upper))


def holm(p: Values) -> list[float]:
    """Holm's adjusted p values, in the order given: reject where one is at most alpha, familywise."""
    p = np.asarray(p, float)
    order = np.argsort(p)
    adjusted = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p))))
    result = np.empty(len(p))
    result[order] = np.minimum(adjusted, 1.0)
    return [float(v) for v in result]


def log_log_slopes(x: Values, y: np.ndarray) -> np.ndarray:
    """Least-squares slope of log y against log x for each seed. x [P], y [S, P] positive -> [S]."""
    return np.polyfit(np.log(np.asarray(x, float)), np.log(np.asarray(y, float)).T, 1)[0]


def power(effect: float, n: int, alpha: float = ALPHA) -> float:
    """Power of the one-sided t test at n seeds for a standardised effect (mean over standard deviation)."""
    if n < 2:
        return 0.0
    return float(stats.nct.sf(stats.t.ppf(1 - alpha, n - 1), n - 1, effect * math.sqrt(n)))


def seeds_needed(
    effect: float, paired: bool, alpha: float = ALPHA, target: float = POWER, most: int = 1000
) -> int | None:
    """Smallest n with the power aimed at; a sign-flip test (`paired`) also needs 2^-n <= alpha. None: more than `most`."""
    low = max(2, math.ceil(-math.log2(alpha))) if paired else 2
    if not effect > 0 or power(effect, most, alpha) < target:
        return None
    high = most
    while low < high:  # power grows with n
        middle = (low + high) // 2
        low, high = (low, middle) if power(effect, middle, alpha) >= target else (middle + 1, high)
    return low
