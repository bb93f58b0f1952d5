"""Two-layer teachers and students on Gaussian inputs in plain NumPy, one seed at a time: draws, population losses, certificates."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
import torch

from bench.seeding import generator

Array = np.ndarray


@dataclass
class Teacher:
    """f*(x) = sum_i weights_i relu(units_i.x): units [r, d] of length 1, weights [r]."""

    units: Array
    weights: Array


def teacher(data: dict[str, Any], seed: int) -> Teacher:
    """Rows of I + mixing N(0, 1) to length 1, drawn until no two are closer than asked for; zeros in the other coordinates."""
    r, stream = data["neurons"], generator(seed, "data")
    signs = {"alternating": [(-1.0) ** i for i in range(r)], "positive": [1.0] * r}
    while True:
        rows = np.eye(r) + data["mixing"] * torch.randn(r, r, generator=stream, dtype=torch.float64).numpy()
        rows = np.array([row / np.linalg.norm(row) for row in rows])
        if max(abs(rows[i] @ rows[j]) for i in range(r) for j in range(i)) <= data["max_cosine"]:
            break
    weights = signs[data["signs"]] if isinstance(data["signs"], str) else data["signs"]
    return Teacher(np.hstack([rows, np.zeros((r, data["dim"] - r))]), np.array(weights, dtype=float))


def start(width: int, dim: int, seed: int) -> tuple[Array, Array]:
    """Signs [m] and unit rows [m, d]."""
    drawn = torch.randn(width, dim + 1, generator=generator(seed, "init"), dtype=torch.float64).numpy()
    return np.sign(drawn[:, 0]), np.array([row / np.linalg.norm(row) for row in drawn[:, 1:]])


def kernel(t: float) -> float:
    """E s(u.x) s(v.x) of unit vectors, s = relu less mean and linear part: Cho and Saul's kernel less 1 / (2 pi) + t / 4."""
    t = min(1.0, max(-1.0, t))
    whole = (math.sqrt(1 - t * t) + (math.pi - math.acos(t)) * t) / (2 * math.pi)
    return whole - 1 / (2 * math.pi) - t / 4


def kernels(u: Array, v: Array) -> Array:
    """Of all pairs of unit rows."""
    return np.array([[kernel(float(a @ b)) for b in v] for a in u])


def atoms(a: Array, w: Array, true: Teacher) -> tuple[Array, Array]:
    """f - f* as masses at unit rows: the student's, then minus the teacher's."""
    length = np.linalg.norm(w, axis=1)
    return np.vstack([w / length[:, None], true.units]), np.concatenate([a * length, -true.weights])


def loss(a: Array, w: Array, true: Teacher) -> float:
    """E (f - f*)^2 / 2."""
    z, mass = atoms(a, w, true)
    return float(mass @ kernels(z, z) @ mass) / 2


def correlation(row: Array, z: Array, mass: Array) -> tuple[float, Array]:
    """E[R s(u.x)] for R = sum_l mass_l s(z_l.x) and u = row to length 1, and the gradient by w of E[R s(w.x)] at w = row: s u + D."""
    u = row / np.linalg.norm(row)
    s = sum(m * kernel(float(u @ v)) for m, v in zip(mass, z))
    slopes = sum(m * math.asin(min(1.0, max(-1.0, float(u @ v)))) / (2 * math.pi) * v for m, v in zip(mass, z))
    return s, s * u + slopes - (u @ slopes) * u


def gradients(a: Array, w: Array, true: Teacher) -> tuple[Array, Array]:
    """Of the loss by a [m] and w [m, d]."""
    each = [correlation(row, *atoms(a, w, true)) for row in w]
    by_a = [np.linalg.norm(row) * s for row, (s, _) in zip(w, each)]
    return np.array(by_a), np.array([own * slope for own, (_, slope) in zip(a, each)])


def limit_constant(true: Teacher) -> float:
    """c^T M^-1 c / 2, c = sign(a_i*) v_i, M the Gram matrix of grad_w s at the teachers: mixed derivatives of the kernel, by autograd."""
    r, d = true.units.shape
    gram = np.zeros((r * d, r * d))
    for i in range(r):
        for j in range(r):
            gram[i * d : (i + 1) * d, j * d : (j + 1) * d] = _block(true.units[i], true.units[j], i == j)
    c = (np.sign(true.weights)[:, None] * true.units).ravel()
    return float(c @ scipy.linalg.solve(gram, c, assume_a="pos")) / 2


