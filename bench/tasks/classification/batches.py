"""Minibatches as a pure function of (seed, epoch, index): order and augmentation come from named streams."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.seeding import generator
from bench.tasks.classification.augment import Augmenter


class Batches:
    """Augmented minibatches of training images, a new order every epoch.

    Args:
        images: the training images.
        labels: theirs, [N], on the same device.
        seed: of the streams ("order", epoch) and ("augment", epoch, index).
        size: B; an epoch drops the incomplete minibatch.
    """

    def __init__(self, images: Augmenter, labels: Tensor, seed: int, size: int) -> None:
        self._images, self._labels, self._seed, self._size = images, labels, seed, size
        self._epoch = -1

    def __len__(self) -> int:
        """Minibatches in an epoch."""
        return len(self._labels) // self._size

    @property
    def examples(self) -> int:
        """Training images, those of the incomplete minibatch among them."""
        return len(self._labels)

    @property
    def normalisation(self) -> dict[str, Tensor]:
        """`mean` and `std` [1, C, 1, 1] of a network's input (x / 255 - mean) / std from an image x."""
        return {"mean": self._images.mean, "std": self._images.std}

    def get(self, epoch: int, index: int) -> tuple[Tensor, Tensor]:
        """Minibatch `index` of `epoch`: x [B, C, H, W] augmented, y [B]."""
        device = self._labels.device
        if self._epoch != epoch:
            stream = generator(self._seed, "order", epoch, device=device)
            self._order, self._epoch = torch.randperm(len(self._labels), generator=stream, device=device), epoch
        chosen = self._order[index * self._size : (index + 1) * self._size]
        stream = generator(self._seed, "augment", epoch, index, device=device)
        return self._images.batch(chosen, stream), self._labels[chosen]
