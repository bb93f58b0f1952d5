"""Whole runs of the curvature task against the chain rule by hand: every row of the map, every eigenvalue, every final metric."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import final, result_of
from reference.curvature_map import Datum, run
from reference.same_numbers import same

from bench.run.curve import read_metrics
from bench.tasks.curvature.note import NOTE

TASK: dict[str, Any] = {  # as its config says
    "means": [-4.0, 4.0],
    "log10_variances": [-2.0, 1.5],
    "counts": [9, 8],
    "stride": 2,
    "points": [[2.0, 3.0], [2.0, 1.0]],
    "pair": [[0.98654, 2.35523], [1.66230, 28.96543]],
}
OWN = {
    "means": [-3.0, 2.5],
    "log10_variances": [-1.5, 1.0],
    "counts": [7, 11],
    "stride": 3,
    "points": [[0.5, 0.2], [-1.0, 4.0], [0.0, 1.0]],
    "pair": [[0.5, 2.75], [1.5, 0.75]],
}


def compare(go, method: str, data: dict[str, Any], task: dict[str, Any], seeds: tuple[int, ...] = (0,)) -> tuple:
    """The map's curvatures are rounded to four digits: one of them may fall on the other side of a rounding."""
    line = [f"method={method}", "dataset=repeated_datum", f"seeds={list(seeds)}"]
    line += [f"dataset.{name}={value}" for name, value in data.items()]
    line += [f"task.{name}={value}" for name, value in task.items()]
    rows, last = run(Datum(**data), method, **(TASK | task))
    drawn = sum("relative_curvature" in row for row in rows)
    folders = go(*line)
    for folder, found in zip(folders, final(folders), strict=True):
        curve = read_metrics(folder)
        same(curve[:drawn], rows[:drawn], 1e-12, 1.01e-4)
        assert [(row["m"], row["v"]) for row in curve[:drawn]] == [(row["m"], row["v"]) for row in rows[:drawn]]
        exact = sum(row["relative_curvature"] == other["relative_curvature"] for row, other in zip(curve, rows[:drawn]))
        assert exact >= 0.98 * drawn
        same(curve[drawn:], rows[drawn:], 1e-9, 1e-9)
        assert found["share_nonconvex"] == last["share_nonconvex"]
        same([found], [last], 1e-9, 1e-9)
        assert result_of(folder)["status"] == "finished"
    return rows, last


LIKELIHOODS = [
    {"likelihood": "bernoulli", "copies": 1},
    {"likelihood": "bernoulli", "copies": 10, "y": 1.0, "prior_variance": 4.0},
    {"likelihood": "poisson", "copies": 3, "y": 2.0, "prior_variance": 30.0},
    {"likelihood": "normal", "copies": 5, "y": 0.7},
]


@pytest.mark.parametrize("method", ["expectation", "mean_scale"])
@pytest.mark.parametrize("data", LIKELIHOODS, ids=lambda data: data["likelihood"])
def test_maps(go, method, data):
    """The task's own map and points at smoke scale, as far as they go without overflow of rounding, and others."""
    compare(go, method, data, {"counts": TASK["counts"]}, (0, 4))
    compare(go, method, data, OWN)


def test_no_map_and_no_points(go):
    rows, last = compare(go, "expectation", {"copies": 100}, {"stride": 0, "points": [], "counts": [21, 18]})
    assert rows == []
    assert 0.1 < last["share_nonconvex"] < 0.9
    assert last["min_eigenvalue"] < 0 < last["jensen_gap"]


def test_every_metric_of_the_note_is_compared(go):
    rows, last = compare(go, "expectation", {"copies": 2}, {"counts": [3, 4]})
    assert set(NOTE.metrics) | {"step"} == {name for row in [*rows, last] for name in row}
