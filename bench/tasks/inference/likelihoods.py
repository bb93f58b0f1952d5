"""Likelihoods of generalised linear models: the negative log-likelihood f(a; y) of one datum as a function of the linear predictor a.

Under a Gaussian q of the weights the predictor of a datum is Gaussian too, so expectations over q are one-dimensional: closed forms,
or for the logistic f the means of `logistic_normal`, exact to 1e-10 of their value.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from bench.tasks.inference.logistic_normal import sigmoid_means, softplus_mean


class Likelihood:
    """Base of the likelihoods.

    Attributes:
        closed_form: are the expectations over a Gaussian predictor elementary functions?
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
        raise NotImplementedError

    def expected_derivatives(self, mean: Tensor, variance: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """E f' and E f'', elementwise: the derivatives of E f by the mean and, twice, by the variance (Bonnet, Price)."""
        raise NotImplementedError


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
        return -logsigmoid(-a) - y * a

    def derivatives(self, a: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        p = torch.sigmoid(a)
        return p - y, p * (1 - p)

    def expected_nll(self, mean: Tensor, variance: Tensor, y: Tensor) -> Tensor:
        up = mean > 0
        rest = torch.where(up, mean, 0.0) - y * mean  # log(1 + e^a) = a + log(1 + e^-a)
        return softplus_mean(torch.where(up, mean, -mean), variance) + rest

    def expected_derivatives(self, mean: Tensor, variance: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        up = mean > 0
        p, slope = sigmoid_means(mean.abs(), variance)
        return torch.where(up, -p, p) + (up.to(y.dtype) - y), slope


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

    def expected_nll(self, mean: Tensor, variance: Tensor, y: Tensor) -> Tensor:
        return self.copies * self.likelihood.expected_nll(mean, variance, y)

    def expected_derivatives(self, mean: Tensor, variance: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        first, second = self.likelihood.expected_derivatives(mean, variance, y)
        return self.copies * first, self.copies * second
