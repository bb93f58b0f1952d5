"""Whole runs of Gaussian variational inference, one setting of one seed at a time: steps on (m, S), rows, final metrics."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from reference.bayes_models import Array, Model, best, derivatives, elbo, exact_gradients, kl
from reference.same_numbers import Row
from scipy.stats import linregress

from bench.seeding import generator

DRAWN_AT_ONCE = 128  # steps that share one opening of a stream
METHODS: dict[str, dict[str, float]] = {  # as their configs say
    "ngvi": {"lr": 1.0, "decay": 0.5, "cap": 1.0},
    "ngvi_average": {"lr": 1.0, "decay": 1.0, "cap": 1.0},
    "ngvi_constant": {"lr": 0.1, "decay": 0.0, "cap": 1.0},
    "ngvi_safe": {"lr": 1.0, "decay": 0.5, "cap": 1.0},
    "ngvi_sqrt": {"lr": 0.005, "decay": 0.0025},
    "proximal_sgd": {"lr": 3e-4, "decay": 0.005},
    "projected_sgd": {"lr": 3e-4, "decay": 0.005, "floor": 1e-3},
    "adam_vi": {"lr": 0.01, "decay": 0.005, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "floor": 1e-3},
}


class Natural:
    """NGVI on the precision: P <- (1 - gamma) P + gamma H, m <- m - gamma P^-1 g with the new P; `safe`: + gamma^2 / 2 G S G, G = P - H."""

    def __init__(self, m: Array, s: Array, safe: bool, lr: float, decay: float, cap: float) -> None:
        self.m, self.p, self.safe, self.lr, self.decay, self.cap = m, np.linalg.inv(s), safe, lr, decay, cap

    @property
    def root(self) -> Array:
        """The upper C with C C^T = S: the inverse transpose of the precision's lower factor."""
        return np.linalg.inv(np.linalg.cholesky(self.p)).T

    def step(self, t: int, g: Array, h: Array) -> bool:
        """Whether positive-definiteness would have been lost, and the step was not taken."""
        gamma = min(self.cap, self.lr / (1 + self.decay * t))
        gap = self.p - h
        p = self.p - gamma * gap
        if self.safe:
            p = p + gamma**2 / 2 * gap @ np.linalg.inv(self.p) @ gap
        p = (p + p.T) / 2
        if np.linalg.eigvalsh(p)[0] <= 0:
            return True
        self.m, self.p = self.m - gamma * np.linalg.solve(p, g), p
        return False


class Factored:
    """Steps on m and the lower C, S = C C^T: square-root NGVI, proximal SGD, projected SGD."""

    def __init__(self, kind: str, m: Array, s: Array, lr: float, decay: float, floor: float = 0.0) -> None:
        self.kind, self.m, self.root, self.floor = kind, m, np.linalg.cholesky(s), floor
        self.lr, self.decay = lr, decay

    def step(self, t: int, g: Array, h: Array) -> bool:
        rate, c = self.lr / (1 + self.decay * t), self.root
        d = range(len(c))
        if self.kind == "ngvi_sqrt":
            half = np.tril(c.T @ h @ c - np.eye(len(c)))
            for i in d:
                half[i, i] /= 2
            self.m, self.root = self.m - rate * c @ c.T @ g, c - rate * c @ half
            return False
        new = c - rate * np.tril(h @ c)
        for i in d:
            if self.kind == "proximal_sgd":  # the positive root of x - c = rate / x
                new[i, i] = (new[i, i] + math.sqrt(new[i, i] ** 2 + 4 * rate)) / 2
            else:
                new[i, i] = max(new[i, i] + rate / c[i, i], self.floor)
        self.m, self.root = self.m - rate * g, new
        return False


class Adam:
    """torch's Adam on m and C with the gradient of -ELBO, the diagonal cut from below after each step."""

    def __init__(
        self, m: Array, s: Array, lr: float, decay: float, beta1: float, beta2: float, eps: float, floor: float
    ):
        self._m, self._c = (torch.nn.Parameter(torch.tensor(v)) for v in (m, np.linalg.cholesky(s)))
        self._opt = torch.optim.Adam([self._m, self._c], lr=lr, betas=(beta1, beta2), eps=eps)
        self.lr, self.decay, self.floor = lr, decay, floor

    @property
    def m(self) -> Array:
        return self._m.detach().numpy().copy()

    @property
    def root(self) -> Array:
        return self._c.detach().numpy().copy()

    def step(self, t: int, g: Array, h: Array) -> bool:
        c = self.root
        self._m.grad, self._c.grad = torch.tensor(g), torch.tensor(np.tril(h @ c) - np.diag(1 / np.diag(c)))
        self._opt.param_groups[0]["lr"] = self.lr / (1 + self.decay * t)
        self._opt.step()
        with torch.no_grad():
            for i in range(len(c)):
                self._c[i, i] = max(float(self._c[i, i]), self.floor)
        return False


def _method(name: str, m: Array, s: Array, values: Mapping[str, float]) -> Natural | Factored | Adam:
    if name == "adam_vi":
        return Adam(m, s, **values)
    if name in ("ngvi", "ngvi_average", "ngvi_constant", "ngvi_safe"):
        return Natural(m, s, name == "ngvi_safe", **values)
    return Factored(name, m, s, **values)


