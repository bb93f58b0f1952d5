"""The figures of conf/paper/sava.yaml from hand-made runs of their experiments: what stands on their axes, and what lines they have."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest
from made import run

from bench.judge.papers import load_papers
from bench.judge.readers import kept, readers
from bench.report import drawing, figures

PAPER = load_papers("sava")["sava"]
FIGURES = dict(PAPER.drawn())
SIZES = [10_000, 30_000, 100_000]


def lines(name: str, runs: list) -> list[figures.Line]:
    """From what the archive keeps of the runs."""
    figure = FIGURES[name]
    wanted = readers(PAPER, figure.experiment)
    found = figures.lines(figure, [replace(r, curve=kept(r.curve, wanted)) for r in runs])
    ElementTree.fromstring(drawing.draw(figure, found, "valuation"))
    return found


def of(method: str, seed: int, size: int, metrics: dict, curve: list) -> object:
    made = run(method, seed, metrics, task="valuation", dataset="cifar10_noisy", curve=curve)
    config = made.config | {"dataset": {"train_size": size}}
    return replace(made, config=config, key=f"{method}{size}")


@pytest.mark.parametrize(("name", "metric"), [("cost_seconds", "seconds"), ("cost_memory", "peak_bytes")])
def test_cost_is_over_points_on_logarithmic_axes(name, metric):
    curve = [{"step": 1, "inspected": 1.0, "detected": 1.0}]
    (line,) = lines(name, [of("sava", s, n, {metric: n / 100 + s}, curve) for n in SIZES for s in range(3)])
    assert (line.label, line.x, line.median) == ("sava", SIZES, [101.0, 301.0, 1001.0])
    assert FIGURES[name].log == "xy"


def pruned(method: str, size: int = 2000) -> list:
    """Two seeds; what is left out helps by a tenth of its share."""
    return [
        of(method, s, size, {}, [{"step": 1, "pruned": p, "pruned_accuracy": 0.5 + p / 10 + size / 1e5} for p in (0.0, 0.3)])
        for s in range(2)
    ]  # fmt: skip


def test_accuracy_is_over_the_share_that_is_left_out():
    first, second = lines("prune", pruned("sava") + pruned("random"))
    assert (first.label, second.label) == ("sava", "random")
    assert first.x == [0.0, 0.3]
    assert first.median == pytest.approx([0.52, 0.55])


def test_growing_sets_have_a_line_for_all_points_and_one_for_those_kept():
    runs = [r for method in ("sava", "knn_shapley") for size in (400, 2000) for r in pruned(method, size)]
    for name in ("nonstationary_sava", "nonstationary_knn_shapley"):
        first, second = lines(name, runs)
        assert (first.label, second.label) == ("pruned 0.0", "pruned 0.3")
        assert first.x == second.x == [400, 2000]
        assert second.median == pytest.approx([0.534, 0.55])
        assert (first.seeds, FIGURES[name].only["method"]) == (2, name.partition("_")[2])
