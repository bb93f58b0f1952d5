"""Bayesian generalised linear models: data, prior, ELBO, and the best Gaussian approximation of the posterior."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from bench.errors import UserError
from bench.numerics import cholesky
from bench.tasks.inference.gaussian import Gaussian, kl
from bench.tasks.inference.likelihoods import Likelihood, Normal

DAMPING = 0.5
TOLERANCE = 1e-12
MOST = 2000  # damped steps
CALM = 5  # of them that go well before the next are longer again
ROUNDING = 1e-10  # relative, of the ELBO
RESOLVED = 1e-4  # rounding of the best mean, in its deviations
SMALLEST_RATE = 2.0**-60  # of a damped step that still moves anything


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
        """With the prior N(0, prior_variance I).

        Raises:
            UserError: data, variance or precision are no finite numbers.
        """
        if not (torch.isfinite(x).all() and torch.isfinite(y).all()):
            raise UserError(
                "dataset: its numbers overflow double precision; bring its noise, weights and condition nearer to 1"
            )
        if not 0 < prior_variance < math.inf or math.isinf(1 / prior_variance):
            raise UserError(f"dataset.prior_variance = {prior_variance:g}: its inverse overflows; at least 1e-300")
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
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        tensors = {name: value.to(device) for name, value in fields.items() if isinstance(value, Tensor)}
        return dataclasses.replace(self, **tensors)  # type: ignore[arg-type]

    @property
    def prior(self) -> Gaussian:
        """N(mu0, P0^-1)."""
        return Gaussian.from_precision(self.prior_mean, cholesky(self.prior_precision))

    @cached_property
    def _squares(self) -> Tensor:
        """x_i x_i^T as vectors, [S, n, d^2]: with them K settings share one matrix product a seed."""
        return (self.x[..., :, None] * self.x[..., None, :]).flatten(-2)

    def predictor(self, q: Gaussian) -> tuple[Tensor, Tensor]:
        """Mean and variance of x_i . z under q, [S, n] or [K, S, n]."""
        mean = torch.einsum("snd,...sd->...sn", self.x, q.mean)
        if q.mean.dim() == 2:
            return mean, (self.x @ q.scale).square().sum(-1)
        return mean, torch.einsum("snj,ksj->ksn", self._squares, q.covariance.flatten(-2))

    def energy_gradients(self, q: Gaussian) -> tuple[Tensor, Tensor]:
        """g = E_q grad and H = E_q Hess of -log p(y, z): [S, d] and [S, d, d], or with K in front."""
        first, second = self.likelihood.expected_derivatives(*self.predictor(q), self.y)
        return self.pulled_back(first) + self.prior_force(q.mean), self.curvature(second) + self.prior_precision

    def pulled_back(self, first: Tensor) -> Tensor:
        """sum_i first_i x_i, [..., S, d], for first [..., S, n]."""
        return torch.einsum("...sn,snd->...sd", first, self.x)

    def curvature(self, second: Tensor) -> Tensor:
        """sum_i second_i x_i x_i^T: [S, d, d] for second [S, n], [K, S, d, d] for [K, S, n]."""
        if second.dim() == 2:
            return self.x.mT @ (second[..., None] * self.x)
        return torch.einsum("ksn,snj->ksj", second, self._squares).unflatten(-1, (self.dim, self.dim))

    def prior_force(self, z: Tensor) -> Tensor:
        """P0 (z - mu0): the prior's part of the gradient, [..., d]."""
        return (z - self.prior_mean) @ self.prior_precision

    def elbo(self, q: Gaussian) -> Tensor:
        """E_q log p(y | z) - KL(q || prior), [..., S]."""
        return -self.likelihood.expected_nll(*self.predictor(q), self.y).sum(-1) - kl(q, self.prior)

    def optimum(self) -> Gaussian:
        """q* = argmax ELBO over all Gaussians, mean [S or 1, d]: the posterior where the model is conjugate.

        Else by natural gradient steps on all data from the prior, P <- P + rate (H - P), m <- m - rate S g, where the rate is at most
        1/2, seed by seed: halved where the ELBO falls, or stays and the step is no shorter than the last (steps that are too long go around
        in circles), and doubled after five steps that go well. Each seed stops by itself.

        Raises:
            UserError: a relative step of 1e-12 is not reached, or a posterior is not finite.
        """
        if isinstance(self.likelihood, Normal):
            return self._posterior()
        prior, rows = self.prior, len(self.x)
        q = Gaussian(prior.mean.expand(rows, -1), prior.scale.expand(rows, -1, -1), prior.upper)
        precision, elbo = self.prior_precision.expand(rows, -1, -1), self.elbo(q)
        rates = _Rates(elbo)
        for _ in range(MOST):
            g, hessian = self.energy_gradients(q)
            gap = hessian - precision
            change = _sizes(gap) / _sizes(hessian) + _sizes(g[..., None, :] @ q.scale)
            moving = (change >= TOLERANCE)[:, None]
            if not moving.any():
                return self._resolved(q)
            if not torch.isfinite(change).all() or rates.now[moving].min() < SMALLEST_RATE:
                break
            rates.shorten(change)
            next_precision = precision + rates.now[..., None] * gap
            factor = cholesky(next_precision)
            mean = q.mean - rates.now * torch.cholesky_solve(g[..., None], factor)[..., 0]
            step = Gaussian.from_precision(mean, factor)
            reached = self.elbo(step)
            up = moving & rates.judge(reached - elbo, ROUNDING * elbo.abs())
            q = Gaussian(torch.where(up, step.mean, q.mean), torch.where(up[..., None], step.scale, q.scale), q.upper)
            precision = torch.where(up[..., None], next_precision, precision)
            elbo = torch.where(up[:, 0], reached, elbo)
        raise UserError(
            f"best Gaussian of the data set not found (a relative step of {change.max():.1e}, wanted {TOLERANCE:.0e}): in double precision "
            "its posterior is too far from its prior; bring dataset.prior_variance and the scale of the data nearer to 1"
        )

    def _posterior(self) -> Gaussian:
        """P = P0 + X^T X / s^2, P m = P0 mu0 + X^T y / s^2."""
        factor = cholesky(self.prior_precision + self.x.mT @ self.x / self.likelihood.noise)  # type: ignore[attr-defined]
        right = (
            self.prior_precision @ self.prior_mean + (self.y[..., None, :] @ self.x)[..., 0, :] / self.likelihood.noise  # type: ignore[attr-defined]
        )
        return self._resolved(Gaussian.from_precision(torch.cholesky_solve(right[..., None], factor)[..., 0], factor))

    def _resolved(self, q: Gaussian) -> Gaussian:
        """The best q, where double precision can tell the q near it from it.

        Raises:
            UserError: q is not finite, or its mean is rounded by more than a small part of its deviation.
        """
        rounded = _sizes(q.whiten((torch.finfo(q.mean.dtype).eps * q.mean)[..., None]))
        if not (torch.isfinite(self.elbo(q)).all() and (rounded < RESOLVED).all()):
            raise UserError(
                "posterior of the data set: too narrow or too wide for double precision; bring dataset.prior_variance and the noise, "
                "weights and condition of the data nearer to 1"
            )
        return q


