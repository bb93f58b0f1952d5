"""The multi-modal energy of the plane on a named domain (Zheng et al., 2024, arXiv 2405.07839, section 4.2; constants from the released code)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from bench.seeding import generator
from bench.tasks.sampling.curved import SHAPES, Flower
from bench.types import NonNegativeFloat, PositiveFloat


class NormalEstimates:
    """Estimates of an energy and its gradient that are exact up to independent normal noise.

    Args:
        gradient_noise, energy_noise: standard deviations, of each coordinate and of an energy.
    """

    def __init__(self, dim: int, gradient_noise: float, energy_noise: float) -> None:
        self.dim, self.gradient_noise, self.energy_noise = dim, gradient_noise, energy_noise
        self.energy_variance: float | None = energy_noise**2

    def draws(self, seeds: Sequence[int], first: int, count: int, chains: int, replicates: int) -> tuple[Tensor, ...]:
        """Standard normal [count, P, N, d] of the gradients and [count, P, N] of the energies, from the streams ("data", first, chain)."""
        width = self.dim + 1
        found = torch.empty(count, chains, len(seeds) * replicates, width, dtype=torch.float64)
        for k in range(chains):
            for s, seed in enumerate(seeds):
                stream = generator(seed, "data", first, k)
                drawn = torch.randn(count, replicates, width, generator=stream)
                found[:, k, s * replicates : (s + 1) * replicates] = drawn
        return found[..., : self.dim] * self.gradient_noise, found[..., self.dim] * self.energy_noise

    def energy(self, x: Tensor) -> Tensor:
        """U [...] at x [..., d], exact."""
        raise NotImplementedError

    def gradient(self, x: Tensor) -> Tensor:
        """grad U [..., d], exact."""
        raise NotImplementedError

    def noisy_gradient(self, x: Tensor, *draw: Tensor) -> Tensor:
        """grad U + noise [P, N, d]."""
        return self.gradient(x) + draw[0]

    def noisy_energy(self, x: Tensor, *draw: Tensor) -> Tensor:
        """U + noise [P, N]."""
        return self.energy(x) + draw[1]


class Multimodal(NormalEstimates):
    """U(x) = c |x|^2 - a sum_i cos(2 pi x_i), with a mode at each integer point; outside |x|^2 = 20 a wall |x|^2 - 20 is added.

    Args:
        root: not used.
        domain: flower, heart, octagon, cross, star, box, ball.
        radius: its size; None: that of the paper's figures.
        confinement: c.
        amplitude: a; with both 0 the law is uniform.
        gradient_noise, energy_noise: standard deviations.
        normals: of the flower; released: with the released code's mistake.
    """

    coefficients = None

    def __init__(
        self,
        root: str = "",
        *,
        domain: Literal["flower", "heart", "octagon", "cross", "star", "box", "ball"] = "flower",
        radius: PositiveFloat | None = None,
        confinement: NonNegativeFloat = 0.2,
        amplitude: NonNegativeFloat = 2.0,
        gradient_noise: NonNegativeFloat = 0.05,
        energy_noise: NonNegativeFloat = 0.05,
        normals: Literal["exact", "released"] = "exact",
    ) -> None:
        super().__init__(2, gradient_noise, energy_noise)
        make, usual = SHAPES[domain]
        self.domain, self.confinement, self.amplitude = make(radius or usual), confinement, amplitude
        if normals == "released":
            if domain != "flower":
                raise ValueError(f"normals = 'released': the flower's alone, not those of '{domain}'")
            self.domain = Flower(radius or usual, released=True)
        self.window = (-2.5, 2.5) if radius is None and domain not in ("heart",) else None
        reach = [
            torch.arange(math.floor(float(low)), math.ceil(float(high)) + 1.0, dtype=torch.float64)
            for low, high in zip(self.domain.low, self.domain.high)
        ]
        self.modes = torch.cartesian_prod(*reach) if amplitude else None

    def start(self) -> Tensor:
        """The origin, or where that is outside the domain's centre."""
        origin = torch.zeros(2, dtype=torch.float64)
        return origin if self.domain.inside(origin) else self.domain.centre

    def energy(self, x: Tensor) -> Tensor:
        square = x.square().sum(-1)
        wall = (square - 20).clamp(min=0)
        return self.confinement * square - self.amplitude * (2 * math.pi * x).cos().sum(-1) + wall

    def gradient(self, x: Tensor) -> Tensor:
        g = (2 * self.confinement) * x + (2 * math.pi * self.amplitude) * (2 * math.pi * x).sin()
        beyond = x.square().sum(-1, keepdim=True) > 20
        return torch.where(beyond, g + 2 * x, g)
