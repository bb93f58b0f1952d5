"""Small networks in double precision: where rounding is 1e-16, what differs by more is another computation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bench.models.small import small_cnn


class Wide(nn.Sequential):
    """A row of modules in double precision, for images in single precision."""

    def forward(self, x: Tensor) -> Tensor:
        """Logits [B, K] of x [B, C, H, W]."""
        return super().forward(x.double())


def wide_cnn(in_channels: int, num_classes: int, image_size: int) -> nn.Module:
    """small_cnn of width 8, with dropout behind each stage and a residual of the batch that BatchNorm1d sees."""
    convolutions = list(small_cnn(in_channels, num_classes, image_size, width=8))
    *stages, linear = convolutions
    dropout = [nn.BatchNorm1d(16), nn.Dropout(0.2)]
    stages.insert(4, nn.Dropout2d(0.2))
    return Wide(*stages, *dropout, linear).to(torch.float64)
