"""A private regression whose solution differs from the public one by a matrix of low rank; each seed draws its own."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.errors import UserError
from bench.seeding import generator
from bench.tasks.low_rank_shift.shift import LowRankShift
from bench.types import NonNegativeFloat, PositiveFloat, PositiveInt

STREAM = 73


def low_rank_shift(
    root: str,
    seed: int,
    *,
    examples: PositiveInt,
    dim: PositiveInt,
    rank: PositiveInt,
    size: PositiveFloat,
    noise: NonNegativeFloat,
) -> LowRankShift:
    """x ~ N(0, I), W_0 with entries N(0, 1 / d), W* = W_0 + `size` U V^T, targets W* x + `noise` xi. The start is size^2 rank away.

    Args:
        root: not used.
        examples: N, the private examples; one of them is the privacy unit.
        dim: d. rank: of the shift, at most d.

    Raises:
        UserError: the rank is more than d.
    """
    if rank > dim:
        raise UserError(f"dataset.rank = {rank}: more than dataset.dim = {dim}; at most that")
    stream = generator(seed, "data", STREAM)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=stream)

    start = normal(dim, dim) / dim**0.5
    u, v = (torch.linalg.qr(normal(dim, rank))[0] for _ in range(2))
    optimum = start + size * u @ v.T
    x = normal(examples, dim)
    return LowRankShift(x, x @ optimum.T + noise * normal(examples, dim), start, optimum)
