"""What a training run hands to its optimizer at each step: the schedule's step size, and the finite sum that the epoch goes through."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from bench.run.runner import execute

EPOCHS, BATCHES = 3, 4


class Watcher(torch.optim.Optimizer):
    """Leaves the parameters where they are and notes what it is given: step sizes, gradients, sums over an epoch's components."""

    def __init__(self, params, *, lr: float):
        super().__init__(params, {"lr": lr})
        self.rates, self.gradients, self.sums, self.components = [], [], [], []
        seen.append(self)

    def gradient(self) -> torch.Tensor:
        return torch.cat([p.grad.flatten() for group in self.param_groups for p in group["params"]])

    def snapshot(self, full_closure, num_components) -> None:
        full_closure()
        self.sums.append(self.gradient())
        self.components.append(num_components)

    def step(self, closure):
        loss = closure()
        self.rates.append(self.param_groups[0]["lr"])
        self.gradients.append(self.gradient())
        return loss


seen: list[Watcher] = []


@pytest.fixture
def watched(job, tmp_path):
    """watched("schedule=...", ...): what the optimizer of a short run was given, and the run's result."""

    def run(*overrides: str):
        small = ["dataset=digits", "dataset.train_size=130", "task.batch_size=32", f"task.epochs={EPOCHS}", "seeds=[0]"]
        quiet = ["tracker=none", "hardware=cpu", "verbose=false", f"results_root={tmp_path}"]
        made = job("method=signsgd", *small, *quiet, *overrides)
        node = {"_target_": f"{__name__}.Watcher", "lr": 0.2}
        seen.clear()
        outcome = execute(dataclasses.replace(made, parts=made.parts | {"method": node}))
        assert not outcome.failures
        return seen[0], outcome.results[0]

    return run


def test_the_schedule_advances_with_every_minibatch(watched):
    """130 images in minibatches of 32 are 4 steps an epoch, 12 in all."""
    cosine, _ = watched("schedule=cosine")
    assert cosine.rates == pytest.approx([0.1 * (1 + math.cos(math.pi * t / 12)) for t in range(12)])
    dropped, _ = watched("schedule=steps", "schedule.milestones=[0.5]", "schedule.gamma=0.1")
    assert dropped.rates == pytest.approx([0.2] * 6 + [0.02] * 6)


def test_the_full_gradient_is_the_mean_over_the_minibatches_that_the_epoch_goes_through(watched):
    """Those of its own order and crops; a model that does not move has the same gradients before the epoch and in it."""
    found, result = watched("model=mlp", "task.crop_padding=2")
    assert found.components == [BATCHES] * EPOCHS
    epochs = torch.stack(found.gradients).reshape(EPOCHS, BATCHES, -1).mean(1)
    size = float(epochs.norm(dim=1).mean())
    for epoch, full in enumerate(found.sums):
        assert float((full - epochs[epoch]).norm()) < 1e-5 * size
    assert float((epochs[0] - epochs[1]).norm()) > 1e-2 * size, "or this would tell nothing"
    assert result["metrics"]["gradient_evaluations"] == EPOCHS * 2 * BATCHES * 32, "each image once before, once in it"
