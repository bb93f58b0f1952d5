"""The archive keeps what is read, and nothing that is judged, drawn or tabled changes by what it leaves out."""

from __future__ import annotations

import pytest
from made import run

from bench.judge.papers import Paper, load_papers
from bench.judge.readers import Reader, kept, readers
from bench.report.paper import build

EXPERIMENT = "ssvr/rate_finite_sum"
CURVE = [
    {"step": t, "iterations": t, "cost": c, "mean_grad_l1": t / c, "mean_grad_l2": 7.0, "gradient_evaluations": t}
    for t in (100, 1000)
    for c in (1, 10)
]


def test_a_reader_names_columns_and_rows():
    whole, rows = (
        Reader(frozenset({"mean_grad_l1"})),
        Reader(frozenset({"mean_grad_l2"}), (("cost", (1,)), ("iterations", (100, 1000)))),
    )
    assert kept(CURVE, []) == []
    assert kept(CURVE, [whole]) == [{"step": r["step"], "mean_grad_l1": r["mean_grad_l1"]} for r in CURVE]
    assert kept(CURVE, [rows]) == [{"step": t, "mean_grad_l2": 7.0} for t in (100, 1000)]
    both = kept(CURVE, [whole, rows])
    assert [set(row) for row in both] == [{"step", "mean_grad_l1", "mean_grad_l2"}, {"step", "mean_grad_l1"}] * 2
    assert kept([{"step": 1, "other": 2}], [whole]) == []


def paper(**parts) -> Paper:
    about = {
        "title": "t",
        "authors": "a",
        "year": 2024,
        "venue": "v",
        "arxiv": "2406.00489",
        "code": {"url": None},
        "summary": "s",
    }
    return Paper.model_validate({**about, "claims": {}, **parts})


def claim(**check) -> dict:
    source = {"tier": "paper", "where": "Theorem 2", "how": "read", "reference": "arXiv 2406.00489"}
    return {
        "says": "s",
        "source": source,
        "experiment": EXPERIMENT,
        "deterministic": True,
        "check": {"metric": "mean_grad_l1", **check},
    }


EVERYTHING = {
    "claims": {
        "slope": claim(kind="slope", of={"method": "a"}, over="iterations", at={"cost": 1}, within=[0.5, 1.5]),
        "row": claim(kind="value", of={"method": "a"}, target=10, at={"iterations": 100, "cost": 10}, margin=1),
        "column": claim(kind="value", of={"method": "a"}, targets={1: 1000, 10: 100}, over="cost", at={"iterations": 1000}, margin=1),
        "extreme": claim(kind="bound", of={"method": "a"}, curve="max", at_most=1000.5),
        "final": claim(kind="bound", of={"method": "a"}, at_most=2.5),
        "than": claim(kind="better", of={"method": "a"}, than={"method": "b"}, at={"iterations": 100, "cost": 1}),
    },
    "figures": {
        "lines": {"experiment": EXPERIMENT, "caption": "c", "x": "iterations", "y": "mean_grad_l1", "at": {"cost": 10}},
        "by_column": {"experiment": EXPERIMENT, "caption": "c", "x": "iterations", "y": "mean_grad_l1", "by": "cost"},
        "map": {"experiment": EXPERIMENT, "caption": "c", "x": "iterations", "y": "cost", "value": "mean_grad_l2"},
    },
    "tables": {"pivot": {"experiment": EXPERIMENT, "caption": "c", "value": "mean_grad_l1", "split": "cost"}},
}  # fmt: skip


@pytest.mark.parametrize("part", [None, *EVERYTHING])
def test_reports_of_all_rows_and_of_those_that_are_kept_are_the_same(part):
    content = paper(**(EVERYTHING if part is None else {part: EVERYTHING[part]}))
    whole = [
        run(m, s, {"mean_grad_l1": v}, curve=[row | {"mean_grad_l1": row["mean_grad_l1"] * v} for row in CURVE])
        for m, v in (("a", 1.0), ("b", 2.0))
        for s in (0, 1)
    ]
    less = [run(r.method, r.seed, r.metrics, curve=kept(r.curve, readers(content, EXPERIMENT))) for r in whole]
    assert build("ssvr", content, whole, ["mini"], {}).files == build("ssvr", content, less, ["mini"], {}).files
    if part == "claims":
        verdicts = build("ssvr", content, less, ["mini"], {}).files["verdicts/ssvr.csv"]
        assert verdicts.count(",reproduced,") == len(EVERYTHING["claims"]), verdicts


def test_figures_of_final_metrics_read_no_row():
    numbered = {"label": "accuracy", "bins": 15}
    figure = {"experiment": "ssvr/digits", "caption": "c", "x": "confidence", "y": "reliability_accuracy_*"}
    assert readers(paper(figures={"final": figure | {"numbered": numbered}}), "ssvr/digits") == []
    assert readers(paper(figures={"curve": figure | {"x": "epoch", "y": "test_accuracy"}}), "ssvr/digits")


def test_a_claim_on_final_metrics_needs_no_row():
    assert readers(paper(claims={"final": EVERYTHING["claims"]["final"]}), EXPERIMENT) == []
    found = readers(load_papers("ssvr")["ssvr"], "ssvr/rate_stochastic")
    assert any("iterations" in reader.columns for reader in found)
