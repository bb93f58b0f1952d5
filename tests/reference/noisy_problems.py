"""Finite sums with infinite data in plain numpy: one component, one draw at a time. Covariances of gradients by summing over pairs or over nodes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.optimize import bisect, root
from scipy.special import expit
from sklearn.datasets import load_breast_cancer

from bench.seeding import generator, stream_seed

Array = np.ndarray


class Sum:
    """Base. Of a component i: its gradient at x for one draw eta [k], its expectation over eta (eta None), and tr Cov(g_i, g_j).

    Attributes:
        n, k: components, dimension of the noise. optimum, start: x*, x_0 [d]. largest: L; strong: mu, None where there is none.
        size: numbers that a minibatch takes beside its noise, where they are many.
    """

    n: int
    k: int
    optimum: Array
    start: Array
    largest: float | None = None
    strong: float | None = None
    size = 0

    def gradient(self, i: int, x: Array, eta: Array | None) -> Array:
        raise NotImplementedError

    def covariance(self, i: int, j: int, x: Array, rho: float) -> float:
        """Of two slots of a minibatch whose noise has correlation rho."""
        raise NotImplementedError

    def project(self, x: Array) -> Array:
        return x

    def minibatch(self, index: Sequence[int], eta: Array | None, x: Array) -> Array:
        """The mean over components and over the draws eta [b or 1, m, k] that they share or have of their own."""
        total = np.zeros(len(x))
        for slot, i in enumerate(index):
            if eta is None:
                total += self.gradient(int(i), x, None)
            else:
                own = eta[slot if len(eta) > 1 else 0]
                total += sum(self.gradient(int(i), x, draw) for draw in own) / len(own)
        return total / len(index)

    def pairs(self, x: Array, rho: float) -> dict[str, float]:
        """Means over components of s_i^2, s_i, |d_i|^2 and of what the slots of one component share; over pairs i != j of the rest."""
        d = [self.gradient(i, x, None) for i in range(self.n)]
        d = [each - np.mean(d, 0) for each in d]
        s = [self.covariance(i, i, x, 1.0) ** 0.5 for i in range(self.n)]
        others = [(i, j) for i in range(self.n) for j in range(self.n) if i != j]
        return {
            "squares": float(np.mean(np.square(s))),
            "mean": float(np.mean(s)),
            "apart": float(np.mean([each @ each for each in d])),
            "twice": float(np.mean([self.covariance(i, i, x, rho) for i in range(self.n)])),
            "cross": float(np.mean([self.covariance(i, j, x, rho) for i, j in others])),
            "products": float(np.mean([s[i] * s[j] for i, j in others])),
            "directions": float(np.mean([d[i] @ d[j] for i, j in others])),
        }


class Quadratics(Sum):
    """f_i(x; eta) = (x - c_i + sigma eta)' H_i (x - c_i + sigma eta) / 2."""

    def __init__(self, hessians: Sequence[Array], centres: Array, noise: float, distance: float) -> None:
        self.h, self.c, self.sigma = hessians, centres, noise
        self.n, self.k = centres.shape
        mean = np.mean(hessians, 0)
        self.optimum = np.linalg.solve(mean, np.mean([h @ c for h, c in zip(hessians, centres)], 0))
        self.start = self.optimum + np.sqrt(distance / self.k)
        self.largest = max(float(np.linalg.eigvalsh(h)[-1]) for h in hessians)
        self.strong = float(np.linalg.eigvalsh(mean)[0])

    def gradient(self, i: int, x: Array, eta: Array | None) -> Array:
        return self.h[i] @ (x - self.c[i] + (0.0 if eta is None else self.sigma * eta))

    def covariance(self, i: int, j: int, x: Array, rho: float) -> float:
        return rho * self.sigma**2 * float(np.sum(self.h[i] * self.h[j]))


class Isotropic(Quadratics):
    """f_i(x; eta) = L_i |x - c_i + sigma eta|^2 / 2."""

    def __init__(self, curves: Array, centres: Array, noise: float, distance: float) -> None:
        self.h, self.c, self.sigma = curves, centres, noise
        self.n, self.k = centres.shape
        self.optimum = (curves[:, None] * centres).sum(0) / curves.sum()
        self.start = self.optimum + np.sqrt(distance / self.k)
        self.largest, self.strong = float(curves.max()), float(curves.mean())

    def gradient(self, i: int, x: Array, eta: Array | None) -> Array:
        return self.h[i] * (x - self.c[i] + (0.0 if eta is None else self.sigma * eta))

    def covariance(self, i: int, j: int, x: Array, rho: float) -> float:
        return float(rho * self.sigma**2 * self.h[i] * self.h[j] * self.k)


