"""Gaussian noise from a named stream, or from the operating system's bits."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from bench.tasks.generation.poisson import uniform

SUMMED = 4  # normals in one of a secure draw


def gaussian(like: Sequence[Tensor], std: float, generator: torch.Generator | None) -> list[Tensor]:
    """Tensors of independent N(0, std^2) in the shapes, types and places of `like`.

    Args:
        generator: on the device of the tensors; None: secure normals.
    """
    if generator is None:
        return [(std * secure_normal(one.numel())).view(one.shape).to(one) for one in like]
    return [std * torch.randn(one.shape, generator=generator, dtype=one.dtype, device=one.device) for one in like]


def secure_normal(count: int) -> Tensor:
    """[count], float64 on the CPU: N(0, 1) by Box and Muller from the operating system's bits.

    Each is half the sum of four normals, whose last bits no longer tell what was added to (Holohan and Braghin, 2021, section 4).
    """
    pairs = -(-SUMMED * count // 2)
    radius = (-2 * (1 - uniform(pairs, None)).log()).sqrt_()
    angle = 2 * math.pi * uniform(pairs, None)
    normals = torch.cat([radius * angle.cos(), radius * angle.sin()])[: SUMMED * count]
    return normals.view(SUMMED, count).sum(0) / math.sqrt(SUMMED)
