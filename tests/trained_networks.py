"""Networks at the end of a training that did not take place, with data: what probes are given."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from bench.tasks.classification.augment import Augmenter
from bench.tasks.classification.batches import Batches
from bench.tasks.classification.images import LabelledImages
from bench.tasks.classification.protocol import Trained


def images(n: int, channels: int, side: int, seed: int = 0) -> Tensor:
    """Random bytes."""
    g = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, channels, side, side), generator=g).to(torch.uint8)


def finished(model: nn.Module, x: Tensor, y: Tensor, classes: int, test: int = 0, **method: Any) -> Trained:
    """The first `test` images are tested on as well; `method` are its attributes."""
    data = LabelledImages(
        train_x=x,
        train_y=y,
        train_y_clean=y,
        val_x=x[:0],
        val_y=y[:0],
        test_x=x[: test or None],
        test_y=y[: test or None],
        class_names=[str(c) for c in range(classes)],
        mean=[0.4 + 0.05 * c for c in range(x.shape[1])],
        std=[0.25 + 0.02 * c for c in range(x.shape[1])],
        mirror=False,
    )
    shown = Augmenter(data.train_x, data.mean, data.std)
    model.train()
    return Trained(model, data, shown, Batches(shown, y, 0, 16), SimpleNamespace(**method), 3, nullcontext)
