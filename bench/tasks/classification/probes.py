"""Probes: more metrics of the network at the end of training, named in `task.probes`. Each leaves the network in training mode."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.tasks.classification.averaging import brier
from bench.tasks.classification.protocol import Trained

BATCH = 1000  # images at a time


def brier_of_logits(trained: Trained) -> dict[str, float]:
    """`brier_of_logits`: the Brier score of the test images with logits in the place of probabilities, as the released code of r2SGLD has it.

    The score of probabilities is at most 2. References: arXiv 2405.07839, released code.
    """
    logits = test_logits(trained)
    return {"brier_of_logits": brier(logits.double(), trained.data.test_y)}


@torch.no_grad()
def test_logits(trained: Trained) -> Tensor:
    """Logits [N, K] of the test images."""
    trained.model.eval()
    parts = []
    for part in trained.data.test_x.split(BATCH):
        with trained.autocast():
            parts.append(trained.model(trained.images.normalise(part)).float())
    trained.model.train()
    return torch.cat(parts)
