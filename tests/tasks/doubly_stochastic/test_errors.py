"""Errors of a descent are means over replicates of the squared distance, and of the distance; stationary is the second half of a run."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from bench.tasks.doubly_stochastic.loop import Descent


def test_errors_are_means_over_replicates():
    """One step size, two seeds of three replicates, in the plane around (1, 0)."""
    x = torch.tensor([[[1.0, 3.0], [1.0, 0.0], [4.0, 4.0], [1.0, 1.0], [2.0, 0.0], [1.0, -2.0]]], dtype=torch.float64)
    optimum = torch.tensor([1.0, 0.0], dtype=torch.float64)
    descent: Any = SimpleNamespace(
        x=x,
        step=1,
        every=2,
        replicates=3,
        errors=x.new_zeros(2, 1, 1, 2),
        method=SimpleNamespace(update=lambda x, gradient, step: x, answer=lambda x: x),
        problem=SimpleNamespace(gradient=lambda x, batch: x, optimum=optimum),
    )
    Descent._advance(descent, None)
    assert descent.step == 2
    squared, distance = descent.errors[:, 0, 0].tolist()
    assert squared == pytest.approx([(9 + 0 + 25) / 3, (1 + 1 + 4) / 3])
    assert distance == pytest.approx([(3 + 0 + 5) / 3, (1 + 1 + 2) / 3])


def test_the_stationary_error_is_the_mean_of_the_second_half():
    """Of five records the last three; the curve has every record that is asked for."""
    errors = torch.tensor([16.0, 8.0, 4.0, 2.0, 3.0], dtype=torch.float64)[None, :, None, None].repeat(2, 1, 1, 1)
    descent: Any = SimpleNamespace(steps=50, every=10, errors=errors, lrs=[0.1])
    rows, final, status = Descent.results(descent, 0, 0.5, [], 100)
    assert final["stationary_error"] == pytest.approx(3.0)
    assert final["error"] == 3.0
    assert [row["error"] for row in rows if row.get("iterations") in (10, 50)] == [16.0, 3.0]
    assert status == "finished"
