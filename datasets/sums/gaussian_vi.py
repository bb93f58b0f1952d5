"""Gaussian variational inference as a noisy sum, its optimum and gradient moments in closed form; see datasets.sums.base."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.seeding import generator
from bench.tasks.doubly_stochastic.budget import Moments
from bench.types import NonNegativeInt, PositiveFloat, PositiveInt
from datasets.sums.base import Batch, NoisySum


class GaussianSumVI(NoisySum):
    """Mean-field Gaussian variational inference for a product of n Gaussians N(mu_i, I), mu_i ~ N(0, I), by reparameterisation.

    x = (location a, scale s) with z = a + s eta;  f_i(x; eta) = n ||z - mu_i||^2 / 2 - sum_k log s_k, so that F is n times KL up to a
    constant. The posterior N(mean mu, I / n) is in the family, and the squared Wasserstein-2 distance to it is ||x - x*||^2.

    Args:
        device: where tensors live.
        num_components: n.
        latent_dim: dimension of z; d is twice as much.
        smallest_scale: scales are projected to at least this.
        instance: seed of the mu_i.
    References: the subsampling tutorial of AdvancedVI.jl (TuringLang), which cites Kim et al., 2024.
    """

    def __init__(
        self,
        root: str = "",
        device: torch.device | str = "cpu",
        *,
        num_components: PositiveInt = 1024,
        latent_dim: PositiveInt = 10,
        smallest_scale: PositiveFloat = 1e-5,
        instance: NonNegativeInt = 0,
    ) -> None:
        self.num_components, self.noise_dim, self.dim = num_components, latent_dim, 2 * latent_dim
        stream = generator(instance, "data", 0)
        self.means = torch.randn(num_components, latent_dim, generator=stream, dtype=torch.float64).to(device)
        scale = self.means.new_full((latent_dim,), num_components**-0.5)
        self.optimum = torch.cat([self.means.mean(0), scale])
        self._smallest = smallest_scale

    def start(self) -> Tensor:
        """x_0 = (0, 1): a standard normal."""
        return torch.cat([torch.zeros_like(self.means[0]), torch.ones_like(self.means[0])])

    def project(self, x: Tensor) -> Tensor:
        location, scale = x.chunk(2, -1)
        return torch.cat([location, scale.clamp(min=self._smallest)], -1)

    def batch(self, index: Tensor, noise: Tensor | None) -> Batch:
        """Minibatch means of eta, eta^2, mu and mu eta, each [..., d / 2]."""
        mu = self.means[index]
        mean_mu = mu.mean(-2)
        if noise is None:
            return torch.zeros_like(mean_mu), torch.ones_like(mean_mu), mean_mu, torch.zeros_like(mean_mu)
        eta = noise.mean(-2)  # over draws; [..., b or 1, k]
        return eta.mean(-2), noise.square().mean((-3, -2)), mean_mu, (mu * eta).mean(-2)

    def gradient(self, x: Tensor, batch: Batch) -> Tensor:
        """Minibatch gradients [..., d] at x [..., d]."""
        location, scale = x.chunk(2, -1)
        eta, eta2, mu, mu_eta = batch
        n = self.num_components
        by_scale = n * (location * eta + scale * eta2 - mu_eta) - 1 / scale
        return torch.cat([n * (location + scale * eta - mu), by_scale], -1)

    def moments(self, x: Tensor, rho: float) -> Moments:
        """At x [d]: Cov(eta_i, eta_j) = rho and Cov(eta_i^2, eta_j^2) = 2 rho^2 give tr Cov(g_i, g_j) = n^2 sum_k of
        rho s^2 + rho delta_i delta_j + 2 rho^2 s^2, delta_i = a - mu_i."""
        location, scale = x.chunk(2, -1)
        n, s2 = self.num_components, float(scale.square().sum())
        delta2 = (location - self.means).square().sum(-1)  # [n]
        of_mean = float((location - self.means.mean(0)).square().sum())
        own = n**2 * (3 * s2 + delta2)
        product = (n * of_mean - float(delta2.mean())) / (n - 1) if n > 1 else 0.0  # mean_{i != j} delta_i . delta_j
        cross = n**2 * (rho * s2 + rho * product + 2 * rho**2 * s2)
        diagonal = n**2 * (rho * s2 + rho * float(delta2.mean()) + 2 * rho**2 * s2)
        tau2 = n**2 * float((self.means - self.means.mean(0)).square().sum(-1).mean())
        return Moments(n, tau2, float(own.sqrt().mean()), float(own.mean()), cross, diagonal)
