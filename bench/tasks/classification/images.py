"""Containers in which data sets hand over their data."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class LabelledImages:
    """Images as uint8 [N, C, H, W] with labels int64 [N]; validation may have no rows.

    Attributes:
        train_y_clean: the training labels before label noise.
        mean, std: per channel, of the training images, in units where white is 1.
        mirror: does a horizontally mirrored image keep its label?
    """

    train_x: Tensor
    train_y: Tensor
    train_y_clean: Tensor
    val_x: Tensor
    val_y: Tensor
    test_x: Tensor
    test_y: Tensor
    class_names: list[str]
    mean: list[float]
    std: list[float]
    mirror: bool

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    def to(self, device: torch.device) -> LabelledImages:
        """The same data with every tensor on `device`."""
        return dataclasses.replace(self, **{name: value.to(device) for name, value in self._tensors().items()})

    def fingerprint(self) -> str:
        """12 hex digits over every tensor: two runs with one fingerprint saw the same data."""
        digest = hashlib.sha256()
        for name, value in sorted(self._tensors().items()):
            digest.update(f"{name}{tuple(value.shape)}".encode())
            digest.update(value.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:12]

    def _tensors(self) -> dict[str, Tensor]:
        return {
            f.name: getattr(self, f.name) for f in dataclasses.fields(self) if isinstance(getattr(self, f.name), Tensor)
        }