def _block(u: Array, v: Array, same: bool) -> Array:
    if same:  # E (sign(u.x) x / 2 - u / sqrt(2 pi)) (the same)^T
        return np.eye(len(u)) / 4 - np.outer(u, u) / (2 * math.pi)
    p, q = (torch.tensor(row, requires_grad=True) for row in (u, v))
    lengths = p.norm() * q.norm()
    t = p @ q / lengths
    value = lengths * ((1 - t * t).sqrt() + t * t.asin() - 1) / (2 * math.pi)
    (first,) = torch.autograd.grad(value, p, create_graph=True)
    return np.array([torch.autograd.grad(part, q, retain_graph=True)[0].numpy() for part in first])


def certificate(u: Array, a: Array, w: Array, true: Teacher, lam: float) -> float:
    """eta(u) = -E[(f - f*) s(u.x)] / lam at a unit vector."""
    return -correlation(u, *atoms(a, w, true))[0] / lam


def climbed(a: Array, w: Array, true: Teacher, lam: float, seed: int) -> float:
    """The largest |eta| that projected ascent finds, from every atom, 64 directions of the sphere and 64 of the teachers' span.

    A start goes 50 steps, of 0.5 at first, half as long after one that was not uphill and half as long again after one that was.
    """
    z, mass = atoms(a, w, true)
    (r, d), stream = true.units.shape, generator(seed, "noise", 0, 0, 0, 0)
    sphere, span = (torch.randn(64, n, generator=stream).numpy().astype(float) for n in (d, r))
    largest = 0.0
    for u in [*z, *sphere, *(span @ np.linalg.qr(true.units.T)[0].T)]:
        u, step = u / np.linalg.norm(u), 0.5
        best, slope = _size(u, z, mass, lam)
        for _ in range(50):
            tried = u + step * slope
            tried = tried / np.linalg.norm(tried)
            value, uphill = _size(tried, z, mass, lam)
            if value > best:
                u, best, slope, step = tried, value, uphill, 1.5 * step
            else:
                step = step / 2
        largest = max(largest, best)
    return largest


def _size(u: Array, z: Array, mass: Array, lam: float) -> tuple[float, Array]:
    """|eta(u)| and the gradient of ||w|| |eta(w / ||w||)| at w = u."""
    t = np.clip(z @ u, -1, 1)
    value = float(mass @ (np.sqrt(1 - t * t) + t * np.arcsin(t) - 1)) / (2 * math.pi)
    slope = (mass * np.arcsin(t) / (2 * math.pi)) @ z
    return abs(value) / lam, np.sign(value) * (value * u + slope - (slope @ u) * u) / lam


def largest_certificate(a: Array, w: Array, true: Teacher, lam: float) -> float:
    """max |eta| over the sphere by SciPy, from every atom and from directions of its own."""
    z, mass = atoms(a, w, true)
    starts = [*z, *np.random.default_rng(0).normal(size=(20, z.shape[1]))]

    def down(row: Array) -> tuple[float, Array]:
        u, length = row / np.linalg.norm(row), np.linalg.norm(row)
        value, slope = _size(u, z, mass, lam)
        return -value, -(slope - (slope @ u) * u) / length

    return -min(scipy.optimize.minimize(down, row, jac=True, method="L-BFGS-B", tol=1e-15).fun for row in starts)


def share_in_span(rows: Array, true: Teacher) -> float:
    """Mean over rows of the part of their length that lies in the teachers' span."""
    basis = scipy.linalg.orth(true.units.T)
    return float(np.mean([np.linalg.norm(basis.T @ row) / np.linalg.norm(row) for row in rows]))


def plane(true: Teacher) -> Array:
    """[2, d]: the first teacher, and what the second has beside it, to length 1."""
    first, second = true.units[:2]
    rest = second - (second @ first) * first
    return np.array([first, rest / np.linalg.norm(rest)])


def measures(a: Array, w: Array, true: Teacher) -> dict[str, float]:
    """Of one student: w and -w are one direction; near is |cos| >= 0.98 with the nearest teacher."""
    signed = [float(x * np.linalg.norm(row)) for x, row in zip(a, w)]
    cosine = [[abs(float(row @ v)) / np.linalg.norm(row) for v in true.units] for row in w]
    nearest, total = [int(np.argmax(own)) for own in cosine], sum(map(abs, signed))
    near = [max(own) >= 0.98 for own in cosine]
    recovered = [sum(s for s, n, ok in zip(signed, nearest, near) if ok and n == i) for i in range(len(true.units))]
    errors = [abs(sum_near - weight) for sum_near, weight in zip(recovered, true.weights)]
    return {
        "loss": loss(a, w, true),
        "total_mass": total,
        "far_mass": sum(abs(s) for s, ok in zip(signed, near) if not ok) / total,
        "weighted_cosine": sum(abs(s) * max(own) for s, own in zip(signed, cosine)) / total,
        "recovery_error": max(errors),
        "recovered_share": sum(e <= 0.01 for e in errors) / len(errors),
        "balance": max(abs(x**2 - row @ row) for x, row in zip(a, w)),
    }
