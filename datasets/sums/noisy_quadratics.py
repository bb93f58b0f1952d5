"""Quadratics with noisy centres, in one curvature each or in Hessians that do not commute: optimum and gradient moments in closed form."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from scipy.optimize import brentq
from torch import Tensor
from torch.nn.functional import embedding_bag

from bench.numerics import eigvalsh, solve
from bench.seeding import generator, stream_seed
from bench.tasks.doubly_stochastic.budget import Moments
from bench.tasks.doubly_stochastic.protocol import Batch
from bench.types import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from datasets.sums.noisy_sum import NoisySum


class _Quadratics(NoisySum):
    """f_i(x; eta) = (x - x_i + sigma eta)' H_i (x - x_i + sigma eta) / 2."""

    def __init__(self, num_components: int, dim: int, noise: float, start_distance: float) -> None:
        self.num_components, self.dim, self.noise_dim, self._noise = num_components, dim, dim, noise
        self._distance = start_distance

    def start(self) -> Tensor:
        """x_0 [d], at the squared distance `start_distance` from x*, as far in every coordinate."""
        return self.optimum + (self._distance / self.dim) ** 0.5

    def _moments(self, deviations: Tensor, norms2: Tensor, of_mean: float, rho: float) -> Moments:
        """From grad f_i - grad F [n, d], ||H_i||_F^2 [n] and ||mean_i H_i||_F^2: tr Cov(g_i, g_j) = rho sigma^2 tr(H_i H_j)."""
        n, sigma2 = self.num_components, self._noise**2
        square = sigma2 * float(norms2.mean())
        cross = rho * (n * sigma2 * of_mean - square) / (n - 1) if n > 1 else 0.0
        mean_s = self._noise * float(norms2.sqrt().mean())
        return Moments(n, float(deviations.square().sum(-1).mean()), mean_s, square, cross, rho * square)


class GammaQuadratics(_Quadratics):
    """f_i(x; eta) = L_i ||x - x_i + sigma eta||^2 / 2 with heavy-tailed curvatures L_i and centres x_i ~ N(0, heterogeneity I).

    s_i = L_i sigma sqrt(d), and shared noise is perfectly correlated: rho_ij = 1.

    Args:
        device: where tensors live.
        num_components, dim: n, d.
        curvature: distribution of L_i. gamma: shape `shape` and mean 1 (1/2: chi^2_1); inverse_gamma: of shape and scale `shape`;
            constant: 1.
        heterogeneity: s^2, variance of the centres' coordinates.
        noise: sigma.
        start_distance: ||x_0 - x*||^2.
        moments: None, or [tau^2, (mean s)^2, Var s] at x*: the draw is then changed to have them exactly, L_i by a power and a factor,
            x_i by a factor about x*.
        instance: seed of the draw.

    Raises:
        ValueError: moments of the wrong number or out of reach.
    References: Kim et al., 2024, section on simulations (form recalled; gamma curvatures fitted to its figure).
    """

    def __init__(
        self,
        root: str = "",
        device: torch.device | str = "cpu",
        *,
        num_components: PositiveInt = 1024,
        dim: PositiveInt = 20,
        curvature: Literal["gamma", "inverse_gamma", "constant"] = "gamma",
        shape: PositiveFloat = 0.5,
        heterogeneity: NonNegativeFloat = 1.0,
        noise: NonNegativeFloat = 1.0,
        start_distance: NonNegativeFloat = 10.0,
        moments: list[PositiveFloat] | None = None,
        instance: NonNegativeInt = 0,
    ) -> None:
        super().__init__(num_components, dim, noise, start_distance)
        curvatures = _curvatures(curvature, shape, num_components, instance)
        if moments is not None:
            curvatures = _with_moments(curvatures, moments, noise * dim**0.5)
        centres = torch.randn(num_components, dim, generator=generator(instance, "data", 1), dtype=torch.float64)
        self.curvatures = torch.from_numpy(curvatures).to(device)
        self.centres = heterogeneity**0.5 * centres.to(device)
        self.optimum = (self.curvatures @ self.centres) / self.curvatures.sum()
        if moments is not None:
            apart = self.centres - self.optimum
            tau2 = float((self.curvatures[:, None] * apart).square().sum(-1).mean())
            self.centres = self.optimum + apart * (moments[0] / tau2) ** 0.5
        self.smoothness, self.strong_convexity = float(self.curvatures.max()), float(self.curvatures.mean())

    def batch(self, index: Tensor, noise: Tensor | None) -> Batch:
        """The minibatch's curvature [..., 1] and offset [..., d]."""
        curvatures, shift = self.curvatures[index], -self.centres[index]  # [..., b], [..., b, d]
        if noise is not None:
            shift += self._noise * noise.mean(-2)
        offset = torch.einsum("...b,...bd->...d", curvatures, shift) / index.shape[-1]
        return curvatures.mean(-1, keepdim=True), offset

    def gradient(self, x: Tensor, batch: Batch) -> Tensor:
        """Minibatch gradients [..., d] at x [..., d]."""
        return torch.addcmul(batch[1], batch[0], x)

    def moments(self, x: Tensor, rho: float) -> Moments:
        """At x [d], for noise of correlation rho between components."""
        g = self.curvatures[:, None] * (x - self.centres)
        norms2 = self.curvatures.square() * self.dim
        return self._moments(g - g.mean(0), norms2, self.dim * float(self.curvatures.mean()) ** 2, rho)


