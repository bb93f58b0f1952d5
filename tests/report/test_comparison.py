"""Jobs side by side: medians, intervals and paired differences are those that pandas and scipy give; every table fits its terminal."""

from __future__ import annotations

import io
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made import CONFIG
from own_sweep import make
from rich.console import Console
from scipy import stats

from bench import results
from bench.errors import UserError
from bench.judge.own import OwnJob, OwnRun, read_jobs
from bench.report.comparison import compare, paired, print_comparison, print_jobs
from bench.report.medians import RANGE, median_interval, number_text, text_of
from bench.report.naming import name_of, swept

SEEDS = 8


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own") / "results"
    make(
        folder,
        "-m",
        "method=signsgd,ssvr",
        "dataset=digits",
        "scale=smoke",
        "seeds=[0,1,2,3,4,5,6,7]",
    )
    return make(folder, "method=signsgd", "method.lr=1e-4", "dataset=digits", "scale=smoke", "seeds=[0,1,2]")


@pytest.fixture
def asked(job, root):
    """The jobs of commands on these results."""
    return lambda *lines: [
        job("dataset=digits", "scale=smoke", f"results_root={root}", *line.split()) for line in lines
    ]


def printed(draw, width: int = 200, **options) -> str:
    screen = Console(file=io.StringIO(), width=width, **options)
    draw(screen)
    return screen.file.getvalue()


def made(method: str, values: dict[int, float | None], **config) -> OwnJob:
    """A job of ssvr's finite sums with these mean_grad_l1 by seed; None: the seed failed."""
    parts = {part: dict(node) for part, node in CONFIG.items()}
    for path, value in config.items():
        part, _, key = path.partition("__")
        parts[part][key] = value
    runs = []
    for seed, value in values.items():
        ended = {"status": "finished", "metrics": {"mean_grad_l1": value}, "measured": {}, "code": ""}
        runs.append(OwnRun(seed, Path(), "failed" if value is None else "finished", None if value is None else ended))
    names = {"task": "finite_sum", "method": method, "dataset": "least_squares"}
    return OwnJob(Path(method), f"{method}{config}", names, parts, tuple(runs))


