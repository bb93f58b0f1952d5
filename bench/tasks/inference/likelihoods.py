"""Likelihoods of generalised linear models: the negative log-likelihood f(a; y) of one datum as a function of the linear predictor a.

Under a Gaussian q of the weights the predictor of a datum is Gaussian too, so expectations over q are one-dimensional: closed forms
where there are some, else Gauss-Hermite quadrature.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import torch
from torch import Tensor

NODES = 20  # of the quadrature


@cache
def gauss_hermite(nodes: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Points and weights, [nodes], for the mean over N(0, 1): exact for polynomials up to degree 2 nodes - 1."""
    points, weights = np.polynomial.hermite_e.hermegauss(nodes)
    both = torch.from_numpy(np.stack([points, weights / weights.sum()])).to(device)
    return both[0], both[1]


class Likelihood:
    """Base: expectations by quadrature. Subclasses define `nll` and `derivatives`.

    Attributes:
        closed_form: are the expectations over a Gaussian predictor exact?
        conjugate: is f quadratic, so that a Gaussian prior has a Gaussian posterior?
    """

    closed_form = False
    conjugate = False

    def nll(self, a: Tensor, y: Tensor) -> Tensor:
        """f(a; y) = -log p(y | a), elementwise, constants included."""
        raise NotImplementedError

    def derivatives(self, a: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """f'(a; y) and f''(a; y), elementwise."""
        raise NotImplementedError

    def expected_nll(self, mean: Tensor, variance: Tensor, y: Tensor) -> Tensor:
        """E f(a; y) for a ~ N(mean, variance), elementwise."""
        points, weights = gauss_hermite(NODES, mean.device)
        return torch.tensordot(weights, self.nll(_at(points, mean, variance.sqrt()), y), 1)

    def expected_derivatives(self, mean: Tensor, variance: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """E f' and E f'', elementwise: the derivatives of E f by the mean and, twice, by the variance (Bonnet, Price).

        E f'' is computed as E[f'(a) (a - mean)] / variance (Stein's identity): the exact derivatives of the quadrature of E f, and
        not negative where f is convex.
        """
        points, weights = gauss_hermite(NODES, mean.device)
        deviation = variance.sqrt()
        score = self._score(_at(points, mean, deviation), y)
        first, moment = torch.tensordot(torch.stack([weights, weights * points]), score, 1)
        return first, moment / deviation

    def _score(self, a: Tensor, y: Tensor) -> Tensor:
        """f'(a; y); `a` may be overwritten."""
        return self.derivatives(a, y)[0]


def _at(points: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
    """mean + deviation * points, [nodes, ...]: one pass over memory, in its order; this is where a step's time goes."""
    return torch.addcmul(mean.contiguous(), deviation.contiguous(), points.reshape(-1, *(1,) * mean.dim()))


class Normal(Likelihood):
    """y ~ N(a, noise): linear regression.

    Args:
        noise: variance of the noise.
    """

    closed_form = conjugate = True

    def __init__(self, noise: float) -> None:
        self.noise = noise

    def nll(self, a: Tensor, y: Tensor) -> Tensor:
        return (y - a).square() / (2 * self.noise) + math.log(2 * math.pi * self.noise) / 2

    def derivatives(self, a: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return (a - y) / self.noise, torch.full_like(a, 1 / self.noise)

    def expected_nll(self, mean: Tensor, variance: Tensor, y: Tensor) -> Tensor:
        return self.nll(mean, y) + variance / (2 * self.noise)

    def expected_derivatives(self, mean: Tensor, variance: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return self.derivatives(mean, y)


class Bernoulli(Likelihood):
    """y in {0, 1}, P(y = 1) = 1 / (1 + exp(-a)): logistic regression."""

    def nll(self, a: Tensor, y: Tensor) -> Tensor:
        return torch.logaddexp(torch.zeros_like(a), a) - y * a

    def derivatives(self, a: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        p = torch.sigmoid(a)
        return p - y, p * (1 - p)

    def _score(self, a: Tensor, y: Tensor) -> Tensor:
        return a.sigmoid_().sub_(y)


class Poisson(Likelihood):
    """y in {0, 1, 2, ...} with mean exp(a): Poisson regression. E exp(a) = exp(mean + variance / 2)."""

    closed_form = True

    def nll(self, a: Tensor, y: Tensor) -> Tensor:
        return a.exp() - y * a + torch.lgamma(y + 1)

    def derivatives(self, a: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        rate = a.exp()
        return rate - y, rate

    def expected_nll(self, mean: Tensor, variance: Tensor, y: Tensor) -> Tensor:
        return (mean + variance / 2).exp() - y * mean + torch.lgamma(y + 1)

    def expected_derivatives(self, mean: Tensor, variance: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return self.derivatives(mean + variance / 2, y)


class Repeated(Likelihood):
    """A datum seen `copies` times: f is that of `likelihood` times the number of copies."""

    def __init__(self, likelihood: Likelihood, copies: int) -> None:
        self.likelihood, self.copies = likelihood, copies

    def nll(self, a: Tensor, y: Tensor) -> Tensor:
        return self.copies * self.likelihood.nll(a, y)

    def derivatives(self, a: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        first, second = self.likelihood.derivatives(a, y)
        return self.copies * first, self.copies * second
