"""Gaussian inputs whose label depends on a few directions: y = link(<theta_1, x>, ..., <theta_k, x>) + noise. Float64.

Samples are functions of (seed, replicate, d, block): they are made when they are asked for, on the device, and nobody keeps them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from bench.seeding import generator

TEACHER, RIDGE, TEST = 0, -1, -2  # blocks of the data stream that are not training samples


def gaussian_points(k: int) -> Tensor:
    """2^20 fixed quasi-random points [2^20, k] of N(0, I_k)."""
    points = torch.quasirandom.SobolEngine(k, scramble=True, seed=0).draw(2**20, dtype=torch.float64)
    return torch.special.ndtri(points.clamp(1e-12, 1 - 1e-12))


def dimensions(d: int | list[int], k: int) -> list[int]:
    """One dimension or several as a list.

    Raises:
        ValueError: none, one twice, or one that is not above the number of directions k.
    """
    dims = [d] if isinstance(d, int) else list(d)
    if not dims or len(set(dims)) < len(dims) or min(dims) <= k:
        raise ValueError(f"d = {dims}: distinct dimensions above the number of directions, {k}")
    return dims


@dataclass(frozen=True)
class Target:
    """g(z_1, ..., z_k) of the projections z [..., k] on the directions.

    Attributes:
        k: number of directions.
        value: g, [..., k] -> [...].
        slope: derivative of g for k = 1, [...] -> [...]; None where a matched activation makes no sense.
        hermite: g as {(n_1, ..., n_k): c}, the sum of c He_{n_1}(z_1) ... He_{n_k}(z_k); None where it is no polynomial.
        relu: (factor, offset) where g = factor relu(z_1) + offset.
        monomials: coefficients by powers of z_1, constant first, of a polynomial with k = 1.
        variance: of g.
        information_exponent, generative_exponent: of g for k = 1, without noise; None: not computed, or larger than 8.
        label_power: the smallest power of a polynomial g with k = 1 whose information exponent is at most 2 (1 where g is not even), and
            that exponent; None: not computed.
    """

    k: int
    value: Callable[[Tensor], Tensor]
    variance: float
    slope: Callable[[Tensor], Tensor] | None = None
    hermite: dict[tuple[int, ...], float] | None = None
    relu: tuple[float, float] | None = None
    monomials: list[float] | None = None
    information_exponent: int | None = None
    generative_exponent: int | None = None
    label_power: tuple[int, int] | None = None

    @cached_property
    def linear_direction(self) -> Tensor | None:
        """E[g z] / ||E[g z]|| [k], from 10^6 fixed quasi-random points; None where g has no linear part to three digits."""
        z = gaussian_points(self.k)
        moment = (self.value(z)[:, None] * z).mean(0)
        return moment / moment.norm() if moment.norm() > 1e-3 * self.variance**0.5 else None


@dataclass(frozen=True)
class IndexModel:
    """A target in several dimensions d, each with its own directions.

    Attributes:
        dims: the dimensions, which a task advances side by side.
        noise: standard deviation of the label noise.
        rotated: directions drawn at random; False: the first coordinate axes.
    """

    target: Target
    dims: list[int]
    noise: float = 0.0
    rotated: bool = True
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def to(self, device: torch.device) -> IndexModel:
        """The same model with its samples on `device`."""
        return replace(self, device=device)

    def directions(self, seeds: Sequence[int], replicates: int, d: int) -> Tensor:
        """Orthonormal theta_1, ..., theta_k of each path, [P, k, d] with P = seeds x replicates."""
        k = self.target.k
        if not self.rotated:
            return torch.eye(k, d, dtype=torch.float64, device=self.device).expand(len(seeds) * replicates, k, d)
        drawn = [
            torch.randn(d, k, generator=g, dtype=torch.float64)
            for g in self._streams(seeds, replicates, d, TEACHER, "cpu")
        ]
        return torch.linalg.qr(torch.stack(drawn)).Q.mT.to(self.device)

    def inputs(self, seeds: Sequence[int], replicates: int, d: int, block: int, count: int) -> tuple[Tensor, Tensor]:
        """x [P, count, d] and the label noise [P, count] of one block (1, 2, ... for training); `count` is part of what names the numbers.

        Inputs are drawn in single precision, which is five times faster, and used in double.
        """
        x, noise = [], torch.zeros(len(seeds) * replicates, count, dtype=torch.float64, device=self.device)
        for p, stream in enumerate(self._streams(seeds, replicates, d, block, self.device)):
            x.append(torch.randn(count, d, generator=stream, device=self.device))
            if self.noise:
                noise[p] = self.noise * torch.randn(count, generator=stream, device=self.device)
        return torch.stack(x).double(), noise

    def labelled(
        self, seeds: Sequence[int], replicates: int, d: int, block: int, count: int, theta: Tensor
    ) -> tuple[Tensor, Tensor]:
        """x [P, count, d] and y [P, count] for the directions theta [P, k, d]."""
        x, noise = self.inputs(seeds, replicates, d, block, count)
        return x, self.target.value(x @ theta.mT) + noise

    def _streams(
        self, seeds: Sequence[int], replicates: int, d: int, block: int, device: torch.device | str
    ) -> list[torch.Generator]:
        return [generator(seed, "data", d, r, block, device=device) for seed in seeds for r in range(replicates)]
