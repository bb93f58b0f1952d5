"""The statistics: closed forms, scipy, and simulation (size under the null, coverage, power)."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as scipy_stats

from bench.judge import statistics as stats

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_the_smallest_p_of_n_sign_flips_is_two_to_the_minus_n(n):
    assert stats.sign_flip(np.arange(1, n + 1)) == 2.0**-n
    assert stats.sign_flip(-np.arange(1, n + 1)) == 1.0


@pytest.mark.parametrize("n", [5, 9])
def test_sign_flip_equals_scipy_s_exact_permutation_test(n):
    d = RNG.normal(0.3, 1, n)
    theirs = scipy_stats.permutation_test(
        (d,),
        lambda x, axis: np.mean(x, axis=axis),
        permutation_type="samples",
        alternative="greater",
        n_resamples=np.inf,
    )
    assert stats.sign_flip(d) == pytest.approx(theirs.pvalue)


def test_many_sign_flips_are_sampled_and_agree_with_the_t_test():
    d = RNG.normal(0.3, 1, 60)
    assert stats.sign_flip(d) == pytest.approx(stats.above(d, 0), abs=0.01)


@pytest.mark.parametrize("n", [5, 8, 20])
@pytest.mark.parametrize("test", ["sign_flip", "above", "equivalent"])
def test_under_the_null_at_most_five_percent_are_reproduced(test, n):
    """The value lies on the claim's boundary, the hardest null; 4000 repetitions, three standard errors of slack."""
    samples = np.random.default_rng(n).normal(size=(4000, n))
    p = {
        "sign_flip": lambda x: stats.sign_flip(x),
        "above": lambda x: stats.above(x, 0.0),
        "equivalent": lambda x: stats.equivalent(x, 0.0, 50.0),
    }[test]
    rate = np.mean([p(x) <= stats.ALPHA for x in samples])
    assert rate <= stats.ALPHA + 3 * np.sqrt(0.05 * 0.95 / 4000)
    assert rate > 0.02, "not so timid that it never decides"


@pytest.mark.parametrize("n", [3, 5, 20])
def test_t_intervals_cover(n):
    samples = np.random.default_rng(n).normal(2.0, 3.0, size=(4000, n))
    covered = [i.low <= 2.0 <= i.high for i in map(stats.mean_interval, samples)]
    assert 0.93 <= np.mean(covered) <= 0.97


@pytest.mark.parametrize(
    ("statistic", "draw", "truth"), [(np.mean, "normal", 0.0), (stats.iqm, "normal", 0.0), (np.mean, "gamma", 4.0)]
)
def test_bca_intervals_cover(statistic, draw, truth):
    rng = np.random.default_rng(1)
    samples = rng.normal(size=(600, 40)) if draw == "normal" else rng.gamma(4.0, size=(600, 100))
    found = [stats.bootstrap_interval(x, statistic, resamples=999) for x in samples]
    assert 0.93 <= np.mean([i.low <= truth <= i.high for i in found]) <= 0.97


def test_bca_equals_scipy_and_handles_no_spread():
    x = RNG.gamma(2.0, size=30)
    ours = stats.bootstrap_interval(x, np.median, seed=3)
    theirs = scipy_stats.bootstrap((x,), np.median, method="BCa", rng=np.random.default_rng(3)).confidence_interval
    assert (ours.low, ours.high) == (theirs.low, theirs.high)
    flat = stats.bootstrap_interval([2.0, 2.0, 2.0], np.mean)
    assert (flat.low, flat.estimate, flat.high) == (2.0, 2.0, 2.0)


def test_no_spread_and_one_value():
    assert stats.above([1.0] * 4, 0.5) == 0.0
    assert stats.above([1.0] * 4, 1.0) == 1.0
    assert stats.equivalent([1.0] * 4, 0.9, 1.1) == 0.0
    assert stats.above([9.0], 0.0) == 1.0, "one value proves nothing"
    assert np.isnan(stats.mean_interval([9.0]).low)


def test_welch_against_scipy_and_equivalence():
    a, b = RNG.normal(0, 1, 12), RNG.normal(0.1, 2, 15)
    p, interval = stats.welch(a, b)
    assert p == pytest.approx(scipy_stats.ttest_ind(a, b, equal_var=False).pvalue)
    assert (p < 0.05) == (not interval.low <= 0 <= interval.high)
    assert stats.welch_equivalent(a, b, 10.0) < 1e-3
    assert stats.welch_equivalent(a, b, 0.01) > 0.3


def test_holm_by_hand_and_its_order():
    assert stats.holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert stats.holm([0.9, 0.8]) == [1.0, 1.0]


def test_holm_keeps_the_familywise_error():
    rng = np.random.default_rng(2)
    p = rng.uniform(size=(4000, 6))
    assert np.mean([min(stats.holm(row)) <= 0.05 for row in p]) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 4000)


def test_log_log_slopes_of_power_laws():
    x = np.array([10.0, 100.0, 1000.0])
    y = np.stack([3 * x**-0.5, 0.1 * x**0.25])
    np.testing.assert_allclose(stats.log_log_slopes(x, y), [-0.5, 0.25])


@pytest.mark.parametrize("n", [5, 10, 20])
def test_power_of_the_t_test_matches_simulation(n):
    effect = 0.8
    samples = np.random.default_rng(n).normal(effect, 1.0, size=(3000, n))
    simulated = np.mean([stats.above(x, 0.0) <= 0.05 for x in samples])
    assert stats.power(effect, n) == pytest.approx(simulated, abs=0.03)


def test_seeds_needed():
    n = stats.seeds_needed(1.0, paired=False)
    assert stats.power(1.0, n) >= 0.8 > stats.power(1.0, n - 1)
    assert stats.seeds_needed(50.0, paired=True) == 5, "a sign-flip test cannot decide with fewer"
    assert stats.seeds_needed(0.0, paired=True) is None
