"""One run of the finite-sum task after another: one seed, one horizon, one step at a time, in numpy.

f(x) = E F(x; sample) or (1/m) sum_i f_i(x); T steps from x_0. Reported for T: the means over the T points at which a step was taken of
||grad f||_1, ||grad f||_1 / d, ||grad f||_2 and ||v - grad f||^2, and the last of them; v is the estimate behind a step. Component gradients
are counted one by one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from bench.seeding import generator

Array = np.ndarray
CHUNK = 512  # steps that share a stream of draws; stream 0 holds the first step's larger batch


class Sine:
    """sum_k x_k^2 + 3 sin(x_k)^2, gradient noise +noise with probability rare, -noise rare / (1 - rare) otherwise."""

    def __init__(self, seed: int, dim: int, noise: float, rare: float) -> None:
        self.seed, self.dim, self.m = seed, dim, None
        self.high, self.low, self.rare = noise, -noise * rare / (1 - rare), rare
        self.start = np.ones(dim)

    def next_sample(self, stream: torch.Generator) -> Array:
        uniform = torch.rand(self.dim, generator=stream, dtype=torch.float64)
        return np.array([self.high if u < self.rare else self.low for u in uniform.tolist()])

    def gradient(self, x: Array, sample: Array) -> Array:
        return self.exact(x) + sample

    def exact(self, x: Array) -> Array:
        return 2 * x + 6 * np.sin(x) * np.cos(x)


class LeastSquares:
    """(1/m) sum_i (a_i . x - b_i)^2 / 2 + penalty sum_k x_k^2 / (1 + x_k^2); a ~ N(0, scale / d), b = a . x* + N(0, 1)."""

    def __init__(self, seed: int, dim: int, m: int, penalty: float, scale: float) -> None:
        self.seed, self.dim, self.m, self.penalty = seed, dim, m, penalty
        stream = generator(seed, "data")
        truth = torch.randn(dim, generator=stream, dtype=torch.float64).numpy()
        drawn = torch.randn(m, dim + 1, generator=stream, dtype=torch.float64).numpy()
        self.a = [math.sqrt(scale / dim) * row[:dim] for row in drawn]
        self.b = [float(a @ truth) + row[dim] for a, row in zip(self.a, drawn)]
        self.start = np.zeros(dim)

    def next_sample(self, stream: torch.Generator) -> int:
        return int(torch.randint(self.m, (1,), generator=stream))

    def gradient(self, x: Array, i: int) -> Array:
        bounded = self.penalty * (2 * x * (1 + x**2) - x**2 * 2 * x) / (1 + x**2) ** 2
        return (self.a[i] @ x - self.b[i]) * self.a[i] + bounded

    def exact(self, x: Array) -> Array:
        return sum(self.gradient(x, i) for i in range(self.m)) / self.m


class Counted:
    """A problem whose component gradients are counted."""

    def __init__(self, problem: Any) -> None:
        self.problem, self.m, self.calls = problem, problem.m, 0

    def at(self, x: Array, sample: Any) -> Array:
        self.calls += 1
        return self.problem.gradient(x, sample)

    def full(self, x: Array) -> Array:
        return sum(self.at(x, i) for i in range(self.m)) / self.m


@dataclass
class Setting:
    """Of a method: its step size, the weight of the new gradient, the first step's batch, and whatever else its update asks for."""

    lr: float
    beta: float = 1.0
    first: int = 1
    weight_decay: float = 0.0
    momentum: float = 0.9
    nesterov: bool = False
    betas: tuple[float, float] = (0.9, 0.999)


def theory(name: str, lr: float, horizon: int, d: int, m: int | None) -> Setting:
    """Step sizes and beta for T known in advance: multiples lr of what each method's theorem says."""
    m = m or 1
    return {
        "signsgd": lambda: Setting(lr * d**-0.5 * horizon**-0.5),
        "signsgd_sim": lambda: Setting(lr * d**-0.5 * horizon**-0.75, horizon**-0.5),
        "ssvr": lambda: Setting(lr * d**-0.5 * horizon ** (-2 / 3), horizon ** (-2 / 3), round(horizon ** (1 / 3))),
        "ssvr_fs": lambda: Setting(lr * m**-0.25 * d**-0.5 * horizon**-0.5, 1 / m),
        "ssvr_fs_spider": lambda: Setting(lr * m**-0.25 * d**-0.5 * horizon**-0.5),
        "signsvrg": lambda: Setting(lr * m**-0.5 * d**-0.5 * horizon**-0.5),
        "sgd": lambda: Setting(lr * horizon**-0.5),
        "adamw": lambda: Setting(lr * horizon**-0.5),
    }[name]()


