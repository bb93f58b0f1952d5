"""Bayesian generalised linear models in plain numpy: data, expectations over a Gaussian predictor, ELBO, the best Gaussian. One seed at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import root
from scipy.special import expit, gammaln

from bench.seeding import generator

Array = np.ndarray


@dataclass(frozen=True)
class Model:
    """Data x [n, d], y [n] of kind normal (with variance `noise`), bernoulli or poisson, seen `copies` times; prior N(0, prior_variance I)."""

    x: Array
    y: Array
    kind: str
    noise: float = 1.0
    prior_variance: float = 1.0
    copies: int = 1
    conjugate: bool = False


def drawn(kind: str, seed: int, *, n: int, dim: int, condition: float, weights: float = 1.0, **more: float) -> Model:
    """Linear, logistic or Poisson regression from the stream "data": weights first, then features, then targets."""
    stream = generator(seed, "data")
    w = weights * torch.randn(dim, generator=stream, dtype=torch.float64).numpy()
    x = torch.randn(n, dim, generator=stream, dtype=torch.float64).numpy()
    for j in range(dim):  # deviations from 1 to condition^(-1/2), evenly in the logarithm
        x[:, j] *= condition ** (-0.5 * j / (dim - 1))
    if kind == "poisson":
        x = x / np.sqrt(dim)
    a = x @ w
    if kind == "normal":
        y = a + np.sqrt(more["noise"]) * torch.randn(n, generator=stream, dtype=torch.float64).numpy()
    elif kind == "bernoulli":
        y = (torch.rand(n, generator=stream, dtype=torch.float64).numpy() < expit(a)).astype(float)
    else:
        y = torch.poisson(torch.from_numpy(np.exp(a)), generator=stream).numpy()
    return Model(x, y, kind, conjugate=kind == "normal", **more)


def linear(features: Array, target: Array, prior_variance: float = 1.0) -> Model:
    """A table, standardised; the noise is the mean squared residual of a ridge solution with penalty 1."""
    x, y = _standardised(features), _standardised(target[:, None])[:, 0]
    w = np.linalg.solve(x.T @ x + np.eye(x.shape[1]), x.T @ y)
    return Model(x, y, "normal", float(np.mean((y - x @ w) ** 2)), prior_variance, conjugate=True)


def logistic(features: Array, target: Array, components: int | None, prior_variance: float = 1.0) -> Model:
    """A table, standardised, or its leading principal components with unit variance (of n - 1), and a constant."""
    x = _standardised(features)
    if components is not None:
        left, _, _ = np.linalg.svd(x, full_matrices=False)
        x = left[:, :components] * np.sqrt(len(x) - 1)
    x = np.column_stack([x, np.ones(len(x))])
    return Model(x, target.astype(float), "bernoulli", prior_variance=prior_variance)


def _standardised(columns: Array) -> Array:
    varying = columns[:, columns.max(0) > columns.min(0)]
    return (varying - varying.mean(0)) / varying.std(0)


def derivatives(model: Model, a: Array, y: Array) -> tuple[Array, Array]:
    """First and second derivative of -log p(y | a) of one datum each."""
    if model.kind == "normal":
        first, second = (a - y) / model.noise, np.full_like(a, 1 / model.noise)
    elif model.kind == "bernoulli":
        first, second = expit(a) - y, expit(a) * expit(-a)
    else:
        first, second = np.exp(a) - y, np.exp(a)
    return model.copies * first, model.copies * second


def expectations(model: Model, mean: Array, variance: Array, y: Array) -> tuple[Array, Array, Array]:
    """E f, E f', E f'' of one datum each for a ~ N(mean, variance): closed forms, or a fine sum over the normal density."""
    if model.kind == "normal":
        f = ((y - mean) ** 2 + variance) / (2 * model.noise) + np.log(2 * np.pi * model.noise) / 2
        first, second = derivatives(model, mean, y)
        return model.copies * f, first, second
    if model.kind == "poisson":
        rate = np.exp(mean + variance / 2)
        return tuple(model.copies * v for v in (rate - y * mean + gammaln(y + 1), rate - y, rate))
    deviation = np.sqrt(variance)
    step = min(0.1, 0.25 / deviation.max()) if np.isfinite(deviation.max()) else 0.1
    z = np.arange(-12, 12 + step, step)
    density = np.exp(-(z**2) / 2) * step / np.sqrt(2 * np.pi)
    a = mean[:, None] + deviation[:, None] * z
    first, second = derivatives(model, a, y[:, None])
    f = model.copies * (np.logaddexp(0, a) - y[:, None] * a)
    return f @ density, first @ density, second @ density


