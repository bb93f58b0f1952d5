"""Methods that form their own loss, probes of the network that was trained, and dropout that is the same at every look at a minibatch."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from conftest import QUIET
from torch import Tensor, nn

from bench.run.runner import execute
from bench.tasks.classification.probes import brier_of_logits

seen: list[Any] = []


class Halves(torch.optim.SGD):
    """The minibatch's cross-entropy in two parts, a half of the images each; notes what it is given, and looks twice."""

    def __init__(self, params, model, mean, std, *, lr: float, parts: int):
        super().__init__(params, lr=lr)
        self.model, self.mean, self.std, self.parts = model, mean, std, parts
        self.draws, self.gradients = [], []
        seen.append(self)

    def losses(self, network, x: Tensor, y: Tensor, loss, generator):
        self.draws.append(torch.rand(3, generator=generator).tolist())
        for half_x, half_y in zip(x.chunk(self.parts), y.chunk(self.parts)):
            yield loss(network(half_x), half_y) * (len(half_y) / len(y)), len(half_y)

    def step(self, closure):
        for _ in range(2):
            loss = closure()
            self.gradients.append(torch.cat([p.grad.flatten() for g in self.param_groups for p in g["params"]]).clone())
        super().step()
        return loss


def softened(trained) -> dict[str, float]:
    assert trained.model.training
    return {"probe_seed": float(trained.seed)}


@pytest.fixture
def trained(job, tmp_path):
    """trained({method's keys}, "task.probes=[...]", ...): the optimizer of a short run, and its result."""

    def run(keys: dict[str, Any], *overrides: str, model: dict[str, Any] | None = None):
        small = ["dataset=digits", "dataset.train_size=96", "task.batch_size=32", "task.epochs=2", "seeds=[3]"]
        made = job("method=sgd", *small, *QUIET, f"results_root={tmp_path}", *overrides)
        parts = made.parts | {"method": keys} | ({"model": model} if model else {})
        seen.clear()
        outcome = execute(dataclasses.replace(made, parts=parts))
        assert not outcome.failures, outcome.failures
        return seen[-1] if seen else None, outcome.results[3]["metrics"]

    return run


def halves(parts: int) -> dict[str, Any]:
    return {"_target_": f"{__name__}.Halves", "lr": 0.1, "parts": parts}


def test_parts_of_a_loss_add_up(trained):
    """Two parts have the gradient and the loss of the whole, label smoothing too; each image's gradient is counted once a look."""
    one, first = trained(halves(1), "task.label_smoothing=0.1")
    two, second = trained(halves(2), "task.label_smoothing=0.1", "task.gradient_subset=64")
    for a, b in zip(one.gradients, two.gradients):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
    assert first["gradient_evaluations"] == second["gradient_evaluations"] == 2 * 2 * 96
    assert first["train_loss"] == pytest.approx(second["train_loss"], rel=1e-5)
    assert isinstance(two.model, nn.Module)
    assert two.mean.shape == two.std.shape == (1, 1, 1, 1)


def test_draws_start_anew_at_each_look_at_a_minibatch(trained):
    found, _ = trained(halves(1))
    looks = [tuple(draw) for draw in found.draws]
    assert looks[::2] == looks[1::2]
    assert len(set(looks)) == len(looks) / 2, "and differ from minibatch to minibatch"


def test_probes_measure_the_last_network(trained):
    names = ["brier_of_logits", "softened"]
    where = ["bench.tasks.classification.probes", __name__]
    asked = ",".join(f"{module}.{name}" for module, name in zip(where, names))
    _, found = trained({"_target_": "torch.optim.SGD", "lr": 0.1}, f"task.probes=[{asked}]", f"extensions=[{__name__}]")
    assert found["probe_seed"] == 3.0
    assert found["brier_of_logits"] > 0


def test_the_brier_score_of_logits_by_hand():
    network, x = nn.Linear(2, 3), torch.tensor([[1.0, 2.0], [0.5, -1.0]])
    weights = [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]
    network.load_state_dict({"weight": torch.tensor(weights), "bias": torch.zeros(3)})

    class Made:
        model, autocast = network, torch.enable_grad
        data = dataclasses.make_dataclass("D", ["test_x", "test_y"])(x, torch.tensor([2, 0]))
        images = dataclasses.make_dataclass("I", ["normalise"])(lambda part: part)

    logits = [(1, 2, 3), (0.5, -1, -0.5)]
    labels = [(0, 0, 1), (1, 0, 0)]
    expected = sum(sum((a - b) ** 2 for a, b in zip(p, y)) for p, y in zip(logits, labels)) / 2
    assert brier_of_logits(Made())["brier_of_logits"] == pytest.approx(expected)


class Watched(torch.optim.SGD):
    """Two looks at each minibatch of a network that does not move, and the epoch's full gradient."""

    def __init__(self, params, *, lr: float):
        super().__init__(params, lr=lr)
        self.looks, self.full = [], []
        seen.append(self)

    def _gradient(self) -> Tensor:
        return torch.cat([p.grad.flatten() for group in self.param_groups for p in group["params"]]).clone()

    def snapshot(self, full_closure, num_components) -> None:
        full_closure()
        self.full.append(self._gradient())

    def step(self, closure):
        for _ in range(2):
            loss = closure()
            self.looks.append(self._gradient())
        return loss


def test_dropout_is_the_same_at_each_look_and_in_the_full_gradient(trained):
    model = {"_target_": "reference.tiny_images.Noisy", "dropout": 0.5}
    found, _ = trained({"_target_": f"{__name__}.Watched", "lr": 0.0}, model=model)
    first, second = torch.stack(found.looks[::2]), torch.stack(found.looks[1::2])
    assert torch.equal(first, second)
    for full, epoch in zip(found.full, first.reshape(2, 3, -1)):
        torch.testing.assert_close(full, epoch.mean(0), rtol=1e-4, atol=1e-6)
    assert not torch.allclose(first[0], first[1], atol=1e-3)