def _sizes(matrices: Tensor) -> Tensor:
    """Frobenius norms [S] of [S, ...]: of each seed by itself."""
    return matrices.flatten(1).norm(dim=-1)


class _Rates:
    """The damping of each row's steps, `now` [S, 1]."""

    def __init__(self, like: Tensor) -> None:
        self.now, self.calm = torch.full_like(like, DAMPING)[:, None], torch.zeros_like(like)[:, None]
        self.length, self.flat = torch.full_like(self.now, torch.inf), torch.zeros_like(self.now, dtype=torch.bool)

    def shorten(self, length: Tensor) -> None:
        """Half of it where the last step left the ELBO as it was, to rounding, and the next, of relative length [S], is no shorter."""
        circling = self.flat & (length[:, None] > (1 - self.now / 10) * self.length)
        self.now, self.calm = torch.where(circling, self.now / 2, self.now), torch.where(circling, 0.0, self.calm)
        self.length = length[:, None]

    def judge(self, gain: Tensor, rounding: Tensor) -> Tensor:
        """Is a step to be taken, [S, 1], by what it gains in ELBO [S]? Half of the rate where it is not, twice after calm ones."""
        up, self.flat = gain[:, None] >= -rounding[:, None], gain[:, None].abs() <= rounding[:, None]
        self.calm = torch.where(up, self.calm + 1, 0.0)
        longer = torch.where(self.calm % CALM == CALM - 1, (2 * self.now).clamp(max=DAMPING), self.now)
        self.now = torch.where(up, longer, self.now / 2)
        return up
