"""Tiny colour images and networks in double precision, for whole runs of the classification task."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from bench.tasks.classification.images import LabelledImages

HEIGHT, WIDTH, CLASSES = 6, 8, 3
MEAN, STD = [0.4, 0.5, 0.3], [0.3, 0.25, 0.2]
POISON = 1.5  # normalised; no image but the white ones is lighter than this everywhere


def tiny(root: str, seed: int, *, mirror: bool = True, poisoned: int = 0, train: int = 50) -> LabelledImages:
    """50 training, 23 validation and 1,030 test images of three classes; of the training images the last `poisoned` are white."""
    draw = np.random.default_rng(11)
    parts = {}
    looks = draw.uniform(60, 160, (CLASSES, 3, HEIGHT, WIDTH))
    for part, n in (("train", train), ("val", 23), ("test", 1030)):
        y = draw.integers(0, CLASSES, n)
        x = np.clip(looks[y] + draw.normal(0, 60, (n, 3, HEIGHT, WIDTH)), 0, 255).astype(np.uint8)
        if part == "train" and poisoned:
            x[-poisoned:] = 255
        parts |= {f"{part}_x": torch.from_numpy(x), f"{part}_y": torch.from_numpy(y)}
    names = ["a", "b", "c"]
    return LabelledImages(**parts, train_y_clean=parts["train_y"], class_names=names, mean=MEAN, std=STD, mirror=mirror)


class Plain(nn.Module):
    """Two layers, and NaN for white images."""

    def __init__(self, channels: int, classes: int, size: int) -> None:
        super().__init__()
        self.first = nn.Linear(channels * HEIGHT * WIDTH, 5, dtype=torch.float64)
        self.second = nn.Linear(5, classes, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        scores = self.second(torch.tanh(self.first(x.double().flatten(1))))
        return scores * torch.where(x.amin((1, 2, 3)) > POISON, torch.nan, 1.0)[:, None]


class Noisy(nn.Module):
    """A convolution without bias (whose gradient BatchNorm makes 0), BatchNorm, dropout, a mean over pixels, a linear layer."""

    def __init__(self, channels: int, classes: int, size: int, *, dropout: float) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 4, 3, padding=1, bias=False, dtype=torch.float64)
        self.norm = nn.BatchNorm2d(4, dtype=torch.float64)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(4, classes, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.dropout(torch.relu(self.norm(self.conv(x.double())))).mean((2, 3)))
