"""The table of docs/judge.md: the same numbers by scipy's tests, by rliable's estimand, and by ours, at 2.5 % a side.

rliable itself is not installed: for one task its interquartile mean with a stratified bootstrap is the trimmed mean's percentile bootstrap,
as scipy.stats.bootstrap has it (the first test); over a thousand studies it is resampled in one go.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats as scipy_stats

from bench.judge import statistics as stats
from bench.judge.table import judge_table

STUDIES, N, SIDE = 1000, 12, 0.025


def trimmed(x: np.ndarray, axis: int = -1) -> np.ndarray:
    """The interquartile mean."""
    return scipy_stats.trim_mean(x, 0.25, axis=axis)


def iqm_says(d: np.ndarray, seed: int = 1) -> np.ndarray:
    """Is the percentile bootstrap's interval of each study's interquartile mean above 0? d [S, N] -> [S]."""
    chosen = np.random.default_rng(seed).integers(0, N, (400, N))
    return np.array([np.quantile(trimmed(x[chosen]), SIDE) > 0 for x in d])


def flips_say(d: np.ndarray, seed: int = 1) -> np.ndarray:
    """permutation_test of paired samples with 999 draws, of each study."""
    signs = np.random.default_rng(seed).choice([-1, 1], (999, N))
    return np.array([(1 + np.sum(signs @ x >= x.sum() - 1e-12)) / 1000 <= SIDE for x in d])


def others_say(d: np.ndarray) -> dict[str, float]:
    """How often each says "better"."""
    options = {"axis": 1, "alternative": "greater"}
    return {
        "ttest_rel": float(np.mean(scipy_stats.ttest_1samp(d, 0, **options).pvalue <= SIDE)),
        "wilcoxon": float(np.mean(scipy_stats.wilcoxon(d, **options, method="exact").pvalue <= SIDE)),
        "permutation_test": float(np.mean(flips_say(d))),
        "iqm": float(np.mean(iqm_says(d))),
    }


def lognormal(seed: int = 0) -> np.ndarray:
    """Paired differences with median 0: A is better on half of the seeds."""
    return np.exp(np.random.default_rng(seed).normal(0, 1.2, (STUDIES, N))) - 1


def failing(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Accuracies of A, which collapses in 8 % of its runs, and of B: A is worse on average by 0.05."""
    rng = np.random.default_rng(seed)
    a = np.where(rng.random((STUDIES, N)) < 0.08, 0.1, rng.normal(0.92, 0.005, (STUDIES, N)))
    return a, rng.normal(0.905, 0.005, (STUDIES, N))


def test_the_short_forms_are_scipy_s_and_rliable_s():
    d = lognormal()[:3] + 0.5
    theirs = scipy_stats.bootstrap(
        (d[0],), trimmed, n_resamples=4000, method="percentile", rng=np.random.default_rng(0), vectorized=True
    ).confidence_interval
    chosen = np.random.default_rng(1).integers(0, N, (4000, N))
    assert np.quantile(trimmed(d[0][chosen]), [0.025, 0.975]) == pytest.approx(theirs, abs=0.05)
    exact = scipy_stats.permutation_test(
        (d[0], np.zeros(N)), lambda x, y, axis: np.mean(x - y, axis=axis), permutation_type="samples",
        alternative="greater", n_resamples=np.inf, vectorized=True,
    ).pvalue  # fmt: skip
    signs = np.random.default_rng(1).choice([-1, 1], (9999, N))
    assert (1 + np.sum(signs @ d[0] >= d[0].sum() - 1e-12)) / 10_000 == pytest.approx(exact, abs=0.01)


def test_lognormal_differences_that_are_positive_half_of_the_time():
    d = lognormal()
    said = others_say(d)
    assert {name: rate for name, rate in said.items() if rate < 0.05} == {}, "at least twice what was asked for"
    assert said["permutation_test"] > 0.1
    assert np.mean([stats.median_interval(x).low > 0 for x in d]) < 0.035
    half = d.std(1, ddof=1) / np.sqrt(N) * scipy_stats.t.ppf(1 - SIDE, N - 1)
    assert np.mean(np.abs(d.mean(1) - (np.exp(0.72) - 1)) > half) > 0.15, (
        "of its own estimand the t interval misses too"
    )


def test_a_rare_failure_that_twelve_runs_do_not_show():
    a, b = failing()
    said = others_say(a - b)
    assert min(said["ttest_rel"], said["permutation_test"]) > 0.3, "of a mean that is 0.05 below 0"
    assert min(said["wilcoxon"], said["iqm"]) > 0.7
    assert np.mean([stats.mean_interval(x, (-1.0, 1.0)).low > 0 for x in a - b]) == 0
    assert np.mean([stats.share_interval(int((x > 0).sum()), N).low >= 0.95 for x in a - b]) == 0


def test_the_claim_says_what_is_asked():
    """One such study, all of whose runs went well: the typical run is better, and of the mean nothing is known."""
    a, b = failing()
    k = int(np.flatnonzero((a > 0.5).all(1))[0])
    assert scipy_stats.ttest_rel(a[k], b[k], alternative="greater").pvalue < 1e-3
    rows = [{"method": m, "seed": s, "accuracy": x} for m, own in (("a", a[k]), ("b", b[k])) for s, x in enumerate(own)]
    better = {"kind": "better", "metric": "accuracy", "of": {"method": "a"}, "than": {"method": "b"}}
    share = {"kind": "share", "metric": "accuracy", "of": {"method": "a"}, "above": 0.5, "at_least": 0.7}
    checks = {"typical": better, "mean": better | {"estimand": "mean", "range": [0, 1]}, "fine": share}
    verdicts = judge_table(pd.DataFrame(rows), checks, metrics={"accuracy": "higher"})
    assert [v.verdict for v in verdicts] == ["reproduced", "inconclusive", "reproduced"]
    assert verdicts[1].parts[0].interval.low < -0.05, "the true mean is inside"