@pytest.mark.parametrize("n", [2, 5, 6, 8, 9, 20])
def test_the_median_s_interval_covers_at_95_percent_or_is_the_range(n):
    x = np.random.default_rng(n).standard_normal(n)
    found = median_interval(x)
    assert found.estimate == np.median(x)
    # the largest k with P(X_(k) <= median <= X_(n+1-k)) = 1 - 2 P(Binomial(n, 1/2) < k) >= 0.95
    covered = [k for k in range(1, n // 2 + 1) if 1 - 2 * stats.binom.cdf(k - 1, n, 0.5) >= 0.95]
    k = max(covered, default=1)
    assert (found.low, found.high) == (np.sort(x)[k - 1], np.sort(x)[n - k])
    assert (found.how == RANGE) == (not covered) == (n < 6)


def test_one_value_has_no_interval():
    assert text_of(median_interval([0.25])) == "0.25"
    assert text_of(median_interval([1408.0] * 8)) == "1,408"
    assert [number_text(v) for v in (0.5, 0.00001, 1234.5, 1e9, 0.0)] == ["0.5000", "1e-05", "1,234", "1e+09", "0"]


def test_the_table_of_a_sweep_says_what_pandas_says(asked, root):
    lines = [f"method={method} seeds=[0,1,2,3,4,5,6,7]" for method in ("signsgd", "ssvr")]
    text = printed(lambda s: print_jobs(asked(*lines), s))
    wide = results.load(root, {"method.lr": 3e-3}).pivot(index="seed", columns="method", values="test_accuracy")
    assert wide.shape == (SEEDS, 2)
    rows = {line.split()[0]: line for line in text.splitlines() if line.startswith(("signsgd", "ssvr"))}
    for method in wide:
        x = np.sort(wide[method])
        assert f" {x[3:5].mean():.4f} [{x[0]:.3f}, {x[-1]:.3f}] " in rows[method], (
            "of 8, the outermost two cover at 95 %"
        )
    difference = wide["ssvr"] - wide["signsgd"]
    ends = re.search(r" (\S+) \[(\S+), (\S+)\]( \*)? +(\d)/8 ", rows["ssvr"])
    shown, expected = [float(ends[k]) for k in (1, 2, 3)], [difference.median(), difference.min(), difference.max()]
    assert shown == pytest.approx(expected, rel=6e-3)
    assert (ends[4] is not None) == bool(difference.min() > 0 or difference.max() < 0)
    assert int(ends[5]) == (difference > 0).sum()
    assert ("1,408" in rows["signsgd"], "2,752" in rows["ssvr"]) == (True, True)
    assert text.splitlines()[0].strip() == "classification on digits: medians over 8 seeds"
    assert "digits-" not in text, "no hash"


def test_seeds_that_are_missing_are_said(asked):
    lines = [f"method=signsgd method.lr={lr} seeds=[0,1,2,3]" for lr in ("1e-4", "3e-3", "5e-3")]
    text = printed(lambda s: print_jobs(asked(*lines), s))
    rows = [line.split() for line in text.splitlines() if line.startswith("0.0")]
    assert [row[0] for row in rows] == ["0.0001", "0.003", "0.005"], "named by the step size alone"
    assert "3 finished, 1 missing" in text
    assert "4 missing" in text
    assert "signsgd on digits: medians over seeds" in text


def test_without_any_result_there_is_no_table(job, tmp_path):
    jobs = [job("dataset=digits", "scale=smoke", f"method={m}", f"results_root={tmp_path}") for m in ("ssvr", "sgd")]
    assert printed(lambda s: print_jobs(jobs, s)) == ""


def test_a_run_that_ended_without_a_result_is_unfinished(asked, root):
    """As one that was killed; whether anybody asked it to stop is not known."""
    jobs = asked("method=ssvr seeds=[0,901]")
    folder = jobs[0].folder / "seed901"
    folder.mkdir()
    try:
        (folder / "checkpoint.pt").touch()
        assert "1 finished, 1 unfinished" in printed(lambda s: print_jobs(jobs, s))
    finally:
        shutil.rmtree(folder)


def test_a_job_asked_for_twice_is_one_row(asked):
    text = printed(lambda s: print_jobs(asked("method=ssvr seeds=[0]", "method=ssvr seeds=[1]"), s))
    assert len([line for line in text.splitlines() if line.startswith("ssvr ")]) == 2, "the title and a row"
    assert "medians over 2 seeds" in text


@pytest.mark.parametrize("width", [60, 80, 100, 170])
def test_columns_go_before_anything_wraps(asked, width):
    jobs = asked(
        "method=signsgd seeds=[0,1,2]", "method=signsgd method.lr=1e-4 seeds=[0,1,2]", "method=ssvr seeds=[0,1,2]"
    )
    text = printed(lambda s: print_jobs(jobs, s), width)
    assert max(map(len, text.splitlines())) <= width
    rule = next(k for k, line in enumerate(text.splitlines()) if line.startswith("──"))
    rows = text.splitlines()[rule + 1 : rule + 4]
    assert [row.split()[:2] for row in rows] == [["signsgd", "0.003"], ["signsgd", "0.0001"], ["ssvr", "0.003"]]
    assert all("(" in row for row in rows)
    assert ("Left out" in " ".join(text.split())) == (width < 170)
    assert "…" not in text


def test_a_terminal_without_unicode(asked):
    class Ascii(io.StringIO):
        encoding = "ascii"

    screen = Console(file=Ascii(), width=150)
    print_jobs(asked("method=signsgd seeds=[0,1]", "method=ssvr seeds=[0,1]"), screen)
    text = screen.file.getvalue()
    assert text.isascii()
    assert "signsgd" in text


def test_jobs_are_named_by_what_was_swept_and_not_by_what_an_option_brings():
    jobs = [made("ssvr", {0: 1.0}, method__beta=0.5), made("sgd", {0: 1.0}), made("sgd", {0: 1.0}, method__lr=0.5)]
    assert swept(jobs) == ["method", "method.lr"]
    assert [name_of(job, swept(jobs)) for job in jobs] == ["ssvr, lr 1", "sgd, lr 1", "sgd, lr 0.5"]
    first, second = ({"_target_": "methods.sign.baselines.SGD", "lr": lr, "momentum": 0.9} for lr in (0.1, 0.2))
    jobs = [made("mixup", {0: 1.0}, method__optimizer=held) for held in (first, second)]
    assert [name_of(job, swept(jobs)) for job in jobs] == ["lr 0.1", "lr 0.2"], "of what a method holds"
    jobs = [made("mixup", {0: 1.0}, method__optimizer=held) for held in (first, {**first, "_target_": "a.AdamW"})]
    assert name_of(jobs[1], swept(jobs)) == "optimizer AdamW(lr=0.1, momentum=0.9)"
    jobs = [made("sgd", {0: 1.0}, method__dim=3), made("sgd", {0: 1.0}, dataset__dim=3)]
    assert swept(jobs) == ["method.dim", "dataset.dim"]


def test_differences_are_paired_by_seed_and_marked_only_at_95_percent():
    a = made("sgd", {seed: float(seed) for seed in range(9)})
    b = made("ssvr", {seed: seed - 1.0 for seed in range(1, 9)} | {9: 0.0, 3: None})
    found = paired(a, b, "mean_grad_l1")
    assert (found.interval.n, found.interval.estimate, found.better) == (7, -1.0, 7), "common seeds; lower is better"
    assert found.text == "-1 *"
    few = paired(made("sgd", {0: 1.0, 1: 5.0}), made("ssvr", {0: 0.0, 1: 3.0}), "mean_grad_l1")
    assert (few.decided, few.text) == (False, "-1.50 (-2..-1)")
    assert paired(a, made("ssvr", {9: 1.0}), "mean_grad_l1") is None


def test_two_jobs_side_by_side(root):
    jobs = {(job.names["method"], job.get("method.lr")): job for job in read_jobs(root, pytest.fail)}
    found = compare(jobs["signsgd", 1e-4], jobs["ssvr", 3e-3])
    assert found.keys == ["method", "method.beta", "method.lr"]
    assert [line.partition(":")[0] for line in found.warnings] == ["different budgets", "different seeds finished"]
    frame = results.load(root)
    wide = frame[(frame["method"] == "ssvr") | (frame["method.lr"] == 1e-4)].pivot(
        index="seed", columns="method", values="test_nll"
    )
    difference = (wide["ssvr"] - wide["signsgd"]).dropna()
    mine = found.paired["test_nll"]
    assert mine.interval.estimate == pytest.approx(difference.median(), rel=1e-12)
    assert (mine.interval.low, mine.interval.high) == (difference.min(), difference.max())
    assert (mine.better, mine.interval.n) == ((difference < 0).sum(), 3)
    assert found.medians["test_nll"][1].estimate == wide["ssvr"].median()
    for width in (80, 120):
        text = printed(lambda s, w=width: print_comparison(found, s), width)
        assert max(map(len, text.splitlines())) <= width
        assert re.search(r"method\.lr +0\.0001 +0\.003", text)


def test_jobs_that_cannot_be_compared_fairly_are_said_to_be():
    a = made("sgd", {0: 1.0, 1: 2.0})
    b = made("sgd", {0: 1.0, 1: 2.0}, dataset__dim=20)
    assert compare(a, b).warnings == ["different data: dataset.dim 10 and 20"]
    for job, precision in ((a, "fp32"), (b, "bf16")):
        for run in job.runs:
            run.result["precision"] = precision
    assert compare(a, b).warnings[1] == "different precision: fp32 and bf16"
    c, d = made("sgd", {0: 1.0, 1: 2.0}), made("ssvr", {0: 1.0, 1: 2.0})
    assert compare(c, d).warnings == []
    for job, digest in ((c, "aa"), (d, "bb")):
        job.runs[1].result["data"] = {"my.csv": digest}
    assert compare(c, d).warnings == ["different data: other files, or contents of them, at seed 1"]
    late = replace(d, runs=(replace(d.runs[0], state="diverged"), d.runs[1]))
    (more,) = [line for line in compare(c, late).warnings if "only what finished" in line]
    assert more == "ssvr: 1 diverged, 1 finished; only what finished is compared"
    with pytest.raises(UserError, match="no seed finished"):
        compare(a, made("sgd", {0: None}))
