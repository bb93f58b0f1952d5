"""Objectives for rate experiments: an expectation with skewed noise, and a non-convex finite sum. Float64, batched over seeds."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from bench.seeding import generator
from bench.types import Inner, NonNegativeFloat, PositiveFloat, PositiveInt


def _stack(seeds: Sequence[int], chunk: int, draw) -> Tensor:
    """[count, S, ...] from each seed's stream ("noise", chunk)."""
    return torch.stack([draw(generator(seed, "noise", chunk)) for seed in seeds], dim=1)


class SineQuadratic:
    """f(x) = sum_k x_k^2 + 3 sin(x_k)^2 with gradient noise +high w.p. p and -high p / (1 - p) w.p. 1 - p in each coordinate.

    Non-convex, Polyak-Lojasiewicz, 8-smooth. The noise has mean zero and a median far from zero: the sign of one stochastic
    gradient is biased, so signSGD stalls where |f'| is below the noise's median. One draw is used at x_t and x_{t-1} alike.

    Args:
        seeds: one independent run each (S of them).
        dim: d.
        noise: size of the rare positive value (3: values +3 and -1).
        rare: its probability p.
    """

    num_components = None

    def __init__(
        self,
        seeds: Sequence[int],
        device: torch.device | str = "cpu",
        *,
        dim: PositiveInt = 100,
        noise: NonNegativeFloat = 3.0,
        rare: Inner = 0.25,
    ) -> None:
        if not 0 < rare < 1:
            raise ValueError(f"rare = {rare}: a probability strictly between 0 and 1")
        self.seeds, self.device, self.dim = list(seeds), device, dim
        self._high, self._low, self._rare = noise, -noise * rare / (1 - rare), rare

    def start(self) -> Tensor:
        """x_0 = 1 in every coordinate, [S, d]."""
        return torch.ones(len(self.seeds), self.dim, dtype=torch.float64, device=self.device)

    def draw(self, chunk: int, count: int) -> Tensor:
        """Gradient noise [count, S, d]."""
        uniform = _stack(self.seeds, chunk, lambda g: torch.rand(count, self.dim, generator=g, dtype=torch.float64))
        noise = torch.full_like(uniform, self._low).masked_fill_(uniform < self._rare, self._high)
        return noise.to(self.device)

    def gradient(self, x: Tensor, sample: Tensor) -> Tensor:
        """grad f(x) + noise; x [..., S, d]."""
        return self.full_gradient(x) + sample

    def full_gradient(self, x: Tensor) -> Tensor:
        """2 x + 3 sin(2 x)."""
        return 2 * x + 3 * torch.sin(2 * x)


class PenalisedLeastSquares:
    """f(x) = (1/m) sum_i (a_i . x - b_i)^2 / 2 + penalty sum_k x_k^2 / (1 + x_k^2): a non-convex finite sum.

    a_i ~ N(0, (4 / d) I), b = A x* + N(0, 1), x* ~ N(0, I), x_0 = 0. The instance belongs to the seed (stream "data"); a seed's
    instances of different m share x* and their first components, so that a comparison over m is paired.

    Args:
        seeds: one instance and run each (S of them).
        dim: d.
        num_components: m.
        penalty: weight of the bounded, non-convex penalty.
    """

    def __init__(
        self,
        seeds: Sequence[int],
        device: torch.device | str = "cpu",
        *,
        dim: PositiveInt = 50,
        num_components: PositiveInt = 256,
        penalty: NonNegativeFloat = 0.05,
        scale: PositiveFloat = 4.0,
    ) -> None:
        self.seeds, self.device, self.dim, self.num_components, self._penalty = (
            list(seeds),
            device,
            dim,
            num_components,
            penalty,
        )
        rows, targets = [], []
        for seed in seeds:
            stream = generator(seed, "data")
            truth = torch.randn(dim, generator=stream, dtype=torch.float64)
            drawn = torch.randn(num_components, dim + 1, generator=stream, dtype=torch.float64)
            a = drawn[:, :dim] * (scale / dim) ** 0.5
            rows.append(a)
            targets.append(a @ truth + drawn[:, dim])
        self.a = torch.stack(rows).to(device)  # [S, m, d]
        self.b = torch.stack(targets).to(device)  # [S, m]
        self._gram = self.a.mT @ self.a / num_components  # [S, d, d]
        self._moment = (self.a.mT @ self.b[..., None])[..., 0] / num_components  # [S, d]
        self._row = torch.arange(len(self.seeds), device=device)

    def start(self) -> Tensor:
        """x_0 = 0, [S, d]."""
        return torch.zeros(len(self.seeds), self.dim, dtype=torch.float64, device=self.device)

    def draw(self, chunk: int, count: int) -> Tensor:
        """Component indices [count, S], uniform with replacement."""
        return _stack(self.seeds, chunk, lambda g: torch.randint(self.num_components, (count,), generator=g)).to(
            self.device
        )

    def gradient(self, x: Tensor, sample: Tensor) -> Tensor:
        """Gradients of f_i, i = sample [..., S]; x [..., S, d]."""
        a, b = self.a[self._row, sample], self.b[self._row, sample]
        return a * ((a * x).sum(-1) - b)[..., None] + self._penalty_gradient(x)

    def full_gradient(self, x: Tensor) -> Tensor:
        """Gradients of f, [..., S, d]."""
        return torch.einsum("sij,...sj->...si", self._gram, x) - self._moment + self._penalty_gradient(x)

    def _penalty_gradient(self, x: Tensor) -> Tensor:
        return self._penalty * 2 * x / (1 + x.square()).square()
