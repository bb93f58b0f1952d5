"""Bayesian generalised linear models from generators: linear, logistic and Poisson regression. Float64, batched over seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from bench.seeding import generator
from bench.tasks.inference.bayes import BayesianModel
from bench.tasks.inference.likelihoods import Bernoulli, Normal, Poisson, Repeated
from bench.types import AtLeastOne, NonNegativeFloat, PositiveFloat, PositiveInt

LARGEST_RATE = 2.0**53  # counts above it are not exact


def linear_regression(
    root: str,
    seeds: Sequence[int],
    *,
    n: PositiveInt = 2000,
    dim: PositiveInt = 10,
    condition: AtLeastOne = 1.0,
    noise: PositiveFloat = 1.0,
    prior_variance: PositiveFloat = 1.0,
) -> BayesianModel:
    """y = X w + N(0, noise), w ~ N(0, I), X as in `_design`.

    Args:
        root: not used.
        seeds: one data set each, from the stream "data".
        n: number of data.
        dim: d.
        condition: of the covariance of the rows of X.
        noise: variance of the noise, known to the model.
        prior_variance: of the weights.
    """

    def targets(predictor: Tensor, stream: torch.Generator) -> Tensor:
        return predictor + noise**0.5 * torch.randn(n, generator=stream, dtype=torch.float64)

    x, y = _drawn(seeds, n, dim, condition, 1.0, 1.0, targets)
    return BayesianModel.with_variance(x, y, Normal(noise), prior_variance)


def logistic_regression(
    root: str,
    seeds: Sequence[int],
    *,
    n: PositiveInt = 1000,
    dim: PositiveInt = 10,
    condition: AtLeastOne = 10.0,
    weights: PositiveFloat = 2.0,
    prior_variance: PositiveFloat = 1.0,
) -> BayesianModel:
    """P(y = 1) = 1 / (1 + exp(-X w)), w ~ weights N(0, I), X as in `_design`. Arguments as above; weights: deviation of w."""

    def targets(predictor: Tensor, stream: torch.Generator) -> Tensor:
        return (torch.rand(n, generator=stream, dtype=torch.float64) < predictor.sigmoid()).double()

    x, y = _drawn(seeds, n, dim, condition, 1.0, weights, targets)
    return BayesianModel.with_variance(x, y, Bernoulli(), prior_variance)


def poisson_regression(
    root: str,
    seeds: Sequence[int],
    *,
    n: PositiveInt = 1000,
    dim: PositiveInt = 10,
    condition: AtLeastOne = 1.0,
    weights: PositiveFloat = 1.0,
    prior_variance: PositiveFloat = 1.0,
) -> BayesianModel:
    """y ~ Poisson(exp(X w)), w ~ weights N(0, I), rows of X scaled by d^(-1/2) so that predictors stay near 1. Arguments as above."""

    def targets(predictor: Tensor, stream: torch.Generator) -> Tensor:
        rates = predictor.exp()
        if not rates.max() < LARGEST_RATE:
            raise ValueError(f"weights = {weights:g}: a Poisson rate of {rates.max():.3g}; choose smaller weights")
        return torch.poisson(rates, generator=stream)

    x, y = _drawn(seeds, n, dim, condition, dim**-0.5, weights, targets)
    return BayesianModel.with_variance(x, y, Poisson(), prior_variance)


def _drawn(
    seeds: Sequence[int],
    n: int,
    dim: int,
    condition: float,
    scale: float,
    weights: float,
    targets: Callable[[Tensor, torch.Generator], Tensor],
) -> tuple[Tensor, Tensor]:
    """X [S, n, d] and y [S, n]; a seed's models of different condition share w and the standard normal draws behind X."""
    found = []
    for seed in seeds:
        stream = generator(seed, "data")
        w = weights * torch.randn(dim, generator=stream, dtype=torch.float64)
        x = _design(torch.randn(n, dim, generator=stream, dtype=torch.float64), condition) * scale
        found.append((x, targets(x @ w, stream)))
    x, y = (torch.stack(column) for column in zip(*found))
    return x, y


def _design(normal: Tensor, condition: float) -> Tensor:
    """Columns of deviation 1 to condition^(-1/2), evenly spaced in the logarithm."""
    if condition < 1:
        raise ValueError(f"condition = {condition:g}: a condition number is at least 1")
    exponents = torch.linspace(0, -0.5, normal.shape[1], dtype=torch.float64)
    return normal * torch.as_tensor(condition, dtype=torch.float64) ** exponents


def repeated_datum(
    root: str,
    seeds: Sequence[int],
    *,
    likelihood: Literal["bernoulli", "poisson", "normal"] = "bernoulli",
    copies: PositiveInt = 1,
    y: NonNegativeFloat = 0.0,
    prior_variance: PositiveFloat = 100.0,
) -> BayesianModel:
    """One weight z and one datum x = 1, y, seen `copies` times: the smallest model whose objective changes its shape with n.

    Args:
        root, seeds: not used; nothing is drawn.
        likelihood: bernoulli, poisson or normal (noise 1).
        copies: N.
        y: the target; for the one-class logistic f(z) = log(1 + exp(z)) it is 0.
        prior_variance: of N(0, prior_variance).
    """
    kinds = {"bernoulli": Bernoulli(), "poisson": Poisson(), "normal": Normal(1.0)}
    one = torch.ones(1, 1, 1, dtype=torch.float64)
    return BayesianModel.with_variance(one, y * one[..., 0], Repeated(kinds[likelihood], copies), prior_variance)
