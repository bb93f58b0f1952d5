"""One run of the vote task after another: one seed, one horizon, one worker, one step at a time, in numpy.

f(x) = (1/n) sum_j f_j(x), T steps from x_1 = 0. Reported for T: means over the T points at which a step was taken, and over the last of them,
of ||grad f||_1, ||grad f||_2, and of the derivatives' mean with its sign.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from bench.seeding import generator

Array = np.ndarray
CHUNK = 256  # steps that share a stream


class Stream:
    """A sender's numbers, a row a step."""

    def __init__(self, seed: int, kind: int, sender: int, dim: int) -> None:
        self.name, self.dim, self.step = (seed, "noise", kind, sender), dim, 0

    def next(self) -> Array:
        if self.step % CHUNK == 0:
            self.stream = generator(*self.name, self.step // CHUNK)
        self.step += 1
        return torch.rand(self.dim, generator=self.stream, dtype=torch.float64).numpy()


class Quadratics:
    """||x - c_j||^2 / 2 with uniform noise of the gradients."""

    def __init__(self, seed: int, workers: int, dim: int, share: float, noise: float) -> None:
        self.n, self.dim, self.noise = workers, dim, noise
        self.streams = [Stream(seed, 0, j, dim) for j in range(workers)]
        self.centres = []
        for j in range(workers):
            normal = torch.randn(dim, generator=generator(seed, "data", j), dtype=torch.float64).numpy()
            self.centres.append((3.0 if j < round(share * workers) else -0.5) + 0.1 * normal)

    def samples(self) -> list[Array]:
        half = self.noise * math.sqrt(3)  # of an interval with this standard deviation
        return [2 * half * stream.next() - half for stream in self.streams]

    def gradient(self, j: int, x: Array, sample: Array) -> Array:
        return x - self.centres[j] + sample

    def exact(self, x: Array) -> Array:
        return sum(x - c for c in self.centres) / self.n


class LogCosh:
    """log cosh(x) / 2 plus x / 4, x / 4 and -x / 2."""

    n = 3

    def __init__(self, dim: int) -> None:
        self.dim = dim

    def samples(self) -> list[float]:
        return [0.25, 0.25, -0.5]

    def gradient(self, j: int, x: Array, slope: float) -> Array:
        return np.tanh(x) / 2 + slope

    def exact(self, x: Array) -> Array:
        return np.tanh(x) / 2


def theory(name: str, keys: dict[str, Any], horizon: int, dim: int) -> dict[str, Any]:
    """lr of order (d T)^-1/2; beta of order T^-1/2, but for the first option of SSVR-MV constant."""
    found = keys | {"lr": keys["lr"] / math.sqrt(dim * horizon)}
    if "beta" in keys:
        found["beta"] = min(1.0, keys["beta"] * (1.0 if name == "ssvr_mv" else 1 / math.sqrt(horizon)))
    return found


def coin(u: float, probability: float) -> float:
    return 1.0 if u < probability else -1.0


def stochastic(v: Array, radius: float, u: Array) -> Array:
    return np.array([coin(b, 0.5 if radius == 0 else (1 + a / radius) / 2) for a, b in zip(v, u)])


def sign(v: Array, ties: str, u: Array) -> Array:
    instead = {"zero": lambda b: 0.0, "random": lambda b: coin(b, 0.5), "plus": lambda b: 1.0}[ties]
    return np.array([instead(b) if a == 0 else math.copysign(1, a) for a, b in zip(v, u)])


def projected(v: Array, keys: dict[str, Any]) -> Array:
    kind, radius = keys.get("projection"), keys.get("radius")
    if kind == "box":
        return np.array([min(max(a, -radius), radius) for a in v])
    if kind == "ball" and (length := math.sqrt(sum(v**2))) > radius:
        return v * radius / length
    return v


class Vote:
    """A method: every worker's memory, and the server's."""

    def __init__(self, name: str, keys: dict[str, Any], n: int) -> None:
        self.name, self.keys, self.n = name, keys, n
        self.v: list[Array | None] = [None] * n
        self.z: Array | None = None
        self.ties = keys.get("ties", "zero")
        self.beta = keys.get("beta", 1.0)
        self.twice = name in ("ssvr_mv", "ssvr_mv_stochastic", "dvr_sign", "dvr_q") and self.beta < 1

    def estimate(self, j: int, g: Array, old: Array | None) -> Array:
        if self.name in ("signsgd_mv", "sto_signsgd"):
            return g
        if self.name in ("dvr_sign", "dvr_q"):
            return g if old is None else g - (1 - self.beta) * old
        if self.name in ("ssvr_mv", "ssvr_mv_stochastic"):
            v = g if old is None else g + (1 - self.beta) * (self.v[j] - old)
            self.v[j] = projected(v, self.keys)
        else:
            self.v[j] = g if self.v[j] is None else (1 - self.beta) * self.v[j] + self.beta * g
        return self.v[j]

    def direction(self, estimates: list[Array], coins: list[Array], toss: Array) -> Array:
        if self.name in ("signsgd_mv", "signum_mv"):
            votes = [sign(v, self.ties, u) for v, u in zip(estimates, coins)]
        elif self.name == "ssdm":
            votes = [stochastic(v, math.sqrt(sum(v**2)), u) for v, u in zip(estimates, coins)]
        elif self.name in ("dvr_sign", "dvr_q"):
            votes = [max(abs(v)) * stochastic(v, max(abs(v)), u) for v, u in zip(estimates, coins)]
        else:
            radius = self.keys.get("radius")
            if radius is None:
                radius = max(float(np.quantile(abs(v), self.keys.get("quantile", 1.0))) for v in estimates)
            votes = [stochastic(v, radius, u) for v, u in zip(estimates, coins)]
        mean = sum(votes) / self.n
        if self.name == "ssdm":
            return mean
        if self.name == "ssvr_mv_stochastic":
            return stochastic(mean, 1.0, toss)
        if self.name in ("dvr_sign", "dvr_q"):
            mean = self.z = mean if self.z is None else (1 - self.beta) * self.z + mean
        if self.name == "dvr_q":
            return max(abs(mean)) * stochastic(mean, max(abs(mean)), toss)
        return sign(mean, self.ties, toss)


def wire(name: str, keys: dict[str, Any], n: int, dim: int) -> tuple[float, float]:
    """Bits a coordinate that a worker sends and gets: 1 for two values, 2 for three, enough for a mean of n signs; 32 for a number."""
    zeros, number = keys.get("ties", "zero") == "zero", 32 / dim
    if name in ("signsgd_mv", "signum_mv"):
        return (2.0, 2.0) if zeros else (1.0, 1.0)
    if name == "ssdm":
        return 1.0, float(next(b for b in range(1, 64) if 2**b >= n + 1))
    if name in ("dvr_sign", "dvr_q"):
        return 1 + number, (1 + number if name == "dvr_q" else 2.0 if zeros else 1.0)
    told = 0.0 if keys.get("radius") is not None else number
    voted = 2.0 if name != "ssvr_mv_stochastic" and zeros and n % 2 == 0 else 1.0
    return 1 + told, voted + told


def path(problem: Any, seed: int, name: str, keys: dict[str, Any], horizon: int, tail: float) -> dict[str, float]:
    """The row of one horizon."""
    n, dim, method, calls = problem.n, problem.dim, Vote(name, keys, problem.n), 0
    coins, toss = [Stream(seed, 1, j, dim) for j in range(n)], Stream(seed, 2, 0, dim)
    x, before = np.zeros(dim), None
    points: list[tuple[float, float, float]] = []
    for _ in range(horizon):
        exact, samples, estimates = problem.exact(x), problem.samples(), []
        points.append((float(abs(exact).sum()), math.sqrt((exact**2).sum()), float(exact.mean())))
        for j in range(n):
            old = problem.gradient(j, before, samples[j]) if method.twice and before is not None else None
            estimates.append(method.estimate(j, problem.gradient(j, x, samples[j]), old))
            calls += 1 if old is None else 2
        s = method.direction(estimates, [stream.next() for stream in coins], toss.next())
        before, x = x, x - keys["lr"] * s
    last = points[-max(1, round(tail * horizon)) :]
    mean: Callable[[list, int], float] = lambda rows, k: sum(row[k] for row in rows) / len(rows)  # noqa: E731
    up, down = wire(name, keys, n, dim)
    return {
        "step": horizon,
        "iterations": horizon,
        "mean_grad_l1": mean(points, 0),
        "mean_grad_l2": mean(points, 1),
        "tail_grad_l1": mean(last, 0),
        "tail_grad_l2": mean(last, 1),
        "tail_grad_l1_per_dim": mean(last, 0) / dim,
        "tail_grad_mean": mean(last, 2),
        "bits_up": up,
        "bits_down": down,
        "gradient_evaluations": calls,
    }
