"""Whole runs of teacher recovery against plain loops over single students: every row, every final metric, every count."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from reference.feature_learning_compared import same, text
from reference.teacher_recovery import Reference

from bench.run.curve import read_metrics
from bench.tasks.teacher_recovery.note import NOTE

SEEDS = [0, 3]
SMALL = {"dim": 5}
LOOSE = dict.fromkeys(("x", "y", "signed_mass", "certificate", "angle"), 1e-12)  # rounded to a few digits


def compared(go, method: str, data: dict, task: dict, seeds: list[int], rest: float = 1e-9, **own: Any):
    """Run both and compare all; the reference and the result files."""
    parts = {"dataset": data, "task": task, "method": own}
    line = [f"{part}.{name}={text(value)}" for part, keys in parts.items() for name, value in keys.items()]
    folders: list[Path] = go(f"method={method}", "dataset=teacher_student", *line, f"seeds={text(seeds)}")
    reference = Reference(method, data, task, seeds, own)
    results = [json.loads((folder / "result.json").read_text()) for folder in folders]
    for s, folder in enumerate(folders):
        rows = read_metrics(folder)
        for row, plain in zip(rows, reference.curves[s], strict=True):
            same(row, plain, LOOSE, rest)
        same(results[s]["metrics"], reference.finals[s], LOOSE, rest)
        assert results[s]["status"] == "finished"
        measured = results[s]["measured"]
        assert math.isclose(
            measured["examples_per_second"] * measured["wall_seconds"], reference.examples, rel_tol=1e-6
        )
    return reference, results


@pytest.mark.parametrize(
    "method",
    [
        "random_features",
        "one_step_features",
        "regularised_gd",
        "random_start_gd",
        "regularised_gd_fixed",
        "unregularised_gd",
    ],
)
def test_each_method(method, go):
    """All stages of two seeds, rows at uneven numbers of steps, pictures of one seed."""
    task = {"width": 6, "steps": 41, "points": 5, "drawn_seed": 3, "circle_points": 4}
    compared(go, method, SMALL, task, SEEDS)


@pytest.mark.parametrize(
    "data",
    [
        {"dim": 4, "neurons": 2, "signs": "positive", "mixing": 0.0},
        {"dim": 4, "neurons": 4, "mixing": 0.6, "max_cosine": 0.3},
        {"dim": 6, "signs": [-1, -1, 1], "max_cosine": 0.9},
    ],
)
def test_each_teacher(data, go):
    compared(go, "regularised_gd", data, {"width": 5, "steps": 12, "points": 3}, [1, 6], lam=0.02, halvings=2.0)


def test_the_way_to_recovery(go):
    """Neurons come near their teachers one after another and cancel in part; in the end all weights are found."""
    task, data = {"width": 12, "steps": 155, "points": 25}, {"dim": 3, "mixing": 0.5}
    own = {"lam": 0.01, "lr": 2.5, "halvings": 5.0}
    reference, _ = compared(go, "regularised_gd", data, task, [0, 1], **own)
    assert {round(3 * row["recovered_share"]) for row in reference.curves[0]} == {0, 1, 3}
    assert len({row["far_mass"] for row in reference.curves[1]}) > 10


@pytest.mark.parametrize("features", ["gradient_step", "random"])
def test_samples(features, go):
    """More samples than one chunk in the first stages, minibatches in the third."""
    task = {"width": 5, "steps": 9, "points": 3, "drawn_seed": 0}
    own = {"first_samples": 10_013, "batch_size": 7, "features": features, "floor": 1e-3}
    compared(go, "regularised_sgd", SMALL, task, SEEDS, **own)


def test_grids(go):
    """A row a setting instead of a curve; figures are of the first."""
    task = {"width": 5, "steps": 8, "points": 3, "drawn_seed": 3, "circle_points": 3}
    grid = {"lam": [4e-3, 2e-2], "lr": [0.3, 1.0]}
    compared(go, "regularised_gd", SMALL, {**task, "grid": grid}, [3], ridge=1e-2)
    own = {"first_samples": 300, "batch_size": 7}
    compared(go, "regularised_sgd", SMALL, {**task, "grid": {"lam": [4e-3, 2e-2]}}, SEEDS, **own)


def test_grids_of_one_setting_and_of_no_decay(go):
    """One setting has a curve too; a setting without decay has no certificates, and takes no other's."""
    task = {"width": 5, "steps": 8, "points": 2, "grid": {"halvings": [2.0]}}
    compared(go, "regularised_gd", SMALL, task, SEEDS)
    task = {"width": 5, "steps": 8, "points": 2, "grid": {"lam": [3e-3, 0.0]}, "drawn_seed": 0, "circle_points": 3}
    compared(go, "regularised_gd", SMALL, task, [0], floor=0.0)


def test_grids_of_features(go):
    task = {"width": 5, "steps": 8, "grid": {"ridge": [1e-1, 1e-4]}}
    compared(go, "one_step_features", SMALL, task, SEEDS)


def test_every_metric_of_the_note_is_compared():
    task = {"width": 3, "steps": 2, "points": 1, "drawn_seed": 0, "circle_points": 1}
    curve, grid = ({**task, "grid": grid} for grid in (None, {"lam": [1e-3], "lr": [0.1]}))
    names = set()
    for each in (curve, grid):
        reference = Reference("regularised_gd", {"dim": 3}, each, [0], {})
        names.update(*reference.curves[0], reference.finals[0])
    assert names - {"step"} == set(NOTE.metrics)
