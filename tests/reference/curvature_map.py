"""Whole runs of the curvature task, one point (m, v) at a time: -ELBO of one weight and its Hessians by the chain rule, by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from reference.same_numbers import Row
from scipy.linalg import eigh
from scipy.special import expit, gammaln

Array = np.ndarray
NEGLIGIBLE = 1e-10  # a negative eigenvalue of that part of the other one is rounding


@dataclass(frozen=True)
class Datum:
    """z ~ N(0, prior_variance), and y of kind bernoulli, poisson or normal (noise 1) at predictor z, seen `copies` times."""

    likelihood: str = "bernoulli"
    copies: int = 1
    y: float = 0.0
    prior_variance: float = 100.0

    def means(self, m: float, v: float) -> Array:
        """E f, E f', E f'', E f''', E f'''' for z ~ N(m, v)."""
        if self.likelihood == "normal":
            values = [((self.y - m) ** 2 + v) / 2 + np.log(2 * np.pi) / 2, m - self.y, 1.0, 0.0, 0.0]
        elif self.likelihood == "poisson":
            mass = np.exp(m + v / 2)
            values = [mass - self.y * m + gammaln(self.y + 1), mass - self.y, mass, mass, mass]
        else:
            step = min(0.1, 0.2 / np.sqrt(v))
            z = np.arange(-13, 13 + step, step)
            density, a = np.exp(-(z**2) / 2) * step / np.sqrt(2 * np.pi), m + np.sqrt(v) * z
            p, q = expit(a), expit(-a)
            slope = p * q
            each = [np.logaddexp(0, a) - self.y * a, p - self.y, slope, slope * (q - p), slope * (1 - 6 * slope)]
            values = [f @ density for f in each]
        return self.copies * np.array(values)

    def minus_elbo(self, m: float, v: float) -> float:
        """Up to a constant."""
        return float(self.means(m, v)[0] + (m**2 + v) / (2 * self.prior_variance) - np.log(v) / 2)

    def derivatives(self, m: float, v: float) -> tuple[Array, Array]:
        """Gradient [2] and Hessian [2, 2] of -ELBO by (m, v): each derivative by v is half of two by m."""
        _, first, second, third, fourth = self.means(m, v)
        gradient = np.array([first + m / self.prior_variance, second / 2 + 1 / (2 * self.prior_variance) - 1 / (2 * v)])
        cross = third / 2
        return gradient, np.array([[second + 1 / self.prior_variance, cross], [cross, fourth / 4 + 1 / (2 * v**2)]])


def coordinates(method: str, m: float, v: float) -> tuple[float, float]:
    """expectation: (m, m^2 + v). mean_scale: (m, sqrt v)."""
    return (m, m * m + v) if method == "expectation" else (m, float(np.sqrt(v)))


def moments(method: str, point: Sequence[float]) -> tuple[float, float]:
    return (point[0], point[1] - point[0] ** 2) if method == "expectation" else (point[0], point[1] ** 2)


def hessian(method: str, gradient: Array, by_mv: Array, m: float, v: float) -> Array:
    """In the coordinates, from derivatives by (m, v): J' H J + (dF / dv) v'', as m is one of the coordinates."""
    if method == "expectation":
        jacobian, bend = np.array([[1.0, 0.0], [-2 * m, 1.0]]), np.array([[-2.0, 0.0], [0.0, 0.0]])
    else:
        jacobian, bend = np.array([[1.0, 0.0], [0.0, 2 * np.sqrt(v)]]), np.array([[0.0, 0.0], [0.0, 2.0]])
    return jacobian.T @ by_mv @ jacobian + gradient[1] * bend


def fisher(method: str, m: float, v: float) -> Array:
    """Of N(m, v) in the coordinates: J' diag(1 / v, 1 / (2 v^2)) J."""
    return hessian(method, np.zeros(2), np.diag([1 / v, 1 / (2 * v**2)]), m, v)


def run(
    datum: Datum,
    method: str,
    *,
    means: Sequence[float],
    log10_variances: Sequence[float],
    counts: Sequence[int],
    stride: int,
    points: Sequence[Sequence[float]],
    pair: Sequence[Sequence[float]],
) -> tuple[list[Row], Row]:
    """The curve and the final metrics, the same for all seeds."""
    rows: list[Row] = []
    smallest, negative = [], 0
    for i in range(counts[0]):
        for j in range(counts[1]):
            m = means[0] + (means[1] - means[0]) * i / max(1, counts[0] - 1)
            low, high = log10_variances
            v = 10 ** (low + (high - low) * j / max(1, counts[1] - 1))
            found = hessian(method, *datum.derivatives(m, v), m, v)
            values = np.linalg.eigvalsh(found)
            smallest.append(values[0])
            negative += bool(values[0] < -NEGLIGIBLE * abs(values[1]))
            if stride and i % stride == 0 and j % stride == 0:
                relative = eigh(found, fisher(method, m, v), eigvals_only=True)[0]
                cut = round(min(1.0, max(-1.0, float(relative))), 4)
                rows.append({"step": 1, "m": round(m, 6), "v": float(f"{v:.4e}"), "relative_curvature": cut})
    for m, v in points:
        low, high = np.linalg.eigvalsh(hessian(method, *datum.derivatives(m, v), m, v)).tolist()
        rows.append({"step": 1, "m": m, "v": v, "low_eigenvalue": low, "high_eigenvalue": high})
    ends = [coordinates(method, m, v) for m, v in pair]
    middle = moments(method, [(a + b) / 2 for a, b in zip(*ends)])
    gap = datum.minus_elbo(*middle) - (datum.minus_elbo(*pair[0]) + datum.minus_elbo(*pair[1])) / 2
    return rows, {
        "share_nonconvex": negative / len(smallest),
        "min_eigenvalue": float(min(smallest)),
        "jensen_gap": gap,
        "closed_form_error": 0.0,
        "gradient_evaluations": 0,
    }
