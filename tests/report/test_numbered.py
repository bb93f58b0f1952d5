"""Lines of final metrics whose names hold a number: variances against K with their prediction, reliability diagrams."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import pytest
from made import run

from bench.judge.papers import Figure
from bench.judge.shown import numbers
from bench.report import drawing, figures

VARIANCE = {
    "experiment": "ssvr/digits",
    "caption": "Variance.",
    "x": "interpolations K",
    "y": "gradient_variance_k*",
    "by": "method.alpha",
    "log": "x",
    "numbered": {"label": "gradient $variance$", "beside": {"predicted": "gradient_variance_predicted_k*"}},
}
RELIABILITY = {
    "experiment": "ssvr/digits",
    "caption": "Reliability.",
    "x": "confidence",
    "y": "reliability_accuracy_*",
    "numbered": {"label": "accuracy", "bins": 15, "diagonal": "calibrated"},
}
TEXT = "{http://www.w3.org/2000/svg}text"


def variance(alpha: float, seed: int, **changes) -> object:
    """Measured alpha (seed + 1/K), predicted half of that; one more metric whose name only begins alike."""
    found = {f"gradient_variance_k{k}": alpha * (seed + 1 / k) for k in (20, 5, 1)}
    found |= {f"gradient_variance_predicted_k{k}": alpha * (seed + 1 / k) / 2 for k in (1, 5)}
    found |= {"gradient_variance_ratio_k5": 9.0, "gradient_variance_ratio_stratified_k5": 9.0}
    return run("multimix", seed, found, task="classification", config={"method.alpha": alpha}, **changes)


def drawn(content: dict, runs: list) -> str:
    figure = Figure(**content)
    svg = drawing.draw(figure, figures.lines(figure, runs), "classification")
    assert svg == drawing.draw(figure, figures.lines(figure, runs), "classification"), "the same every time"
    return svg


def words(svg: str) -> list[str]:
    return ["".join(e.itertext()).strip() for e in ElementTree.fromstring(svg).iter(TEXT)]


def test_a_pattern_is_a_number_in_the_place_of_its_star_and_nothing_else():
    names = ["v_k10", "v_k2", "v_k", "v_kx2", "a.v_k2", "v_k2_more", "w_k3", "v_k-1", "v_k٣"]
    assert numbers("v_k*", names) == {2: "v_k2", 10: "v_k10"}
    assert list(numbers("v_k*", names)) == [2, 10], "in the order of the numbers"
    assert numbers("v_k*_more", names) == {2: "v_k2_more"}
    assert numbers("*.v", ["1xv", "1.v"]) == {1: "1.v"}, "a dot is a dot"


def test_variances_against_k_with_their_prediction_by_alpha():
    other = [variance(2.0, 5, status="diverged"), variance(2.0, 6, state="missing", status="")]
    found = figures.lines(Figure(**VARIANCE), [variance(a, s) for a in (2.0, 0.5) for s in (1, 0, 2)] + other)
    assert [line.label for line in found] == ["alpha 2.0", "alpha 0.5"]
    first = found[0]
    assert (first.x, first.seeds) == ([1, 5, 20], 3)
    assert first.median == pytest.approx([4.0, 2.4, 2.1])
    assert (first.low, first.high) == (pytest.approx([2.0, 0.4, 0.1]), pytest.approx([6.0, 4.4, 4.1])), "the range"
    (beside,) = first.beside
    assert (beside.label, beside.x, beside.median) == ("predicted", [1, 5], pytest.approx([2.0, 1.2]))


def test_the_prediction_is_dashed_in_a_darker_colour_of_the_line_and_named_once():
    svg = drawn(VARIANCE, [variance(a, s) for a in (2.0, 0.5) for s in range(3)])
    said = words(svg)
    assert said.count("predicted") == 1
    assert {"interpolations K", "gradient $variance$", "alpha 2", "alpha 0.5", "1", "5", "20"} <= set(said)
    dashed = re.findall(r"stroke-dasharray: [^\"]*stroke: (#\w+)", svg)
    assert sorted(dashed) == ["#003c5e", "#3b3f46", "#773c1a"], (
        "two lines in darker colours than their own, and the legend's"
    )
    alone = VARIANCE | {"numbered": {"label": "variance"}}
    assert "dasharray" not in drawn(alone, [variance(2.0, 0)])


def test_only_and_each_choose_runs():
    runs = [variance(a, s) for a in (2.0, 0.5) for s in range(3)]
    figure = Figure(**VARIANCE, only={"method.alpha": 0.5})
    assert [line.label for line in figures.lines(figure, runs)] == ["alpha 0.5"]
    assert figures.lines(Figure(**VARIANCE, only={"method": "sgd"}), runs) == []
    assert figures.lines(Figure(**VARIANCE), [run("sgd", 0, {"test_nll": 1.0}, task="classification")]) == []


def reliable(method: str, seed: int, bins: list[int]) -> object:
    found = {f"reliability_accuracy_{n:02}": n / 15 - 0.01 * seed for n in bins}
    found |= {f"reliability_share_{n:02}": 1 / len(bins) for n in bins}
    return run(method, seed, found, task="classification")


def test_reliability_is_at_the_bins_middles_and_bins_empty_in_most_runs_are_left_out():
    runs = [reliable("a", s, [1, 8, 15] if s == 0 else [8, 15]) for s in range(4)]
    runs[1] = reliable("a", 1, [2, 8, 15])
    runs[2] = reliable("a", 2, [2, 8, 15])
    (line,) = figures.lines(Figure(**RELIABILITY), runs)
    assert line.x == pytest.approx([1.5 / 15, 7.5 / 15, 14.5 / 15]), "bin 1 is empty in three of four"
    assert line.median == pytest.approx([2 / 15 - 0.015, 8 / 15 - 0.015, 1 - 0.015])
    assert (
        Figure(**RELIABILITY).legend == "Reliability. Bins that are empty in more than half of the runs are left out."
    )
    assert Figure(**VARIANCE).legend == "Variance."


def test_a_run_without_the_probe_does_not_count_among_those_with_empty_bins():
    without = [run("a", s, {"test_nll": 1.0}, task="classification") for s in range(2, 9)]
    (line,) = figures.lines(Figure(**RELIABILITY), [reliable("a", s, [8, 15]) for s in range(2)] + without)
    assert line.x == pytest.approx([0.5, 14.5 / 15])


def test_the_diagonal_goes_from_corner_to_corner():
    runs = [reliable(m, s, list(range(3, 16))) for m in ("a", "b") for s in range(6)]
    canvas = figures.canvas_of(Figure(**RELIABILITY), figures.lines(Figure(**RELIABILITY), runs), "classification")
    ends = [list(map(tuple, drawn.get_xydata())) for drawn in canvas.axes[0].lines]
    assert ends.count([(0, 0), (1, 1)]) == 1
    said = words(drawn(RELIABILITY, runs))
    assert said.count("calibrated") == 1
    assert {"a", "b", "confidence", "accuracy"} <= set(said)
    bare = RELIABILITY | {"numbered": {"label": "accuracy", "bins": 15}}
    assert "calibrated" not in words(drawn(bare, runs))
