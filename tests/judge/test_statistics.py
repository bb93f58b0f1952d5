"""The intervals: closed forms, scipy, and simulation of coverage for every law that results have."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats
from scipy.optimize import brentq

from bench.judge import statistics as stats

N = (5, 8, 16, 40)
REPEATED = 1500
SLACK = math.sqrt(0.05 * 0.95 / REPEATED)  # one simulation error
LAWS = {  # draws of [repetitions, n], median, mean, range
    "normal": (lambda g, s: g.normal(3.0, 2.0, s), 3.0, 3.0, None),
    "t3": (lambda g, s: g.standard_t(3, s), 0.0, 0.0, None),
    "lognormal": (lambda g, s: g.lognormal(0.0, 1.0, s), 1.0, math.exp(0.5), None),
    "rare failures": (lambda g, s: (g.random(s) < 0.1).astype(float), 0.0, 0.1, (0.0, 1.0)),
    "binomial": (lambda g, s: g.binomial(10, 0.3, s) / 10, 0.3, 0.3, (0.0, 1.0)),
}


def drawn(law: str, n: int, seed: int = 0) -> np.ndarray:
    return LAWS[law][0](np.random.default_rng([seed, n, list(LAWS).index(law)]), (REPEATED, n))


def coverage(intervals: list[stats.Interval], truth: float) -> float:
    return float(np.mean([i.low <= truth <= i.high for i in intervals]))


@pytest.mark.parametrize("n", N)
@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("side", [0.025, 0.05 / 6])
def test_intervals_of_a_median_cover(law, n, side):
    found = [stats.median_interval(x, side) for x in drawn(law, n)]
    assert coverage(found, LAWS[law][1]) >= 1 - 2 * side - SLACK
    assert all(math.isinf(i.low) and math.isinf(i.high) for i in found) == (n < stats.fewest(side))


@pytest.mark.parametrize("n", N)
@pytest.mark.parametrize("law", ["rare failures", "binomial"])
def test_betting_intervals_of_a_bounded_mean_cover(law, n):
    _, _, mean, bounds = LAWS[law]
    found = [stats.mean_interval(x, bounds) for x in drawn(law, n)[:500]]
    assert coverage(found, mean) >= 0.95 - math.sqrt(0.05 * 0.95 / 500)
    assert np.mean([i.high - i.low for i in found]) < (1.0 if n == 5 else 0.95 if n == 8 else 0.7)


def capital(x: list[float], m: float, side: float) -> float:
    """The largest that a bettor has had who starts with 1 and bets on a mean above m, one value after the other:
    Waudby-Smith and Ramdas (2024), equation 26 with alpha / 2 = side, truncated at 1 / (2 m). A bet is made before
    its value is seen."""
    wealth, largest, total, squares, variance = 1.0, 0.0, 0.5, 0.25, 0.25
    for i, value in enumerate(x, 1):
        bet = min(math.sqrt(2 * math.log(1 / side) / (len(x) * variance)), 0.5 / m)
        wealth *= 1 + bet * (value - m)
        largest, total = max(largest, wealth), total + value
        squares += (value - total / (i + 1)) ** 2
        variance = squares / (i + 1)
    return largest


@pytest.mark.parametrize("n", [6, 12, 40])
@pytest.mark.parametrize("side", [0.025, 0.01])
def test_betting_intervals_end_where_a_bettor_would_be_rich(n, side):
    """To the width of the grid of means: a bettor against the low end makes 1 / side, one against a mean a little
    higher does not."""
    x = np.random.default_rng(n).beta(4.0, 2.0, n)
    found, grid = stats.mean_interval(x, (0.0, 1.0), side), 1 / stats.GRID

    def end(values: np.ndarray) -> float:
        poor = capital(list(values), 1e-9, side) < 1 / side  # whatever the mean is
        return 0.0 if poor else brentq(lambda m: capital(list(values), m, side) - 1 / side, 1e-9, values.mean())

    low, high = end(x), 1 - end(1 - x)
    assert low > 0
    assert found.low - 1e-12 <= low <= found.low + grid + 1e-12
    assert found.high - grid - 1e-12 <= high <= found.high + 1e-12


@pytest.mark.parametrize("n", N)
@pytest.mark.parametrize("law", ["normal", "t3"])
def test_intervals_of_a_symmetric_law_s_centre_cover(law, n):
    found = [stats.centre_interval(x) for x in drawn(law, n)[:300]]
    assert coverage(found, LAWS[law][1]) >= 0.95 - math.sqrt(0.05 * 0.95 / 300) - (n > stats.ENUMERATED) * 0.005


def test_a_skewed_law_breaks_those_of_a_symmetric_one():
    """Which is why a claim has to argue the symmetry: the interval holds for the law's mean and not beyond symmetry."""
    found = [stats.centre_interval(x) for x in drawn("lognormal", 16)[:300]]
    assert coverage(found, LAWS["lognormal"][2]) < 0.93


