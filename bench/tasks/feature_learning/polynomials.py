"""Random polynomial activations, one a neuron, of Lee, Oko, Suzuki and Wu, 2024, arXiv 2406.01581, Lemma 11. Float64."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bench.tasks.feature_learning.hermite import monomials


def degree(target: int, power: int) -> int:
    """C_s, the smallest odd number that is at least max(C_q + 1, q + 2, 3).

    Args:
        target: q, the degree of the link.
        power: C_q, a power of the link that has an information exponent of at most 2 (1 where the link is not even); its smallest will do.
    """
    least = max(power + 1, target + 2, 3)
    return least + 1 - least % 2


def random_polynomials(count: int, size: int, small: float, stream: torch.Generator) -> Tensor:
    """beta [count, size + 1] of sum_k beta_k He_k / sqrt(k!), beta_0 = 0; every sign is +-1 with equal probability.

    With probability 1/2: beta_1 = +-1 and the others +-c. Else: beta_1, ..., beta_{size - 2} = +-c and beta_{size - 1} = beta_size = +-1.

    Args:
        size: C_s, at least 3. small: c.
    """
    drawn = torch.rand(count, size + 1, generator=stream, dtype=torch.float64)
    signs = 1 - 2 * (drawn[:, 1:] < 0.5).double()  # of beta_1, ..., beta_size
    low = torch.full((size,), small, dtype=torch.float64)
    high = low.clone()
    low[0], high[-2:] = 1.0, 1.0
    upper = signs.clone()
    upper[:, -2] = upper[:, -1]
    beta = torch.where(drawn[:, :1] < 0.5, low * signs, high * upper)
    return torch.nn.functional.pad(beta, (1, 0))


def by_powers(beta: Tensor) -> Tensor:
    """The coefficients of sum_k beta_k He_k / sqrt(k!) by powers of z, constant first, of the shape of beta [..., K + 1]."""
    size = beta.shape[-1]
    table = torch.zeros(size, size, dtype=beta.dtype, device=beta.device)
    for k in range(size):
        table[k, : k + 1] = torch.tensor(monomials(k), dtype=beta.dtype) / math.sqrt(math.factorial(k))
    return beta @ table


def horner(powers: Tensor, z: Tensor) -> Tensor:
    """sum_k powers_k z^k for powers [K + 1, ...], whose other axes and those of z are broadcast."""
    *lower, total = powers.unbind()
    for c in reversed(lower):
        total = torch.addcmul(c, total, z)
    return total
