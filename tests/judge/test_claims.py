"""Verdicts on hand-made runs: each kind says yes, no and undecided; runs that must not be compared are refused with the reason."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from conftest import ROOT
from made import claim, run, runs

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
        (BETTER | {"by": 0.5}, (LOW, HIGH), (HIGH, LOW), (MIXED, LOW)),
        (BETTER | {"factor": 0.7}, (LOW, HIGH), (LOW, LOW), (MIXED, HIGH)),
        (VALUE, (LOW,), (HIGH,), (MIXED,)),
        (VALUE | {"target": B}, (LOW, LOW[::-1]), (LOW, HIGH), (LOW, MIXED)),
        (BOUND, (LOW,), (HIGH,), (MIXED,)),
        ({"kind": "bound", "of": A, "at_least": 1.5}, (HIGH,), (LOW,), (MIXED,)),
        ({"kind": "identity", "of": A, "equals": 1.0, "tolerance": 0.2}, (LOW,), (HIGH,), None),
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
            for s in range(6)
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
    assert found == "not reproduced", "b is above c in each of seven seeds: 2 x 2^-7 is below 5 %"


def test_holm_guards_an_ordering_s_refutation():
    """One reversed pair of three at p = 2^-5 is not enough once three pairs were looked at."""
    tiers = {"kind": "ordering", "tiers": [[A], [B], [{"method": "c"}]]}
    found = judge(
        claim(**tiers), [*runs("a", HIGH[:5]), *runs("b", LOW[:5]), *runs("c", [9.0, 9.1, 9.2, 9.3, 9.4])], "mini"
    )
    assert min(part.against for part in found.parts) == 2.0**-5
    assert found.verdict == "inconclusive"


def test_few_seeds_cannot_decide_and_the_reason_says_so():
    found = judge(claim(**BETTER), runs("a", LOW[:3]) + runs("b", HIGH[:3]), "mini")
    assert found.verdict == "inconclusive"
    assert "3 seeds cannot decide" in found.reason
    one = judge(claim(**VALUE), runs("a", [1.0]), "mini")
    assert one.verdict == "inconclusive", "one value proves nothing"


def test_one_run_decides_where_nothing_is_random():
    for check, yes, no in (
        (VALUE, ([1.1],), ([1.3],)),
        (BOUND, ([1.4],), ([1.6],)),
        (BETTER, ([1.0], [2.0]), ([2.0], [1.0])),
    ):
        found = [
            judge(claim(**check, deterministic=True), [r for m, v in zip("ab", values) for r in runs(m, v)], "mini")
            for values in (yes, no)
        ]
        assert [f.verdict for f in found] == ["reproduced", "not reproduced"]


def test_a_row_of_a_published_table_is_one_claim():
    check = {"kind": "value", "of": A, "targets": {"x": 1.2345, "y": 2.0}, "relative": 1e-3}

    def table(x, y):
        return runs("a", [x], dataset="x") + runs("a", [y], dataset="y")

    exact = claim(**check, deterministic=True)
    assert judge(exact, table(1.2346, 2.0), "mini").verdict == "reproduced"
    found = judge(exact, table(1.2345, 2.01), "mini")
    assert (found.verdict, found.reason) == ("not reproduced", "the opposite holds for a, y, exactly")
    assert [part.label for part in found.parts] == ["a, x", "a, y"]


def test_targets_over_a_column_are_rows_and_over_a_key_are_runs():
    def curve(name, seed, shift, **config):
        rows = [{"iterations": k, "mean_grad_l1": k + shift} for k in (1, 2)]
        return run(name, seed, {"mean_grad_l1": 0.0}, curve=rows, config=config)

    check = {"kind": "value", "of": A, "over": "iterations", "targets": {1: 1.0, 2: 2.0}, "margin": 0.5}
    near, far = ([curve("a", s, shift + s / 100) for s in range(5)] for shift in (0.0, 0.7))
    found = judge(claim(**check), near, "mini")
    assert (found.verdict, found.parts[1].label) == ("reproduced", "a, iterations 2")
    assert verdict(check, far) == "not reproduced"
    assert verdict(check | {"targets": {3: 1.0}}, near) == "not comparable"
    keyed = check | {"over": "dataset.num_components", "targets": {64: 1.0, 256: 2.0}, "at": {"iterations": 1}}
    other = {"dataset.num_components": 64}, {"dataset.num_components": 256}
    both = [curve("a", s, k + s / 100, **config) for k, config in enumerate(other) for s in range(5)]
    assert verdict(keyed, both) == "reproduced"


def test_a_claim_for_each_option_needs_all_of_them():
    made = claim(**BETTER, each={"dataset": ["x", "y"]})

    def market(name, a, b):
        return runs("a", a, dataset=name, key=f"a{name}") + runs("b", b, dataset=name, key=f"b{name}")

    both = judge(made, market("x", LOW, HIGH) + market("y", LOW, HIGH), "mini")
    assert (both.verdict, len(both.parts)) == ("reproduced", 2)
    assert both.parts[1].label == "a, y minus b, y"
    one = judge(made, market("x", LOW, HIGH) + market("y", HIGH, LOW), "mini")
    assert (one.verdict, "a, y minus b, y" in one.reason) == ("not reproduced", True)
    assert judge(made, market("x", LOW, HIGH), "mini").verdict == "not comparable"


def test_the_planner_says_how_many_seeds_would_decide():
    found = judge(claim(**BETTER), runs("a", MIXED) + runs("b", [1.9, 2.0, 2.1, 1.8, 2.2, 2.0]), "mini")
    assert found.verdict == "inconclusive"
    assert f"needs {found.planner.needed} seeds" in found.reason
    assert found.planner.power[5] < found.planner.power[10] < found.planner.power[20]
    assert found.planner.needed > 6


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


def test_divergence_refutes_the_subject_and_is_silent_on_the_rival():
    bad = [
        replace(r, status="diverged", state="diverged", metrics={**r.metrics, "mean_grad_l1": None})
        for r in runs("a", LOW)
    ]
    rival = [replace(r, method="b", key="b") for r in bad]
    found = judge(claim(**BETTER), bad + runs("b", HIGH), "mini")
    assert (found.verdict, "seeds 0, 1, 2, 3, 4, 5 of a diverged" in found.reason) == ("not reproduced", True)
    assert judge(claim(**BETTER), runs("a", LOW) + rival, "mini").verdict == "inconclusive"
    assert judge(claim(**BOUND), bad, "mini").verdict == "not reproduced"


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


def test_under_the_null_at_most_five_percent_of_claims_are_reproduced():
    """Two methods alike: 1000 repetitions for each kind, three standard errors of slack."""
    rng = np.random.default_rng(0)
    slack = 0.05 + 3 * np.sqrt(0.05 * 0.95 / 1000)
    for check, draw in (
        (BETTER, lambda: (rng.normal(5, 1, 6), rng.normal(5, 1, 6))),
        (VALUE | {"target": B, "margin": 1.0}, lambda: (rng.normal(6, 0.3, 6), rng.normal(5, 0.3, 6))),
        (BOUND, lambda: (rng.normal(1.5, 1, 6),)),
        (VALUE, lambda: (rng.normal(1.2, 0.05, 6),)),
    ):
        made = claim(**check)
        samples = [[r for m, values in zip("ab", draw()) for r in runs(m, values)] for _ in range(1000)]
        found = [judge(made, sample, "mini").verdict for sample in samples]
        assert np.mean([v == "reproduced" for v in found]) <= slack, check


def test_judging_needs_no_torch_and_takes_every_claim():
    modules = "bench.judge.claims, bench.judge.archive, bench.report.paper, bench.report.publish, bench.judge.reproduce"
    code = f"import sys; import {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
    papers = load_papers()
    judged = judge_all(papers, [], ["mini", "paper"])
    assert len(judged) == 2 * sum(len(p.claims) + len(p.audits) for p in papers.values())
    at_its_scale = [j.verdict.verdict for j in judged if j.scale in j.claim.scales]
    elsewhere = {j.verdict.verdict for j in judged if j.scale not in j.claim.scales}
    assert set(at_its_scale) == {"not run"}
    assert elsewhere <= {"not comparable"}
