"""Whole runs: what they count, that held-out images stay as they are, and that a run killed half-way ends as if it had not been."""

from __future__ import annotations

import dataclasses

import pytest
from conftest import QUIET

from bench.run.runner import execute

SMALL = ("dataset=digits", "dataset.train_size=96", "task.batch_size=32", "task.epochs=2", "seeds=[3]")


def metrics(job, tmp_path, *line: str) -> dict[str, float]:
    made = job(*line, *SMALL, *QUIET, f"results_root={tmp_path}", "scale=smoke")
    outcome = execute(dataclasses.replace(made))
    assert not outcome.failures, outcome.failures
    return outcome.results[3]["metrics"]


COUNTS = {
    "unmixed": 1,
    "label_smoothing": 1,
    "cutout": 1,
    "mixup": 1,
    "multimix": 5,
    "multimix_manifold": 5,
    "puzzle_mix": 2,
    "multimix_puzzle": 6,
    "augmix": 3,
}


@pytest.mark.parametrize("method", COUNTS)
def test_gradients_are_counted_an_image(method, job, tmp_path):
    assert metrics(job, tmp_path, f"method={method}")["gradient_evaluations"] == COUNTS[method] * 2 * 96


def test_test_images_are_not_mixed(job, tmp_path):
    probe = ["task.probes=[mixing_points.apart]", "extensions=[mixing_points]"]
    found = metrics(job, tmp_path, "method=multimix", *probe)
    assert found["test_accuracy"] == pytest.approx(found["apart_accuracy"], abs=1e-9)
    assert found["test_nll"] == pytest.approx(found["apart_nll"], rel=1e-5)


def test_unmixed_under_its_optimizer_is_that_optimizer_s_own_run(job, tmp_path):
    plain = metrics(job, tmp_path, "method=sgd")
    composed = metrics(job, tmp_path, "method=unmixed")
    assert {k: v for k, v in plain.items() if k != "seconds"} == {k: v for k, v in composed.items() if k != "seconds"}
