"""Poisson sampling: every example joins a batch by a coin of its own, so that a batch's size varies and may be 0."""

from __future__ import annotations

import os

import torch
from torch import Tensor

BITS = 53  # of a float64 in [0, 1)


def uniform(count: int, generator: torch.Generator | None) -> Tensor:
    """[count], float64 in [0, 1), multiples of 2^-53, on the CPU.

    Without a generator the bits are the operating system's (`os.urandom`, a cryptographic generator): there is no seed, here or elsewhere. A
    torch generator on the CPU uses 32 bits of its seed, too few to be a secret.
    """
    if generator is not None:
        return torch.rand(count, generator=generator, dtype=torch.float64)
    if count == 0:
        return torch.empty(0, dtype=torch.float64)
    words = torch.frombuffer(bytearray(os.urandom(8 * count)), dtype=torch.int64)
    return (words & (2**BITS - 1)).double() * 2.0**-BITS


def poisson_batch(n: int, rate: float, generator: torch.Generator | None) -> Tensor:
    """Indices [b], int64, ascending, of n examples, each there independently with probability `rate`; b may be 0."""
    return (uniform(n, generator) < rate).nonzero().flatten()
