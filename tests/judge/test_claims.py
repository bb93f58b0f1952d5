"""Verdicts on hand-made runs: each kind says yes, no and undecided; runs that must not be compared are refused with the reason."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from conftest import ROOT
from made import claim, run, runs

import bench.judge.groups as grouping
from bench.judge.claims import judge, judge_all
from bench.judge.papers import load_papers

LOW, HIGH = [1.0, 1.1, 0.9, 1.05, 0.95, 1.02], [2.0, 2.2, 1.9, 2.1, 2.05, 1.95]
MIXED = [0.5, 2.5, 0.7, 2.6, 0.4, 2.4]
A, B = {"method": "a"}, {"method": "b"}


def verdict(check: dict, *groups: list, scale: str = "mini") -> str:
    return judge(claim(**check), [r for g in groups for r in g], scale).verdict


BETTER = {"kind": "better", "of": A, "than": B}
VALUE = {"kind": "value", "of": A, "target": 1.0, "margin": 0.2}
BOUND = {"kind": "bound", "of": A, "at_most": 1.5}


@pytest.mark.parametrize(
    ("check", "yes", "no", "open_"),
    [
        (BETTER, (LOW, HIGH), (HIGH, LOW), (MIXED, LOW)),
        (BETTER | {"by": 0.5}, (LOW, HIGH), (HIGH, LOW), (MIXED, HIGH)),
        (BETTER | {"factor": 0.7}, (LOW, HIGH), (LOW, LOW), (MIXED, HIGH)),
        (VALUE, (LOW,), (HIGH,), (MIXED,)),
        (VALUE | {"target": B}, (LOW, LOW[::-1]), (LOW, HIGH), (LOW, MIXED)),
        (BOUND, (LOW,), (HIGH,), (MIXED,)),
        ({"kind": "bound", "of": A, "at_least": 1.5}, (HIGH,), (LOW,), (MIXED,)),
        (VALUE | {"target": B, "margin": None, "relative": 0.2}, (LOW, LOW[::-1]), (LOW, HIGH), (LOW, MIXED)),
        (BOUND | {"estimand": "mean", "range": [0.0, 9.0]}, ([1.0] * 200,), ([8.0] * 200,), (MIXED,)),
        (BETTER | {"estimand": "mean", "symmetric": "sides may be swapped"}, (LOW, HIGH), (HIGH, LOW), (MIXED, LOW)),
        (
            BETTER | {"estimand": "log_mean", "symmetric": "swapped", "factor": 0.7},
            (LOW, HIGH),
            (LOW, LOW),
            (MIXED, HIGH),
        ),
        ({"kind": "share", "of": A, "below": 1.5, "at_least": 0.5}, (LOW,), (HIGH,), (MIXED,)),
        ({"kind": "share", "of": A, "above": 1.5, "at_most": 0.5}, (LOW,), (HIGH,), (MIXED,)),
        ({"kind": "identity", "of": A, "equals": 1.0, "tolerance": 0.2}, (LOW,), (HIGH,), (LOW[:5],)),
        ({"kind": "identity", "of": A, "equals": B, "tolerance": 1e-9}, (LOW, LOW), (LOW, HIGH), None),
        ({"kind": "ordering", "tiers": [[A], [B]]}, (LOW, HIGH), (HIGH, LOW), (MIXED, LOW)),
    ],
)
def test_each_kind_says_yes_no_and_undecided(check, yes, no, open_):
    for expected, values in (("reproduced", yes), ("not reproduced", no), ("inconclusive", open_)):
        if values is not None:
            assert verdict(check, *(runs(m, v) for m, v in zip("ab", values))) == expected


def test_better_follows_the_metric_s_direction():
    """Accuracy is better high, the gradient norm low."""
    source = [
        replace(r, task="classification") for r in runs("a", HIGH, "test_accuracy") + runs("b", LOW, "test_accuracy")
    ]
    check = claim(**BETTER).model_copy(update={})
    up = check.model_copy(update={"check": check.check.model_copy(update={"metric": "test_accuracy"})})
    assert judge(up, source, "mini").verdict == "reproduced"
    assert verdict(BETTER, runs("a", HIGH), runs("b", LOW)) == "not reproduced"


def test_a_slope_over_the_curve_and_over_a_config_key():
    def curve(exponent, noise):
        return [{"iterations": t, "mean_grad_l1": noise * t**exponent} for t in (100, 1000, 10000)]

    found = [run("a", s, {"mean_grad_l1": 1.0}, curve=curve(-0.5 + 0.01 * (-1) ** s, 1 + s)) for s in range(6)]
    slope = {"kind": "slope", "over": "iterations", "of": A}
    assert verdict(slope | {"within": [-0.6, -0.4]}, found) == "reproduced"
    assert verdict(slope | {"within": [-0.3, -0.2]}, found) == "not reproduced"
    assert verdict(slope | {"within": [-0.52, -0.5]}, found) == "inconclusive"
    over = {"kind": "slope", "over": "dataset.num_components", "of": A, "within": [0.2, 0.3]}

    def grid(method, exponent):
        return [
            run(
                method,
                s,
                {"mean_grad_l1": (1 + s) * m ** (exponent + 0.01 * (s % 2))},
                config={"dataset.num_components": m},
            )
            for s in range(8)
            for m in (64, 256, 1024)
        ]

    assert verdict(over, grid("a", 0.25)) == "reproduced"
    assert verdict(over | {"below": B}, grid("a", 0.25), grid("b", 0.5)) == "reproduced"
    assert verdict(over | {"below": B}, grid("a", 0.25), grid("b", 0.1)) == "not reproduced"


def test_a_bound_on_the_curve_s_extreme():
    curves = [[{"mean_grad_l1": 3.0 + s / 10}, {"mean_grad_l1": 1.2 + s / 10}] for s in range(6)]
    found = [run("a", s, {"mean_grad_l1": 9.0}, curve=c) for s, c in enumerate(curves)]
    check = {"kind": "bound", "of": A, "at_least": 1.0}
    assert verdict(check | {"curve": "min"}, found) == "reproduced"
    assert verdict(check | {"curve": "min", "at_least": 2.0}, found) == "not reproduced"
    assert verdict(check | {"curve": "max", "at_least": 2.0}, found) == "reproduced"


def test_an_ordering_needs_all_pairs_and_is_refuted_by_one():
    c = {"method": "c"}
    tiers = {"kind": "ordering", "tiers": [[A, B], [c]]}
    third = [3.0, 3.2, 2.9, 3.1, 3.3, 2.8]
    assert verdict(tiers, runs("a", LOW), runs("b", HIGH), runs("c", third)) == "reproduced"
    seven = [*HIGH, 2.01]
    found = verdict(tiers, runs("a", [*LOW, 1.0]), runs("b", [*third, 3.0]), runs("c", seven))
    assert found == "not reproduced", "b is above c in each of seven seeds: 2^-7 is below 2.5 % / 2"


def test_a_refutation_gets_its_share_of_the_level():
    """One reversed pair of three at 2^-6 is not enough once three pairs were looked at."""
    tiers = {"kind": "ordering", "tiers": [[A], [B], [{"method": "c"}]]}
    found = judge(
        claim(**tiers), [*runs("a", HIGH), *runs("b", LOW), *runs("c", [9.0, 9.1, 9.2, 9.3, 9.4, 9.5])], "mini"
    )
    assert found.verdict == "inconclusive"
    assert found.parts[0].interval.level == pytest.approx(1 - 0.05 / 3)


def test_the_interval_shown_is_the_one_that_decides():
    for groups in ((LOW, HIGH), (HIGH, LOW), (MIXED, LOW)):
        found = judge(claim(**BETTER), [r for m, v in zip("ab", groups) for r in runs(m, v)], "mini")
        (part,) = found.parts
        low, high = part.accept
        where = (
            "reproduced" if low < part.interval.low and part.interval.high < high
            else "not reproduced" if part.interval.low >= high
            else "inconclusive"
        )  # fmt: skip
        assert found.verdict == where
        assert part.interval.how == "median"


def test_a_ratio_is_shown_where_a_ratio_is_tested():
    found = judge(claim(**BETTER, factor=0.7), runs("a", LOW) + runs("b", HIGH), "mini")
    assert found.parts[0].interval.estimate == pytest.approx(np.median(np.array(LOW) / HIGH))
    assert found.parts[0].accept == (-np.inf, 0.7)


def test_no_worse_that_passes_both_ways_is_an_error_of_the_claim():
    near = [v * 1.01 for v in LOW]
    found = judge(claim(**BETTER, factor=1.1), runs("a", LOW) + runs("b", near), "mini")
    assert (found.verdict, "b is no worse than a as well" in found.reason) == ("not comparable", True)
    assert verdict(BETTER | {"factor": 1.1}, runs("a", LOW), runs("b", HIGH)) == "reproduced"
    equal = {"kind": "value", "of": A, "target": B, "relative": 0.1}
    assert verdict(equal, runs("a", LOW), runs("b", near)) == "reproduced"


def test_few_seeds_cannot_decide_and_the_reason_says_so():
    found = judge(claim(**BETTER), runs("a", LOW[:5]) + runs("b", HIGH[:5]), "mini")
    assert found.verdict == "inconclusive"
    assert "5 runs cannot decide at 95 %" in found.reason
    one = judge(claim(**VALUE), runs("a", [1.0]), "mini")
    assert one.verdict == "inconclusive", "one value proves nothing"
    same = judge(claim(**VALUE), runs("a", [1.0, 1.0]), "mini")
    assert same.verdict == "inconclusive", "nor do two that are equal"


def test_runs_that_agree_decide_where_nothing_is_random():
    for check, yes, no in (
        (VALUE, ([1.1] * 2,), ([1.3] * 2,)),
        (BOUND, ([1.4] * 2,), ([1.6] * 2,)),
        (BETTER, ([1.0] * 2, [2.0] * 2), ([2.0] * 2, [1.0] * 2)),
    ):
        made = claim(**check, deterministic=True)
        found = [judge(made, [r for m, v in zip("ab", values) for r in runs(m, v)], "mini") for values in (yes, no)]
        assert [f.verdict for f in found] == ["reproduced", "not reproduced"]


def test_what_is_said_to_be_deterministic_must_be():
    found = judge(claim(**VALUE, deterministic=True), runs("a", [1.0, 1.01]), "mini")
    assert (found.verdict, "differs between seeds" in found.reason) == ("not comparable", True)


def test_a_row_of_a_published_table_is_one_claim():
    check = {"kind": "value", "of": A, "targets": {"x": 1.2345, "y": 2.0}, "relative": 1e-3}

    def table(x, y):
        return runs("a", [x] * 2, dataset="x") + runs("a", [y] * 2, dataset="y")

    exact = claim(**check, deterministic=True)
    assert judge(exact, table(1.2346, 2.0), "mini").verdict == "reproduced"
    found = judge(exact, table(1.2345, 2.01), "mini")
    assert (found.verdict, found.reason) == ("not reproduced", "a, y: exact, outside")
    assert [part.label for part in found.parts] == ["a, y", "a, x"], "the one that decides comes first"


def test_targets_over_a_column_are_rows_and_over_a_key_are_runs():
    def curve(name, seed, shift, **config):
        rows = [{"iterations": k, "mean_grad_l1": k + shift} for k in (1, 2)]
        return run(name, seed, {"mean_grad_l1": 0.0}, curve=rows, config=config)

    check = {"kind": "value", "of": A, "over": "iterations", "targets": {1: 1.0, 2: 2.0}, "margin": 0.5}
    near, far = ([curve("a", s, shift + s / 100) for s in range(8)] for shift in (0.0, 0.7))
    found = judge(claim(**check), near, "mini")
    assert (found.verdict, found.parts[1].label) == ("reproduced", "a, iterations 2")
    assert verdict(check, far) == "not reproduced"
    assert verdict(check | {"targets": {3: 1.0}}, near) == "not comparable"
    keyed = check | {"over": "dataset.num_components", "targets": {64: 1.0, 256: 2.0}, "at": {"iterations": 1}}
    other = {"dataset.num_components": 64}, {"dataset.num_components": 256}
    both = [curve("a", s, k + s / 100, **config) for k, config in enumerate(other) for s in range(8)]
    assert verdict(keyed, both) == "reproduced"


def test_a_claim_for_each_option_needs_all_of_them():
    made = claim(**BETTER, each={"dataset": ["x", "y"]})

    def market(name, a, b):
        return runs("a", a, dataset=name, key=f"a{name}") + runs("b", b, dataset=name, key=f"b{name}")

    both = judge(made, market("x", LOW, HIGH) + market("y", LOW, HIGH), "mini")
    assert (both.verdict, len(both.parts)) == ("reproduced", 2)
    assert both.parts[1].label == "a, y minus b, y"
    one = judge(made, market("x", [*LOW, 1.0], [*HIGH, 2.0]) + market("y", [*HIGH, 2.0], [*LOW, 1.0]), "mini")
    assert (one.verdict, "a, y minus b, y" in one.reason) == ("not reproduced", True)
    assert judge(made, market("x", LOW, HIGH), "mini").verdict == "not comparable"


def test_the_planner_speaks_of_the_verdict_that_the_effect_points_to():
    close = [1.9, 2.0, 2.1, 1.8, 2.2, 2.0]
    good, bad = [1.0] * 5 + [3.0], [3.0] * 5 + [1.0]
    found = judge(claim(**BETTER), runs("a", good) + runs("b", close), "mini")
    assert found.verdict == "inconclusive"
    assert f"{found.planner.needed} runs would show it with 80 % probability" in found.reason
    assert found.planner.power[6] < found.planner.power[12] < found.planner.power[24]
    other = judge(claim(**BETTER), runs("a", bad) + runs("b", close), "mini")
    assert f"{other.planner.needed} runs would show the opposite with 80 % probability" in other.reason
    assert (found.planner.towards, other.planner.towards) == ("reproduced", "not reproduced")
    assert found.planner.needed == other.planner.needed > 6


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"config": {"dataset.dim": 11}}, "different data: dataset.dim 10 and 11"),
        ({"config": {"task.theory": False}}, "different protocols: task.theory True and False"),
        ({"precision": "bf16"}, "different precision: fp32 and bf16"),
        ({"dataset": "other"}, "different data: dataset least_squares and other"),
    ],
)
def test_runs_that_differ_are_refused_and_the_reason_names_it(change, reason):
    found = judge(claim(**BETTER), runs("a", LOW) + runs("b", HIGH, **change), "mini")
    assert found.verdict == "not comparable"
    assert reason in found.reason


def test_budgets_and_seeds_must_agree():
    twice = [replace(r, metrics={**r.metrics, "gradient_evaluations": 2000}) for r in runs("b", HIGH)]
    found = judge(claim(**BETTER), runs("a", LOW) + twice, "mini")
    assert (found.verdict, "budgets: 1000 and 2000 gradient_evaluations" in found.reason) == ("not comparable", True)
    assert verdict(BETTER | {"budget": "iterations"}, runs("a", LOW), twice) == "reproduced"
    found = judge(claim(**BETTER), runs("a", LOW) + runs("b", HIGH)[:5], "mini")
    assert (found.verdict, "different seeds" in found.reason) == ("not comparable", True)


def test_what_a_claim_names_may_differ():
    check = BETTER | {"of": {"dataset.dim": 10}, "than": {"dataset.dim": 20}}
    assert verdict(check, runs("a", LOW), runs("a", HIGH, config={"dataset.dim": 20})) == "reproduced"
    ambiguous = runs("a", LOW) + runs("a", LOW, config={"method.lr": 2.0}) + runs("b", HIGH)
    found = judge(claim(**BETTER), ambiguous, "mini")
    assert (found.verdict, "method.lr" in found.reason) == ("not comparable", True)


@pytest.mark.parametrize(("selection", "wanted"), [("last", "reproduced"), ("best_val", "not comparable")])
def test_when_runs_are_measured_matters_where_the_best_is_taken(selection, wanted, monkeypatch):
    """Who looks more often finds a better best; the last measurement is the same however often one looked."""
    known = grouping.note
    monkeypatch.setattr(grouping, "note", lambda task: replace(known(task), measured=("theory",)))
    high = runs("b", HIGH, config={"task.theory": False, "task.selection": selection})
    found = judge(claim(**BETTER), runs("a", LOW, config={"task.selection": selection}) + high, "mini")
    assert found.verdict == wanted, found.reason


def test_no_verdict_before_every_run_has_ended():
    found = judge(claim(**BETTER), [*runs("a", LOW), *runs("b", HIGH)[:5], run("b", 5, None, state="failed")], "mini")
    assert found.verdict == "not run"
    assert "5 of 6 runs of b have ended, 1 crashed" in found.reason
    assert judge(claim(**BETTER), [], "mini").verdict == "not run"


def test_another_scale_is_not_comparable():
    found = judge(claim(**BETTER, scales=["paper"]), runs("a", LOW) + runs("b", HIGH), "mini")
    assert (found.verdict, found.reason) == ("not comparable", "decided at paper scale only")


def test_a_missing_row_or_number_is_not_comparable():
    assert verdict(BETTER | {"at": {"iterations": 7}}, runs("a", LOW), runs("b", HIGH)) == "not comparable"
    assert verdict(BETTER | {"metric": "mean_grad_l2"}, runs("a", LOW), runs("b", HIGH)) == "not comparable"


def diverged(method: str, count: int) -> list:
    """Runs of which the last `count` of 8 diverged."""
    found = runs(method, [1.0 + s / 100 for s in range(8)])
    return [replace(r, status="diverged", state="diverged", metrics={}) if r.seed >= 8 - count else r for r in found]


@pytest.mark.parametrize(
    "check",
    [
        BETTER,
        BETTER | {"factor": 0.9},
        {"kind": "ordering", "tiers": [[A], [B]]},
        VALUE,
        VALUE | {"target": B},
        BOUND,
        {"kind": "bound", "of": A, "at_least": 0.5},
        {"kind": "share", "of": A, "below": 1.5, "at_least": 0.5},
        {"kind": "share", "of": A, "above": 1.5, "at_most": 0.5},
        {"kind": "identity", "of": A, "equals": 1.0, "tolerance": 0.2},
        BOUND | {"estimand": "mean", "range": [0.0, 3.0]},
    ],
)
def test_divergence_counts_against_the_side_that_claims_to_win(check):
    """In every kind: all runs of the subject diverged, and no verdict is better for it than with sound ones."""
    rival = runs("b", [1.0 if "target" in check and check["target"] == B else 2.0] * 8)
    sound, all_bad = verdict(check, diverged("a", 0), rival), verdict(check, diverged("a", 8), rival)
    assert sound == "reproduced" or check.get("estimand") == "mean"
    assert all_bad == "not reproduced" or (check.get("estimand") == "mean" and all_bad != "reproduced")


@pytest.mark.parametrize("check", [BETTER, BETTER | {"factor": 0.9}, {"kind": "ordering", "tiers": [[A], [B]]}])
def test_a_rival_that_diverged_proves_nothing(check):
    subject = runs("a", [1.0 + s / 100 for s in range(8)])
    assert verdict(check, subject, diverged("b", 8)) == "inconclusive"
    high = [replace(r, metrics=r.metrics | {"mean_grad_l1": 5.0}) if not r.diverged else r for r in diverged("b", 1)]
    assert verdict(check, subject, high) == "inconclusive", "seven of eight pairs: one too few"


@pytest.mark.parametrize(
    "check",
    [VALUE, VALUE | {"target": B}, VALUE | {"target": B, "margin": None, "relative": 0.2}],
)
@pytest.mark.parametrize("off", [0.1, 9.0])
def test_diverged_runs_do_not_balance_those_on_the_other_side(check, off):
    """Of 100 runs 40 are off, 20 right and 40 diverged: the median is no right number, whichever end diverged runs stand at."""

    def diverging(values, count):
        found = runs("a", values)
        return [replace(r, status="diverged", metrics={}) if r.seed >= 100 - count else r for r in found]

    rival = runs("b", [1.0] * 100)
    assert verdict(check, diverging([off] * 40 + [1.0] * 60, 40), rival) == "not reproduced"
    assert verdict(check, diverging([1.0] * 100, 30), rival) == "reproduced", "thirty leave the median where it is"


def test_diverged_slopes_do_not_balance_those_on_the_other_side():
    def curve(exponent):
        return [{"iterations": t, "mean_grad_l1": t**exponent} for t in (100, 1000)]

    steep = [run("a", s, {"mean_grad_l1": 1.0}, curve=curve(-2.0 if s < 40 else -0.5)) for s in range(100)]
    found = [replace(r, status="diverged", metrics={}) if r.seed >= 60 else r for r in steep]
    slope = {"kind": "slope", "over": "iterations", "of": A, "within": [-0.6, -0.4]}
    assert verdict(slope, found) == "not reproduced"


def test_slopes_are_compared_over_the_same_values():
    def grid(method, values):
        return [
            run(method, s, {"mean_grad_l1": m**0.25}, config={"dataset.num_components": m})
            for s in range(8)
            for m in values
        ]

    over = {"kind": "slope", "over": "dataset.num_components", "of": A, "within": [0.2, 0.3], "below": B}
    found = judge(claim(**over), grid("a", (64, 256, 1024)) + grid("b", (256, 1024)), "mini")
    assert found.verdict == "not comparable"
    assert "over different values of dataset.num_components: 64, 256, 1024 and 256, 1024" in found.reason


def test_a_slope_over_zero_is_no_log_log_slope():
    rows = [{"iterations": t, "mean_grad_l1": 1.0} for t in (0, 100, 1000)]
    found = judge(
        claim(kind="slope", over="iterations", of=A, within=[-1.0, 1.0]),
        [run("a", s, {"mean_grad_l1": 1.0}, curve=rows) for s in range(8)],
        "mini",
    )
    assert (found.verdict, "iterations is not positive" in found.reason) == ("not comparable", True)


def test_precision_is_one_for_all_runs():
    """Half of the seeds in another precision, in one group or in both."""
    mixed = [replace(r, precision="bf16") if r.seed >= 3 else r for r in runs("a", LOW)]
    for records in (mixed + runs("b", HIGH), runs("b", HIGH) + mixed):
        found = judge(claim(**BETTER), records, "mini")
        assert (found.verdict, found.reason) == ("not comparable", "runs of a have different precision: fp32 and bf16")


def test_a_run_that_diverged_and_one_that_did_not_do_not_agree():
    found = [*runs("a", [1.0]), replace(run("a", 1, {}), status="diverged", metrics={})]
    judged = judge(claim(**VALUE, deterministic=True), found, "mini")
    assert (judged.verdict, judged.reason) == (
        "not comparable",
        "said to be deterministic, but a differs between seeds",
    )


def test_a_number_outside_of_the_claimed_range_is_said():
    judged = judge(claim(**BOUND | {"estimand": "mean", "range": [0.0, 0.5]}), runs("a", LOW), "mini")
    assert judged.verdict == "not comparable"
    assert judged.reason == "a value lies outside of [0, 0.5], which the claim says the metric cannot leave"


def test_a_difference_of_slopes_has_the_range_of_a_difference():
    """Slopes in [-1, 0] differ by up to 1."""

    def curves(method, exponent):
        rows = [{"iterations": t, "mean_grad_l1": t**exponent} for t in (100, 1000)]
        return [run(method, s, {"mean_grad_l1": 1.0}, curve=rows) for s in range(100)]

    slope = {"kind": "slope", "over": "iterations", "of": A, "within": [-1.0, 0.0], "below": B}
    law = {"estimand": "mean", "range": [-1.0, 0.0]}
    assert verdict(slope | law, curves("a", -0.1), curves("b", -0.9)) == "not reproduced"
    assert verdict(slope | law, curves("a", -0.9), curves("b", -0.1)) == "reproduced"


@pytest.mark.parametrize(
    "check",
    [
        BETTER,
        VALUE | {"target": B},
        {"kind": "ordering", "tiers": [[A], [B]]},
        {"kind": "slope", "over": "iterations", "of": A, "within": [-1.0, 0.0]},
    ],
)
def test_a_difference_has_no_geometric_mean(check):
    for law in ({"range": [0.5, 9.0]}, {"symmetric": "sides may be swapped"}):
        with pytest.raises(ValueError, match="a difference or a slope is not"):
            claim(**check, estimand="log_mean", **law)


def test_a_grid_of_many_is_not_compared_with_one_of_few():
    def tuned(method, rates):
        return [
            run(method, s, {"mean_grad_l1": 1.0 + s / 10}, config={"method.lr": lr}) for lr in rates for s in range(16)
        ]

    check = claim(**BETTER, tune="method.lr")
    found = judge(check, tuned("a", (0.1, 0.3, 1.0, 3.0)) + tuned("b", (0.1, 0.3)), "mini")
    assert (found.verdict, found.reason) == ("not comparable", "a and b have different numbers of method.lr: 4 and 2")


def test_a_diverged_share_of_slopes_counts():
    def curves(bad):
        rows = [{"iterations": t, "mean_grad_l1": t**-0.5} for t in (100, 1000)]
        found = [run("a", s, {"mean_grad_l1": 1.0}, curve=rows) for s in range(8)]
        return [replace(r, status="diverged", state="diverged") if r.seed >= 8 - bad else r for r in found]

    slope = {"kind": "slope", "over": "iterations", "of": A, "within": [-0.6, -0.4]}
    assert [verdict(slope, curves(bad)) for bad in (0, 8)] == ["reproduced", "not reproduced"]


def test_runs_of_other_code_are_counted():
    old = [replace(r, state="stale") for r in runs("b", HIGH)]
    assert judge(claim(**BETTER), runs("a", LOW) + old, "mini").stale == 6


def test_a_tuned_comparison_judges_on_seeds_that_did_not_choose():
    """lr 2 wins on the first half of the seeds; on the other half its numbers are high."""
    halves = {1.0: ([2.0] * 6, [2.0] * 6), 2.0: ([1.0] * 6, [9.0] * 6)}
    grid = [
        r
        for method in "ab"
        for lr, (first, second) in halves.items()
        for r in runs(
            method, [v + (method == "b") + s / 100 for s, v in enumerate(first + second)], config={"method.lr": lr}
        )
    ]
    found = judge(claim(**BETTER, tune="method.lr"), grid, "mini")
    assert found.verdict == "reproduced"
    assert found.groups[0][1].estimate == pytest.approx(9.085)
    assert "a: method.lr 2.0 (largest tried)" in found.reason


def test_judging_needs_no_torch_and_takes_every_claim():
    modules = "bench.judge.claims, bench.judge.archive, bench.report.paper, bench.report.publish, bench.judge.reproduce"
    code = f"import sys; import {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
    papers = load_papers()
    judged = judge_all(papers, [], ["mini", "paper"])
    assert len(judged) == sum(len(p.claims) + len(p.audits) for p in papers.values()), "one protocol, one count"
    assert {j.verdict.verdict for j in judged} == {"not run"}


def test_all_that_is_reduced_is_said_data_first():
    full = {"dataset.num_components": None, "task.horizons": [100, 1000, 10000], "method.lr": 2.0, "task.theory": False}
    more = {"experiments": ("ssvr/rate_finite_sum@paper",), "config": full | {"dataset.dim": 50, "task.extra": 3}}
    few, many = runs("a", LOW), runs("a", [*LOW, *HIGH], **more)
    content = load_papers("ssvr")["ssvr"]
    content = content.model_copy(update={"claims": {"x": claim(**BOUND)}, "audits": {}})
    mini, paper = judge_all({"ssvr": content}, [*few, *many], ["mini", "paper"], [])
    assert mini.protocol == (
        "reduced: dim 10 instead of 50, num_components 256 instead of all, lr 1.0 instead of 2.0, extra none instead of 3, "
        "horizons [100, 1000] instead of [100, 1000, 10000], "
        "theory True instead of False, 6 instead of 12 seeds"
    )
    assert paper.protocol == "full protocol"
    (one,) = judge_all(
        {"ssvr": content}, [*few, *runs("a", LOW, experiments=more["experiments"])], ["mini", "paper"], []
    )
    assert one.protocol == "full protocol", "the same runs at both scales are one protocol"
