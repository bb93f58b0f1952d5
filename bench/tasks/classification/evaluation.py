"""Measuring a network: metrics on held-out images, and norms of the training gradient on a fixed subset."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from bench.tasks.classification.augment import Augmenter
from bench.tasks.classification.images import LabelledImages
from bench.tasks.classification.metrics import ClassifierMetrics

BATCH = 1000  # held-out images at a time


class Evaluation:
    """What is measured of a network, on the device that holds the data.

    Args:
        images: of the training set; its normalisation serves all images.
        autocast: the precision of the forward passes on held-out images.
        gradient_subset: training images, the first ones, behind the gradient norms.
        batch_size: of them at a time, at least 2.
    """

    def __init__(
        self,
        data: LabelledImages,
        images: Augmenter,
        autocast: Callable[[], AbstractContextManager[Any]],
        gradient_subset: int,
        batch_size: int,
    ) -> None:
        self._data, self._images, self._autocast = data, images, autocast
        self._subset, self._batch_size = min(gradient_subset, len(data.train_y)), max(batch_size, 2)

    def __call__(self, model: nn.Module) -> dict[str, float]:
        """`test_...` and, where there are validation images, `val_...`; `grad_l1` and `grad_l2`. Leaves the model in training mode."""
        return self._held_out(model) | self._gradient_norms(model)

    @torch.no_grad()
    def _held_out(self, model: nn.Module) -> dict[str, float]:
        data, figures = self._data, {}  # type: ignore[var-annotated]
        model.eval()
        for name, x, y in (("test", data.test_x, data.test_y), ("val", data.val_x, data.val_y)):
            if len(y):
                metrics = ClassifierMetrics(y.device)
                for part in _slices(len(y), BATCH):
                    with self._autocast():
                        logits = model(self._images.normalise(x[part]))
                    metrics.update(logits, y[part])
                figures |= metrics.read(name)
        model.train()
        return figures

    def _gradient_norms(self, model: nn.Module) -> dict[str, float]:
        """l1 and l2 norm of the mean training gradient on the subset, without augmentation.

        BatchNorm runs on batch statistics, as in training; its buffers are put back afterwards.
        """
        buffers = [b.clone() for b in model.buffers()]
        parameters = [p for p in model.parameters() if p.requires_grad]
        total = [torch.zeros_like(p) for p in parameters]
        labels = self._data.train_y
        for part in _slices(self._subset, self._batch_size):
            chosen = torch.arange(self._subset, device=labels.device)[part]
            loss = F.cross_entropy(model(self._images.plain(chosen)), labels[chosen])
            gradients = torch.autograd.grad(loss, parameters)
            torch._foreach_add_(total, gradients, alpha=len(chosen) / self._subset)
        for buffer, before in zip(model.buffers(), buffers):
            buffer.copy_(before)
        l1, l2 = (torch.stack(torch._foreach_norm(total, order)) for order in (1, 2))
        return {"grad_l1": l1.sum().item(), "grad_l2": l2.norm().item()}


def _slices(n: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, n)) for start in range(0, n, size))
