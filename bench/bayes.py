"""Bayesian generalised linear models: data, prior, ELBO, and the best Gaussian approximation of the posterior."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.gaussian import Gaussian, kl
from bench.likelihoods import Likelihood, Normal

DAMPING = 0.5
TOLERANCE = 1e-12
MOST = 2000  # damped steps


@dataclass(frozen=True)
class BayesianModel:
    """p(y, z) = N(z; mu0, P0^-1) prod_i exp(-f(x_i . z; y_i)), for S seeds at once; one row stands for all where they share the data.

    Attributes:
        x: design matrices [S or 1, n, d], float64.
        y: targets [S or 1, n].
        likelihood: f.
        prior_mean: mu0 [d].
        prior_precision: P0 [d, d].
    """

    x: Tensor
    y: Tensor
    likelihood: Likelihood
    prior_mean: Tensor
    prior_precision: Tensor

    @staticmethod
    def with_variance(x: Tensor, y: Tensor, likelihood: Likelihood, prior_variance: float) -> BayesianModel:
        """With the prior N(0, prior_variance I)."""
        d = x.shape[-1]
        precision = torch.eye(d, dtype=x.dtype, device=x.device) / prior_variance
        return BayesianModel(x, y, likelihood, x.new_zeros(d), precision)

    @property
    def dim(self) -> int:
        return self.x.shape[-1]

    @property
    def num_data(self) -> int:
        return self.x.shape[-2]

    def to(self, device: torch.device | str) -> BayesianModel:
        """The same model with every tensor on `device`."""
        tensors = {k: v.to(device) for k, v in vars(self).items() if isinstance(v, Tensor)}
        return dataclasses.replace(self, **tensors)

    @property
    def prior(self) -> Gaussian:
        """N(mu0, P0^-1)."""
        return Gaussian.from_precision(self.prior_mean, torch.linalg.cholesky(self.prior_precision))

    def predictor(self, q: Gaussian) -> tuple[Tensor, Tensor]:
        """Mean and variance of x_i . z under q, [..., S, n]."""
        return (self.x @ q.mean[..., None])[..., 0], (self.x @ q.scale).square().sum(-1)

    def energy_gradients(self, q: Gaussian) -> tuple[Tensor, Tensor]:
        """g = E_q grad and H = E_q Hess of -log p(y, z), [..., S, d] and [..., S, d, d]."""
        first, second = self.likelihood.expected_derivatives(*self.predictor(q), self.y)
        g = (first[..., None, :] @ self.x)[..., 0, :] + self.prior_force(q.mean)
        return g, self.x.mT @ (second[..., None] * self.x) + self.prior_precision

    def prior_force(self, z: Tensor) -> Tensor:
        """P0 (z - mu0): the prior's part of the gradient, [..., d]."""
        return (z - self.prior_mean) @ self.prior_precision

    def elbo(self, q: Gaussian) -> Tensor:
        """E_q log p(y | z) - KL(q || prior), [..., S]."""
        return -self.likelihood.expected_nll(*self.predictor(q), self.y).sum(-1) - kl(q, self.prior)

    def optimum(self) -> Gaussian:
        """q* = argmax ELBO over all Gaussians, mean [S or 1, d]: the posterior where the model is conjugate.

        Else by natural gradient steps on all data, P <- P + (H - P) / 2, m <- m - S g / 2, from the prior.

        Raises:
            RuntimeError: a relative step of 1e-12 is not reached.
        """
        if isinstance(self.likelihood, Normal):
            return self._posterior()
        q = self.prior
        rows = len(self.x)
        q = Gaussian(q.mean.expand(rows, -1), q.scale.expand(rows, -1, -1), q.upper)
        precision = self.prior_precision
        for _ in range(MOST):
            g, hessian = self.energy_gradients(q)
            change = (hessian - precision).norm() / hessian.norm() + (g[..., None, :] @ q.scale).norm()
            precision = precision + DAMPING * (hessian - precision)
            factor = torch.linalg.cholesky(precision)
            mean = q.mean - DAMPING * torch.cholesky_solve(g[..., None], factor)[..., 0]
            q = Gaussian.from_precision(mean, factor)
            if change < TOLERANCE:
                return q
        raise RuntimeError(f"best Gaussian: a relative step of {change:.1e} after {MOST}, wanted {TOLERANCE:.0e}")

    def _posterior(self) -> Gaussian:
        """P = P0 + X^T X / s^2, P m = P0 mu0 + X^T y / s^2."""
        factor = torch.linalg.cholesky(self.prior_precision + self.x.mT @ self.x / self.likelihood.noise)
        right = self.prior_precision @ self.prior_mean + (self.y[..., None, :] @ self.x)[..., 0, :] / self.likelihood.noise
        return Gaussian.from_precision(torch.cholesky_solve(right[..., None], factor)[..., 0], factor)