def gamma_quadratics(
    *,
    num_components: int,
    dim: int,
    curvature: str = "gamma",
    shape: float = 0.5,
    heterogeneity: float = 1.0,
    noise: float = 1.0,
    start_distance: float = 10.0,
    moments: Sequence[float] | None = None,
    instance: int = 0,
) -> Isotropic:
    """One curvature L_i each; `moments` are tau^2, (mean s)^2 and Var s at x*, met by a power and a factor of L, and a factor of c - x*."""
    rng = np.random.default_rng(stream_seed(instance, "data", 0))
    drawn = np.ones(num_components) if curvature == "constant" else rng.gamma(shape, 1 / shape, num_components)
    curves = 1 / drawn if curvature == "inverse_gamma" else drawn
    stream = generator(instance, "data", 1)
    centres = torch.randn(num_components, dim, generator=stream, dtype=torch.float64).numpy() * heterogeneity**0.5
    if moments is not None:
        tau2, mean2, spread = moments
        power = bisect(lambda p: np.var(curves**p) / np.mean(curves**p) ** 2 - spread / mean2, 0.1, 3, xtol=1e-15)
        curves = curves**power
        curves = curves * mean2**0.5 / np.mean(noise * dim**0.5 * curves)
        best = (curves[:, None] * centres).sum(0) / curves.sum()
        found = np.mean([np.sum((curve * (c - best)) ** 2) for curve, c in zip(curves, centres)])
        centres = best + (centres - best) * (tau2 / found) ** 0.5
    return Isotropic(curves, centres, noise, start_distance)


def random_quadratics(
    *,
    num_components: int,
    dim: int,
    rank: int,
    ridge: float,
    noise: float = 1.0,
    heterogeneity: float = 1.0,
    start_distance: float = 10.0,
    instance: int = 0,
) -> Quadratics:
    """H_i = A_i A_i' + ridge I, entries of A_i [d, rank] N(0, 1 / rank)."""
    a = torch.randn(num_components, dim, rank, generator=generator(instance, "data", 0), dtype=torch.float64).numpy()
    c = torch.randn(num_components, dim, generator=generator(instance, "data", 1), dtype=torch.float64).numpy()
    hessians = [each @ each.T / rank + ridge * np.eye(dim) for each in a]
    problem = Quadratics(hessians, heterogeneity**0.5 * c, noise, start_distance)
    problem.size = dim**2
    return problem


