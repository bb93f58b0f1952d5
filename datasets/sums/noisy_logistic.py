"""Logistic regression on real data under random augmentation: a finite sum with infinite data whose moments are known by quadrature."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor
from torch.nn.functional import softplus

from bench.errors import UserError
from bench.tasks.doubly_stochastic.budget import Moments
from bench.tasks.doubly_stochastic.protocol import Batch
from bench.types import NonNegativeFloat, PositiveFloat
from datasets import tables
from datasets.sums.noisy_sum import NoisySum

GRADIENT = 1e-6  # largest entry at the optimum
NODES = 32  # of Gauss-Hermite quadrature: exact for polynomials up to degree 63


class AugmentedLogistic(NoisySum):
    """f_i(x; eta) = log(1 + exp(-y_i (a_i + sigma eta) . x)) + l2 ||x||^2 / 2 with Gaussian jitter eta of the features a_i.

    Features are standardised (to mean 0 and variance 1) and followed by a constant 1, which is not jittered. Seen from x = (w, c) only
    the component t of eta along w is not linear, so expectations are one-dimensional Gauss-Hermite sums; between components with noise
    of correlation rho they are Mehler's: E[phi(t_i) psi(t_j)] = sum_k rho^k phi_k psi_k over the Hermite coefficients. With 32 nodes both are
    exact to 1e-11 where sigma |w|, the deviation of a margin, is 1 (as at x* with noise 1 and l2 0.1), to 1e-8 at 1.5, 1e-6 at 2 and 1e-4
    at 3: keep l2 large enough for the noise.

    Args:
        root: data_root; `datasets.tables` says where the files lie.
        device: where tensors live.
        name: breast_cancer, a9a or mushrooms, of `datasets.tables`.
        noise: sigma.
        l2: strength of the penalty, mu.

    Raises:
        UserError: a LIBSVM file is missing or damaged.
    """

    def __init__(
        self,
        root: str = "",
        device: torch.device | str = "cpu",
        *,
        name: Literal["breast_cancer", "a9a", "mushrooms"] = "breast_cancer",
        noise: NonNegativeFloat = 1.0,
        l2: PositiveFloat = 0.1,
    ) -> None:
        read = {"breast_cancer": tables.breast_cancer, "a9a": tables.a9a, "mushrooms": tables.mushrooms}[name]
        features, labels = read(Path(root))
        a = np.column_stack([tables.standardised(features), np.ones(len(features))])
        self.a, self.y = torch.from_numpy(a).to(device), torch.from_numpy(2.0 * labels - 1).to(device)
        self.num_components, self.dim = self.a.shape
        self.noise_dim, self._noise, self._l2 = self.dim - 1, noise, l2
        nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
        self._nodes = torch.from_numpy(nodes).to(self.a)
        self._weights = torch.from_numpy(weights / weights.sum()).to(self.a)
        basis = np.polynomial.hermite_e.hermevander(nodes, NODES - 1) / np.sqrt(
            np.cumprod(np.maximum(1.0, np.arange(NODES)))
        )
        self._hermite = torch.from_numpy(basis).to(self.a) * self._weights[:, None]  # values at nodes -> coefficients
        self.strong_convexity = l2
        self.smoothness = float(self.a.square().sum(1).max() + noise**2 * self.noise_dim) / 4 + l2
        self.optimum = self._solve()

    def start(self) -> Tensor:
        """x_0 = 0, [d]."""
        return torch.zeros_like(self.optimum)

    def loss(self, x: Tensor) -> Tensor:
        """F(x), x [d]."""
        margins = self.y[:, None] * ((self.a @ x)[:, None] + self._noise * x[:-1].norm() * self._nodes)
        return (softplus(-margins) @ self._weights).mean() + self._l2 * x.square().sum() / 2

    def batch(self, index: Tensor, noise: Tensor | None) -> Batch:
        """Labels [..., b] and features: jittered [..., b, m, d], or as they are [..., b, d] for the expectation."""
        a, y = self.a[index], self.y[index]
        if noise is None:
            return y, a
        jitter = torch.cat([self._noise * noise, torch.zeros_like(noise[..., :1])], -1)
        return y, a[..., None, :] + jitter

    def gradient(self, x: Tensor, batch: Batch) -> Tensor:
        """Minibatch gradients [..., d] at x [..., d]."""
        y, a = batch
        if a.ndim == y.ndim + 1:
            return self._expected(x, y, a).mean(-2) + self._l2 * x
        margins = torch.einsum("...bmd,...d->...bm", a, x)
        h = -y[..., None] * torch.sigmoid(-y[..., None] * margins)
        return torch.einsum("...bm,...bmd->...d", h, a) / (a.shape[-3] * a.shape[-2]) + self._l2 * x

    def _slopes(self, x: Tensor, y: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
        """h = -y sigmoid(-margin) at the nodes, [..., b, K], and w / |w| with a 0 for the constant, [..., 1, d].

        At w = 0 margins have no noise and any unit vector is as good: the first.
        """
        w = x[..., :-1]
        norm, first = w.norm(dim=-1, keepdim=True), torch.zeros_like(w)
        first[..., :1] = 1
        unit = torch.where(norm > 0, w / norm.clamp(min=1e-300), first)
        along = torch.cat([unit, torch.zeros_like(x[..., -1:])], -1)[..., None, :]
        margins = (a * x[..., None, :]).sum(-1)[..., None] + self._noise * norm[..., None] * self._nodes
        return -y[..., None] * torch.sigmoid(-y[..., None] * margins), along

    def _expected(self, x: Tensor, y: Tensor, a: Tensor) -> Tensor:
        """Gradients of E_eta of the losses without the penalty, [..., b, d]."""
        h, along = self._slopes(x, y, a)
        return (h @ self._weights)[..., None] * a + self._noise * (h @ (self._weights * self._nodes))[..., None] * along

    def moments(self, x: Tensor, rho: float) -> Moments:
        """At x [d]: the gradient h(t) (a_i + sigma t w/|w|) + h(t) sigma eta_perp by its Hermite coefficients in t."""
        h, along = self._slopes(x, self.y, self.a)
        c, e = h @ self._hermite, (h * self._nodes) @ self._hermite  # [n, K] each
        u, n, noise = along[0], self.num_components, self._noise
        powers = float(rho) ** torch.arange(NODES).to(c)
        covarying = torch.cat(
            [torch.zeros_like(powers[:1]), powers[1:]]
        )  # of the product of means nothing is covariance
        norm2, dot = self.a.square().sum(1, keepdim=True), (self.a * u).sum(1, keepdim=True)
        parallel = c.square() * norm2 + 2 * noise * c * e * dot + noise**2 * e.square()  # squared coefficients [n, K]
        across = noise**2 * (self.noise_dim - 1)
        own = parallel[:, 1:].sum(1) + across * c.square().sum(1)  # s_i^2
        diagonal = float((parallel @ covarying + across * rho * (c.square() @ powers)).mean())
        mean = c.T @ self.a / n + noise * e.mean(0)[:, None] * u  # [K, d]
        of_mean = covarying @ mean.square().sum(1) + across * rho * (powers @ c.mean(0).square())
        cross = (n * float(of_mean) - diagonal) / (n - 1)
        g = self._expected(x, self.y, self.a)
        tau2 = float((g - g.mean(0)).square().sum(1).mean())
        return Moments(n, tau2, float(own.sqrt().mean()), float(own.mean()), cross, diagonal)

    def _solve(self) -> Tensor:
        """x*, by L-BFGS on the quadrature."""

        def objective(values: np.ndarray) -> tuple[float, np.ndarray]:
            x = torch.from_numpy(values).to(self.a).requires_grad_()
            loss = self.loss(x)
            (g,) = torch.autograd.grad(loss, x)
            return loss.item(), g.cpu().numpy()

        first = np.full(self.dim, 1e-3)  # |w| has no derivative at 0
        options = {"maxiter": 5000, "maxfun": 20000, "ftol": 0.0, "gtol": 1e-10, "maxcor": 50}
        found = minimize(objective, first, jac=True, method="L-BFGS-B", options=options)
        if not np.abs(found.jac).max() <= GRADIENT * (1 + abs(found.fun)):
            raise UserError(
                f"optimum of the data set not found (a gradient of {np.abs(found.jac).max():.1e} after {found.nit} steps of L-BFGS): "
                "bring dataset.noise and dataset.l2 nearer to 1"
            )
        return torch.from_numpy(found.x).to(self.a)
