"""Sums of workers' objectives, f = (1/n) sum_j f_j, that disagree by design. Float64, batched over seeds."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from bench.seeding import generator
from bench.tasks.vote.draws import SAMPLES, Uniforms
from bench.types import Fraction, NonNegativeFloat, PositiveInt


class WorkerQuadratics:
    """f_j(x) = ||x - c_j||^2 / 2: a few workers have their centre far from the others', at which a coordinate-wise majority never looks.

    c_j = far + spread N(0, I) for the first share of the workers, near + spread N(0, I) for the others; gradients have uniform noise, the same
    at x_t and x_{t-1}; x_1 = 0. Centres belong to the seed and to the worker's number (stream "data"), noise to the worker's own stream.

    Args:
        seeds: one instance and run each (S of them).
        workers: n.
        dim: d.
        share: of the workers that are far; n * share of them, rounded.
        far, near: centres of both kinds.
        spread: standard deviation of a centre's coordinates.
        noise: standard deviation of a gradient's coordinates.
    """

    def __init__(
        self,
        seeds: Sequence[int],
        device: torch.device | str = "cpu",
        *,
        workers: PositiveInt = 8,
        dim: PositiveInt = 20,
        share: Fraction = 0.25,
        far: float = 3.0,
        near: float = -0.5,
        spread: NonNegativeFloat = 0.1,
        noise: NonNegativeFloat = 0.5,
    ) -> None:
        self.workers, self.dim, self._width = workers, dim, noise * 12**0.5
        self._uniforms = Uniforms(seeds, SAMPLES, range(workers), dim, device)
        few = round(workers * share)
        centres = [
            [(far if j < few else near) + spread * _normal(seed, j, dim) for seed in seeds] for j in range(workers)
        ]
        self.centres = torch.stack([torch.stack(own) for own in centres]).to(device)  # [n, S, d]

    def start(self) -> Tensor:
        """x_1 = 0, [S, d]."""
        return torch.zeros_like(self.centres[0])

    def sample(self, step: int) -> Tensor:
        """Noise of all workers' gradients, [n, S, d]."""
        return self._width * (self._uniforms.at(step) - 0.5)

    def gradient(self, x: Tensor, sample: Tensor) -> Tensor:
        """x - c_j + noise, [n, S, d]."""
        return x - self.centres + sample

    def full_gradient(self, x: Tensor) -> Tensor:
        """x minus the mean centre, [S, d]."""
        return x - self.centres.mean(0)


def _normal(seed: int, worker: int, dim: int) -> Tensor:
    return torch.randn(dim, generator=generator(seed, "data", worker), dtype=torch.float64)


class LogCoshCounterexample:
    """f_1 = f_2 = log cosh(x) / 2 + x / 4, f_3 = log cosh(x) / 2 - x / 2 in each coordinate; f = log cosh(x) / 2, exact gradients, x_1 = 0.

    The mean of the three gradients vanishes at 0. The majority of their signs vanishes nowhere near: x goes to |f'| = 1/4. The majority of
    their random signs of radius R vanishes in the mean where m_1 + m_2 + m_3 = m_1 m_2 m_3, m_j = f_j' / R. Coordinates are independent copies.

    Args:
        seeds: one run each (S of them).
        dim: d, number of copies.
    """

    workers = 3

    def __init__(self, seeds: Sequence[int], device: torch.device | str = "cpu", *, dim: PositiveInt = 400) -> None:
        self.dim = dim
        self._start = torch.zeros(len(seeds), dim, dtype=torch.float64, device=device)
        self._slopes = torch.tensor([0.25, 0.25, -0.5], dtype=torch.float64, device=device)[:, None, None]

    def start(self) -> Tensor:
        """x_1 = 0, [S, d]."""
        return self._start.clone()

    def sample(self, step: int) -> None:
        """Nothing is drawn."""

    def gradient(self, x: Tensor, sample: None) -> Tensor:
        """tanh(x) / 2 + 1/4, the same, tanh(x) / 2 - 1/2: [3, S, d]."""
        return torch.tanh(x) / 2 + self._slopes

    def full_gradient(self, x: Tensor) -> Tensor:
        """tanh(x) / 2, [S, d]."""
        return torch.tanh(x) / 2