@pytest.mark.parametrize("n", [*range(6, 30), 100])
def test_ranks_of_the_median_are_those_of_scipy(n):
    x = np.random.default_rng(n).normal(size=n)
    theirs = scipy_stats.quantile_test(x, q=0.0, p=0.5).confidence_interval(0.95)
    ours = stats.median_interval(x)
    assert (ours.low, ours.high) == (theirs.low, theirs.high)
    assert ours.estimate == np.median(x)


@pytest.mark.parametrize(("k", "n"), [(0, 8), (3, 8), (8, 8), (1, 40)])
def test_shares_are_those_of_clopper_and_pearson(k, n):
    found = stats.share_interval(k, n)
    low = scipy_stats.beta.ppf(0.025, k, n - k + 1) if k else 0.0
    high = scipy_stats.beta.ppf(0.975, k + 1, n - k) if k < n else 1.0
    assert (found.low, found.high) == pytest.approx((low, high))


def test_inverted_sign_flips_are_the_sign_flip_test():
    """A centre just outside of the interval is rejected by scipy's exact permutation test, one just inside is not."""
    x = np.random.default_rng(1).normal(1.0, 1.0, 9)
    found = stats.centre_interval(x)

    def p(centre: float) -> float:
        tested = scipy_stats.permutation_test(
            (x - centre,),
            lambda d, axis: d.mean(axis),
            permutation_type="samples",
            alternative="greater",
            n_resamples=np.inf,
        )
        return float(tested.pvalue)

    assert p(found.low - 1e-6) <= 0.025 < p(found.low + 1e-6)


def test_no_spread_is_no_certainty():
    """Six equal values say of a median what six signs can, and five say nothing; a mean stays uncertain."""
    assert stats.median_interval([2.0] * 6).low == 2.0
    assert stats.median_interval([2.0] * 5).low == -math.inf
    found = stats.mean_interval([0.0] * 16, (0.0, 1.0))
    assert found.high > 0.1


def test_values_known_between_two_ends_widen_the_interval():
    low, high = np.arange(12.0), np.arange(12.0)
    exact = stats.median_interval(low)
    low[0], high[0] = -math.inf, math.inf
    found = stats.median_interval(low, upper=high)
    assert found.low <= exact.low
    assert found.high >= exact.high
    assert stats.median_interval([math.inf] * 6).low == math.inf


def test_a_value_out_of_its_range_is_refused():
    with pytest.raises(ValueError, match="outside"):
        stats.mean_interval([0.5, 1.5], (0.0, 1.0))


def test_log_log_slopes_of_power_laws():
    x = np.array([10.0, 100.0, 1000.0])
    y = np.stack([3 * x**-0.5, 0.1 * x**0.25])
    np.testing.assert_allclose(stats.log_log_slopes(x, y), [-0.5, 0.25])


@pytest.mark.parametrize("n", [6, 12, 24])
def test_power_matches_simulation(n):
    signs = np.random.default_rng(n).random((4000, n)) < 0.9
    simulated = np.mean([stats.median_interval(np.where(s, 1.0, -1.0)).low > 0 for s in signs])
    assert stats.power(0.9, 30)[n - 1] == pytest.approx(simulated, abs=0.03)


def test_fewest_runs_of_a_median():
    assert [stats.fewest(side) for side in (0.025, 0.05 / 6, 0.05 / 12)] == [6, 7, 8]