def _start(model: Model, seed: int, start: str) -> tuple[Array, Array]:
    d = model.x.shape[1]
    if start == "prior":
        return np.zeros(d), model.prior_variance * np.eye(d)
    drawn = torch.randn(d, d + 1, generator=generator(seed, "init"), dtype=torch.float64).numpy()
    c = np.tril(drawn[:, 1:], -1) + np.diag(np.exp(np.diag(drawn[:, 1:])))
    return 3 * drawn[:, 0], c @ c.T


def _draws(model: Model, seed: int, steps: int, batch: int | None, samples: int) -> Iterator[tuple[Array, Array]]:
    """Each step's data, drawn with replacement, and its standard normal u [samples, d]."""
    n, d = model.x.shape
    for t in range(steps):
        chunk, place = divmod(t, DRAWN_AT_ONCE)
        index = np.arange(n)
        if batch is not None:
            stream = generator(seed, "order", chunk)
            index = torch.randint(n, (DRAWN_AT_ONCE, batch), generator=stream)[place].numpy()
        stream = generator(seed, "noise", chunk)
        yield (
            index,
            torch.randn(DRAWN_AT_ONCE, samples, d, generator=stream, dtype=torch.float64)[place].numpy(),
        )


def _estimate(model: Model, m: Array, c: Array, index: Array, u: Array, kind: str) -> tuple[Array, Array]:
    weight = len(model.y) / len(index)
    if kind in ("exact", "quadrature"):
        return exact_gradients(model, m, c @ c.T, index, weight)
    x, y = model.x[index], model.y[index]
    prior = np.eye(len(m)) / model.prior_variance
    g, h = np.zeros(len(m)), np.zeros((len(m), len(m)))
    for draw in u:
        z = m + c @ draw
        first, second = derivatives(model, x @ z, y)
        gradient = weight * x.T @ first + prior @ z
        g += gradient / len(u)
        if kind == "monte_carlo":
            h += (weight * (x.T * second) @ x + prior) / len(u)
        else:  # Stein: no second derivatives
            product = np.outer(gradient, np.linalg.solve(c.T, draw))
            h += (product + product.T) / (2 * len(u))
    return g, h


def _path(
    model: Model,
    seed: int,
    name: str,
    values: Mapping[str, float],
    reports: Sequence[int],
    batch: int | None,
    estimator: str,
    samples: int,
    start: str,
) -> list[tuple[Array, Array, int]]:
    """m, C with C C^T = S and the steps lost so far, at each report."""
    method, lost, found = _method(name, *_start(model, seed, start), values), 0, []
    for t, (index, u) in enumerate(_draws(model, seed, max(reports), batch, samples)):
        lost += method.step(t, *_estimate(model, method.m, method.root, index, u, estimator))
        if t + 1 in reports:
            found.append((method.m, method.root, lost))
    return found


def run(
    model: Model,
    seed: int,
    method: str,
    reports: Sequence[int],
    *,
    batch: int | None = 50,
    estimator: str = "quadrature",
    samples: int = 10,
    start: str = "prior",
    grid: Mapping[str, Sequence[float]] | None = None,
    **values: float,
) -> tuple[list[Row], Row]:
    """The curve and the final metrics of one seed. A setting that diverges ends in numbers that are none."""
    with np.errstate(all="ignore"):
        return _run(model, seed, method, sorted(reports), batch, estimator, samples, start, grid or {}, values)


def _run(
    model: Model,
    seed: int,
    method: str,
    reports: Sequence[int],
    batch: int | None,
    estimator: str,
    samples: int,
    start: str,
    grid: Mapping[str, Sequence[float]],
    values: Mapping[str, float],
) -> tuple[list[Row], Row]:
    settings = [dict(zip(grid, chosen)) for chosen in itertools.product(*grid.values())]
    paths = [
        _path(model, seed, method, {**METHODS[method], **values, **own}, reports, batch, estimator, samples, start)
        for own in settings
    ]
    m_best, c_best = best(model)
    top = elbo(model, m_best, c_best)
    cost = (len(model.y) if batch is None else batch) * (samples if estimator in ("monte_carlo", "gradient") else 1)
    rows: list[Row] = []
    for place, iterations in enumerate(reports):
        gaps = [top - elbo(model, *path[place][:2]) for path in paths]
        k = min(range(len(paths)), key=lambda k: gaps[k] if math.isfinite(gaps[k]) else math.inf)
        m, c, lost = paths[k][place]
        row: dict[str, Any] = {
            "step": iterations,
            "iterations": iterations,
            "gradient_evaluations": cost * iterations,
            "kl": kl(m, c, m_best, c_best),
            "kl_reverse": kl(m_best, c_best, m, c),
            "elbo_gap": gaps[k],
            "lost_pd_steps": lost,
            "lost_pd": 1.0 if lost else 0.0,
        }
        if model.conjugate:
            row["gap_error"] = 0.0 if math.isfinite(row["kl"]) else math.nan
        rows.append(row | {f"chosen_{name}": value for name, value in settings[k].items()})
    final = {name: value for name, value in rows[-1].items() if name != "step"}
    if len(rows) > 1 and all(0 < row["kl"] < math.inf for row in rows):
        logs = (np.log([row[name] for row in rows]) for name in ("iterations", "kl"))
        final["slope"] = float(linregress(*logs).slope)
    return rows, final
