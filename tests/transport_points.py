"""Gaussian classes for tests of transport values: means 12 onehot - 1.2, standard deviation 3, some labels flipped."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from bench.tasks.valuation.protocol import Problem


def gaussians(count: int, classes: int, seed: int, flipped: float = 0.0) -> tuple[Tensor, Tensor, Tensor]:
    """Features [n, K], labels and which are wrong, [n] each; double precision."""
    g = torch.Generator().manual_seed(seed)
    y = torch.randperm(count, generator=g) % classes
    x = 12.0 * one_hot(y, classes) - 1.2 + 3 * torch.randn(count, classes, generator=g, dtype=torch.float64)
    wrong = torch.rand(count, generator=g) < flipped
    other = (y + torch.randint(1, classes, (count,), generator=g)) % classes
    return x, torch.where(wrong, other, y), wrong


def problem(count: int = 120, others: int = 50, classes: int = 4, flipped: float = 0.2, seed: int = 0) -> Problem:
    x, y, _ = gaussians(count, classes, seed, flipped)
    other_x, other_y, _ = gaussians(others, classes, seed + 1)
    return Problem(x, y, other_x, other_y, classes, seed)


def valued(method, of: Problem) -> Tensor:
    """All units in one go."""
    for unit in range(method.begin(of)):
        method.advance(unit)
    return method.values()