def _curvatures(kind: str, shape: float, count: int, instance: int) -> np.ndarray:
    rng = np.random.default_rng(stream_seed(instance, "data", 0))
    if kind == "constant":
        return np.ones(count)
    return rng.gamma(shape, 1 / shape, count) if kind == "gamma" else 1 / rng.gamma(shape, 1 / shape, count)


def _with_moments(curvatures: np.ndarray, moments: list[float], scale: float) -> np.ndarray:
    """a L^p with mean(s)^2 and Var(s) as asked for, s = scale a L^p."""
    if len(moments) != 3 or scale == 0:
        raise ValueError(f"moments = {moments}: three numbers [tau^2, (mean s)^2, Var s], and noise above 0")

    def excess(p: float) -> float:
        raised = curvatures**p
        return raised.var() / raised.mean() ** 2 - moments[2] / moments[1]

    if excess(0.1) > 0 or excess(3.0) < 0:
        raise ValueError(f"moments = {moments}: Var s / (mean s)^2 is out of reach of these curvatures")
    raised = curvatures ** brentq(excess, 0.1, 3.0, xtol=1e-14)
    return raised * math.sqrt(moments[1]) / (scale * raised.mean())


class RandomQuadratics(_Quadratics):
    """Quadratics whose Hessians do not commute: H_i = A_i A_i' + ridge I with A_i [d, rank], entries N(0, 1 / rank).

    Even shared noise is correlated by less than 1, since tr(H_i H_j) < ||H_i||_F ||H_j||_F.

    Args: as GammaQuadratics, and
        rank: columns of A_i.
        ridge: the smallest curvature.
    """

    def __init__(
        self,
        root: str = "",
        device: torch.device | str = "cpu",
        *,
        num_components: PositiveInt = 64,
        dim: PositiveInt = 10,
        rank: PositiveInt = 3,
        ridge: PositiveFloat = 0.1,
        heterogeneity: NonNegativeFloat = 1.0,
        noise: NonNegativeFloat = 1.0,
        start_distance: NonNegativeFloat = 10.0,
        instance: NonNegativeInt = 0,
    ) -> None:
        super().__init__(num_components, dim, noise, start_distance)
        stream = generator(instance, "data", 0)
        a = torch.randn(num_components, dim, rank, generator=stream, dtype=torch.float64) / rank**0.5
        centres = torch.randn(num_components, dim, generator=generator(instance, "data", 1), dtype=torch.float64)
        self.hessians = (a @ a.mT + ridge * torch.eye(dim, dtype=torch.float64)).to(device)
        self.centres = heterogeneity**0.5 * centres.to(device)
        self.mean_hessian = self.hessians.mean(0)
        self.pulls = torch.einsum("nij,nj->ni", self.hessians, self.centres)
        self.optimum = solve(self.mean_hessian, self.pulls.mean(0))
        self.footprint = dim**2
        self.smoothness = float(eigvalsh(self.hessians).max())
        self.strong_convexity = float(eigvalsh(self.mean_hessian).min())

    def batch(self, index: Tensor, noise: Tensor | None) -> Batch:
        """The minibatch's Hessian [..., d, d] and offset [..., d]."""
        lead, b = index.shape[:-1], index.shape[-1]
        table = torch.cat([self.hessians.flatten(1), self.pulls], 1)  # means of its rows, without a copy of each row
        means = embedding_bag(index.reshape(-1, b), table, mode="mean").view(*lead, -1)
        hessian, offset = means[..., : self.dim**2].unflatten(-1, (self.dim, self.dim)), -means[..., self.dim**2 :]
        if noise is None:
            return hessian, offset
        eta = self._noise * noise.mean(-2)
        if eta.shape[-2] == 1:  # shared
            return hessian, offset + (hessian @ eta.mT)[..., 0]
        return hessian, offset + torch.einsum("...bij,...bj->...i", self.hessians[index], eta) / b

    def gradient(self, x: Tensor, batch: Batch) -> Tensor:
        """Minibatch gradients [..., d] at x [..., d]."""
        return (batch[0] @ x[..., None])[..., 0] + batch[1]

    def moments(self, x: Tensor, rho: float) -> Moments:
        """At x [d], for noise of correlation rho between components."""
        g = torch.einsum("nij,nj->ni", self.hessians, x - self.centres)
        norms2 = self.hessians.square().sum((-2, -1))
        return self._moments(g - g.mean(0), norms2, float(self.mean_hessian.square().sum()), rho)
