"""What is measured of a network: its gradient norms are those of the mean loss on the subset, its metrics those in evaluation mode."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bench.tasks.classification.augment import Augmenter
from bench.tasks.classification.evaluation import Evaluation

GENERATOR = torch.Generator().manual_seed(0)
IMAGES = torch.randint(0, 256, (50, 1, 4, 4), generator=GENERATOR).to(torch.uint8)
LABELS = torch.randint(0, 3, (50,), generator=GENERATOR)


def evaluation(**more: Any) -> Evaluation:
    none = SimpleNamespace(x=IMAGES[:0], y=LABELS[:0])
    data: Any = SimpleNamespace(
        train_x=IMAGES, train_y=LABELS, test_x=IMAGES[30:], test_y=LABELS[30:], val_x=none.x, val_y=none.y
    )
    return Evaluation(data, Augmenter(IMAGES, [0.4], [0.3], flip=True), nullcontext, **more)


@pytest.mark.parametrize("batch_size", [50, 37, 16, 2])
def test_gradient_norms_are_those_of_the_mean_loss_whatever_the_batches(batch_size):
    torch.manual_seed(1)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    found = evaluation(gradient_subset=37, batch_size=batch_size)
    found._images.normalise = lambda x: (x.double() / 255 - 0.4) / 0.3  # in double precision
    F.cross_entropy(model((IMAGES[:37].double() / 255 - 0.4) / 0.3), LABELS[:37]).backward()
    gradient = torch.cat([p.grad.flatten() for p in model.parameters()])
    measured = found(model)
    assert measured["grad_l1"] == pytest.approx(float(gradient.abs().sum()), rel=1e-12)
    assert measured["grad_l2"] == pytest.approx(float(gradient.norm()), rel=1e-12)


def test_held_out_images_are_measured_in_evaluation_mode_and_change_nothing():
    torch.manual_seed(1)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    measured = evaluation(gradient_subset=10, batch_size=5)(model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.training
    model.eval()
    logits = model((IMAGES[30:].float() / 255 - 0.4) / 0.3).detach()
    assert measured["test_nll"] == pytest.approx(float(F.cross_entropy(logits, LABELS[30:])), rel=1e-5)
    assert measured["test_accuracy"] == pytest.approx(float((logits.argmax(1) == LABELS[30:]).float().mean()))