def exact_gradients(model: Model, m: Array, s: Array, index: Array, weight: float) -> tuple[Array, Array]:
    """E grad and E Hess of -log p(y, z) under N(m, s), the likelihood's part by `weight` times the data of `index`."""
    x, y = model.x[index], model.y[index]
    _, first, second = expectations(model, x @ m, np.einsum("ni,ij,nj->n", x, s, x), y)
    g, h = m / model.prior_variance, np.eye(len(m)) / model.prior_variance
    return g + weight * x.T @ first, h + weight * (x.T * second) @ x


def elbo(model: Model, m: Array, c: Array) -> float:
    """E log p(y | z) - KL(q || prior) of q = N(m, c c^T)."""
    f, _, _ = expectations(model, model.x @ m, ((model.x @ c) ** 2).sum(1), model.y)
    return float(-f.sum() - kl(m, c, np.zeros(len(m)), np.sqrt(model.prior_variance) * np.eye(len(m))))


def kl(m: Array, c: Array, m2: Array, c2: Array) -> float:
    """KL(N(m, c c^T) || N(m2, c2 c2^T))."""
    if not all(np.isfinite(v).all() for v in (m, c, m2, c2)) or 0 in np.diag(c2):
        return float("nan")
    inside = np.sum(np.linalg.solve(c2, c) ** 2) + np.sum(np.linalg.solve(c2, m2 - m) ** 2)
    return float((inside - len(m)) / 2 + np.linalg.slogdet(c2)[1] - np.linalg.slogdet(c)[1])


def best(model: Model) -> tuple[Array, Array]:
    """Mean and a root of the covariance of argmax ELBO: where the expected gradient is 0 and the precision is the expected Hessian, by scipy."""
    d, everything = model.x.shape[1], np.arange(len(model.y))
    prior = np.eye(d) / model.prior_variance
    if model.conjugate:
        s = np.linalg.inv(prior + model.x.T @ model.x / model.noise)
        return s @ model.x.T @ model.y / model.noise, np.linalg.cholesky(s)
    m, precision = np.zeros(d), prior
    for _ in range(60):  # a first guess, within reach of scipy
        g, h = exact_gradients(model, m, np.linalg.inv(precision), everything, 1.0)
        precision = precision + 0.5 * (h - precision)
        m = m - 0.5 * np.linalg.solve(precision, g)
    guess, c, lower = m, np.linalg.inv(np.linalg.cholesky(precision)).T, np.tril_indices(d)

    def at(point: Array) -> tuple[Array, Array]:
        """Mean and root from coordinates in which the guess is 0 and its covariance the identity."""
        factor = np.eye(d)
        factor[lower] += point[d:]
        return guess + c @ point[:d], c @ factor

    def residual(point: Array) -> Array:
        m, scale = at(point)
        s = scale @ scale.T
        g, h = exact_gradients(model, m, s, everything, 1.0)
        return np.concatenate([c.T @ g, (c.T @ h @ s @ np.linalg.inv(c).T - np.eye(d))[lower]])

    found = root(residual, np.zeros(d + len(lower[0])), tol=1e-14)
    assert np.abs(residual(found.x)).max() < 1e-11, found.message
    return at(found.x)