class GaussianSum(Sum):
    """x = (a, s), z = a + s eta: f_i = n |z - mu_i|^2 / 2 - sum log s, scales at least `smallest`."""

    def __init__(self, *, num_components: int, latent_dim: int, smallest_scale: float, instance: int = 0) -> None:
        stream = generator(instance, "data", 0)
        self.mu = torch.randn(num_components, latent_dim, generator=stream, dtype=torch.float64).numpy()
        self.n, self.k, self.smallest = num_components, latent_dim, smallest_scale
        self.optimum = np.concatenate([self.mu.mean(0), np.full(latent_dim, 1 / np.sqrt(num_components))])
        self.start = np.concatenate([np.zeros(latent_dim), np.ones(latent_dim)])

    def project(self, x: Array) -> Array:
        return np.concatenate([x[: self.k], np.maximum(x[self.k :], self.smallest)])

    def gradient(self, i: int, x: Array, eta: Array | None) -> Array:
        a, s = x[: self.k], x[self.k :]
        if eta is None:
            return np.concatenate([self.n * (a - self.mu[i]), self.n * s - 1 / s])
        pull = self.n * (a + s * eta - self.mu[i])
        return np.concatenate([pull, pull * eta - 1 / s])

    def covariance(self, i: int, j: int, x: Array, rho: float) -> float:
        """By Gauss-Hermite sums over two correlated normals, coordinate by coordinate: exact for polynomials."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(5)
        weights = weights / weights.sum()
        total = np.zeros(len(x))
        for t, w in zip(nodes, weights):
            for r, v in zip(nodes, weights):
                one, other = np.full(self.k, t), np.full(self.k, rho * t + np.sqrt(1 - rho**2) * r)
                total += w * v * self.gradient(i, x, one) * self.gradient(j, x, other)
        return float((total - self.gradient(i, x, None) * self.gradient(j, x, None)).sum())


class AugmentedLogistic(Sum):
    """log(1 + exp(-y (a_i + sigma eta) . x)) + l2 |x|^2 / 2 of a table, by default scikit-learn's breast cancer; the constant has no noise."""

    def __init__(self, *, noise: float, l2: float, table: tuple[Array, Array] | None = None) -> None:
        features, labels = table or load_breast_cancer(return_X_y=True)
        features = features[:, features.max(0) > features.min(0)]
        a = (features - features.mean(0)) / features.std(0)
        self.a, self.y = np.column_stack([a, np.ones(len(a))]), np.where(labels == 1, 1.0, -1.0)
        self.n, self.k, self.sigma, self.l2 = len(a), a.shape[1], noise, l2
        self.z = np.arange(-12, 12.01, 0.1)
        self.w = np.exp(-(self.z**2) / 2) / np.exp(-(self.z**2) / 2).sum()
        self.start = np.zeros(self.k + 1)
        self.largest = max(row @ row + noise**2 * self.k for row in self.a) / 4 + l2
        self.strong = l2
        found = root(lambda x: self._expected(x).mean(0), np.full(self.k + 1, 0.01), tol=1e-14)
        assert np.abs(self._expected(found.x).mean(0)).max() < 1e-12
        self.optimum = found.x

    def gradient(self, i: int, x: Array, eta: Array | None) -> Array:
        if eta is None:
            return self._expected(x, [i])[0]
        a = self.a[i] + self.sigma * np.append(eta, 0.0)
        return -self.y[i] * expit(-self.y[i] * (a @ x)) * a + self.l2 * x

    def minibatch(self, index: Sequence[int], eta: Array | None, x: Array) -> Array:
        return self._expected(x, index).mean(0) if eta is None else super().minibatch(index, eta, x)

    def _at(self, x: Array, t: float, index: Sequence[int] | slice) -> tuple[Array, Array]:
        """For the component t of eta along w: slopes h_i, and the gradients without the rest of eta and the penalty."""
        norm = np.linalg.norm(x[:-1])
        w = x[:-1] / norm if norm else np.eye(self.k)[0]  # at 0 any direction is as good
        along = np.append(w, 0.0)
        a, y = self.a[index], self.y[index]
        h = -y * expit(-y * (a @ x + self.sigma * norm * t))
        return h, h[:, None] * (a + self.sigma * t * along)

    def _expected(self, x: Array, index: Sequence[int] | slice = slice(None)) -> Array:
        return sum(w * self._at(x, t, index)[1] for t, w in zip(self.z, self.w)) + self.l2 * x

    def pairs(self, x: Array, rho: float) -> dict[str, float]:
        """Sums over pairs are squares of sums less sums of squares, node by node of (t_i, t_j)."""
        d = self._expected(x) - self.l2 * x
        own = self._covariances(x, 1.0)[0]
        twice, both = self._covariances(x, rho)
        s, n, centred = np.sqrt(own), self.n, d - d.mean(0)
        return {
            "squares": float(own.mean()),
            "mean": float(s.mean()),
            "apart": float((centred**2).sum() / n),
            "twice": float(twice.mean()),
            "cross": (both - float(twice.sum())) / (n * (n - 1)),
            "products": float(s.sum() ** 2 - (s**2).sum()) / (n * (n - 1)),
            "directions": -float((centred**2).sum()) / (n * (n - 1)),
        }

    def _covariances(self, x: Array, rho: float) -> tuple[Array, float]:
        """tr Cov of the two slots of each component [n], and its sum over all pairs, i = j among them."""
        d = self._expected(x) - self.l2 * x
        single, both = -np.sum(d**2, 1), -float(np.sum(d.sum(0) ** 2))
        nodes, weights = np.polynomial.hermite_e.hermegauss(40)
        weights = weights / weights.sum()
        second = [(1.0, 0.0)] if rho == 1 else list(zip(weights, nodes))
        rest = self.sigma**2 * (self.k - 1) * rho  # of the components of eta across w
        for t, w in zip(nodes, weights):
            h, g = self._at(x, t, slice(None))
            for v, r in second:
                h2, g2 = self._at(x, rho * t + np.sqrt(1 - rho**2) * r, slice(None))
                single += w * v * (np.sum(g * g2, 1) + rest * h * h2)
                both += w * v * float(g.sum(0) @ g2.sum(0) + rest * h.sum() * h2.sum())
        return single, both