def estimates(name: str, f: Counted, how: Setting) -> Callable[[int, Array, Array, Any], Array]:
    """v_t out of (t from 0, x_t, a stochastic gradient there, its sample), with a memory of its own."""
    old: dict[str, Array] = {}

    def ssvr(t: int, x: Array, g: Array, sample: Any) -> Array:
        if t == 0 or how.beta == 1:
            return g
        return g + (1 - how.beta) * (old["v"] - f.at(old["x"], sample))

    def momentum(t: int, x: Array, g: Array, sample: Any) -> Array:
        return g if t == 0 else (1 - how.beta) * old["v"] + how.beta * g

    def svrg(t: int, x: Array, g: Array, sample: Any) -> Array:
        return old["G"] if t % f.m == 0 else g - f.at(old["s"], sample) + old["G"]

    def storm(t: int, x: Array, g: Array, sample: Any) -> Array:
        if t == 0:
            return old["G"]
        before = f.at(old["x"], sample)
        there = g if t % f.m == 0 else f.at(old["s"], sample)
        return g + (1 - how.beta) * (old["v"] - before) - how.beta * (there - old["G"])

    def spider(t: int, x: Array, g: Array, sample: Any) -> Array:
        return old["G"] if t % f.m == 0 else old["v"] + g - f.at(old["x"], sample)

    kinds = {"ssvr": ssvr, "signsgd_sim": momentum, "signsvrg": svrg, "ssvr_fs": storm, "ssvr_fs_spider": spider}
    rule = kinds.get(name, lambda t, x, g, sample: g)
    has_snapshots = name in ("signsvrg", "ssvr_fs", "ssvr_fs_spider")

    def estimate(t: int, x: Array, gradient: Callable[[], Array], sample: Any) -> Array:
        if has_snapshots and t % f.m == 0:
            old["s"], old["G"] = x.copy(), f.full(x)
        v = rule(t, x, gradient(), sample)
        old["v"], old["x"] = v, x.copy()
        return v

    return estimate


def descent(name: str, how: Setting) -> Callable[[Array, Array], Array]:
    """x_{t+1} out of x_t and v_t: sign descent with decoupled decay, or torch's own optimizer."""
    if name not in ("sgd", "adamw"):
        return lambda x, v: (1 - how.lr * how.weight_decay) * x - how.lr * np.sign(v)
    point = torch.nn.Parameter(torch.empty(0, dtype=torch.float64))
    if name == "sgd":
        own = {"momentum": how.momentum, "nesterov": how.nesterov, "weight_decay": how.weight_decay}
        optimizer = torch.optim.SGD([point], lr=how.lr, foreach=False, **own)
    else:
        own = {"betas": how.betas, "weight_decay": how.weight_decay}
        optimizer = torch.optim.AdamW([point], lr=how.lr, foreach=False, **own)

    def step(x: Array, v: Array) -> Array:
        point.data, point.grad = torch.tensor(x), torch.tensor(v)
        optimizer.step()
        return point.detach().numpy().copy()

    return step


@np.errstate(all="ignore")
def path(problem: Any, name: str, horizon: int, how: Setting) -> tuple[dict[str, float], bool]:
    """The row of one horizon, and whether all of it is finite."""
    f, x = Counted(problem), problem.start.copy()
    estimate, move = estimates(name, f, how), descent(name, how)
    l1, l2, error, stream = 0.0, 0.0, 0.0, None
    first = generator(problem.seed, "noise", 0)
    for t in range(horizon):
        if t % CHUNK == 0:
            stream = generator(problem.seed, "noise", 1 + t // CHUNK)
        sample = problem.next_sample(stream)

        def gradient(t=t, x=x, sample=sample) -> Array:
            samples = [sample] + [problem.next_sample(first) for _ in range(how.first - 1 if t == 0 else 0)]
            return sum(f.at(x, s) for s in samples) / len(samples)

        exact, v = problem.exact(x), estimate(t, x, gradient, sample)
        last = float(abs(exact).sum())
        l1, l2 = l1 + last / horizon, l2 + math.sqrt((exact**2).sum()) / horizon
        error += float(((v - exact) ** 2).sum()) / horizon
        x = move(x, v)
    row = {
        "step": horizon,
        "iterations": horizon,
        "mean_grad_l1": l1,
        "mean_grad_l1_per_dim": l1 / problem.dim,
        "mean_grad_l2": l2,
        "last_grad_l1": last,
        "tracking_mse": error,
        "gradient_evaluations": f.calls,
    }
    return row, bool(np.isfinite(x).all() and np.isfinite([l1, l2, error]).all())
