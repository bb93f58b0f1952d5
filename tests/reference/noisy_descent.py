"""Whole runs of the doubly stochastic task, one path at a time: the estimator's variance, descents, rows and final metrics."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from reference.agree import Row
from reference.noisy_draws import APART, Method, batches
from reference.noisy_problems import Array, Sum
from scipy.special import binom

from bench.seeding import generator


class Variance:
    """V of splits at one point, from means over pairs of components."""

    def __init__(self, problem: Sum, method: Method, pairs: dict[str, float]) -> None:
        self.problem, self.method, self.pairs = problem, method, pairs

    def parts(self, b: float, m: float, replacement: bool) -> tuple[float, float]:
        """By subsampling and by Monte Carlo: a slot with itself in 1 of b cases, else with another slot."""
        p, n = self.pairs, self.problem.n
        directions, cross = p["directions"], p["cross"]
        if replacement:  # in 1 of n cases the other slot holds the same component
            directions += (p["apart"] - directions) / n
            cross += (p["twice"] - cross) / n
        return p["apart"] / b + (1 - 1 / b) * directions, (p["squares"] / b + (1 - 1 / b) * cross) / m

    def of(self, b: float, m: float) -> float:
        subsampling, monte_carlo = self.parts(b, m, self.method.sampling == "with_replacement")
        return subsampling + (0.0 if self.method.exact else monte_carlo)

    def best_real(self, budget: int) -> float:
        """The real minimiser of V(b, budget / b) in [1, min(budget, n)]: it is alpha b + beta / b + gamma. Without noise the largest b."""

        def v(b: float) -> float:
            return self.of(b, budget / b)

        most = min(budget, self.problem.n)
        if self.method.exact:
            return float(most)
        equations = np.array([[b, 1 / b, 1] for b in (1.0, 2.0, 4.0)])
        alpha, beta, _ = np.linalg.solve(equations, [v(1.0), v(2.0), v(4.0)])
        inside = [math.sqrt(beta / alpha)] if alpha > 1e-12 * abs(beta) and beta > 0 else []
        return min([1.0, float(most), *(b for b in inside if 1 < b < most)], key=v)

    def final(self) -> Row:
        method, p = self.method, self.pairs
        subsampling, monte_carlo = self.parts(method.b, method.m, method.sampling == "with_replacement")
        monte_carlo = 0.0 if method.exact else monte_carlo
        both = subsampling + monte_carlo
        return {
            "tau2": p["apart"],
            "mean_s": p["mean"],
            "var_s": max(0.0, p["squares"] - p["mean"] ** 2),
            "noise_correlation": p["cross"] / p["products"] if p["products"] else 0.0,
            "subsampling_variance": subsampling,
            "monte_carlo_variance": monte_carlo,
            "monte_carlo_share": monte_carlo / both if monte_carlo else 0.0,
            "optimal_batch_size": self.best_real(method.b * method.m),
        }


def measured(problem: Sum, method: Method, seed: int, point: Array, pilot: Sequence[int]) -> dict[str, float]:
    """Means over pairs of a sample of q components with K draws that all of them see, without bias but for the mean of s."""
    q, draws = pilot
    stream = generator(seed, "data", APART)
    index = torch.randperm(problem.n, generator=stream)[:q].tolist()
    eta = torch.randn(draws, 1, 1, problem.k, generator=stream, dtype=torch.float64).numpy()
    g = [[problem.minibatch([i], eta[k], point) for k in range(draws)] for i in index]
    mean = [np.mean(each, 0) for each in g]
    apart = [[row - mean[i] for row in g[i]] for i in range(q)]

    def covariance(i: int, j: int) -> float:
        return sum(float(a @ b) for a, b in zip(apart[i], apart[j])) / (draws - 1)

    s2 = [covariance(i, i) for i in range(q)]
    others = [(i, j) for i in range(q) for j in range(q) if i != j]
    cross = float(np.mean([covariance(i, j) for i, j in others]))
    between = sum(float(np.sum((mean[i] - mean[j]) ** 2)) for i, j in others) / (2 * q * (q - 1))
    squares = float(np.mean(s2))
    tau2 = max(0.0, between - (squares - cross) / draws) * (1 - 1 / problem.n)
    roots = float(np.mean(np.sqrt(s2)))
    kept = cross if method.rho == 1 else 0.0
    return {
        "squares": squares,
        "mean": roots,
        "apart": tau2,
        "twice": squares if method.rho == 1 else 0.0,
        "cross": kept,
        "products": (roots**2 - squares / problem.n) / (1 - 1 / problem.n),
        "directions": -tau2 / (problem.n - 1),
    }


def estimate(problem: Sum, method: Method, seed: int, point: Array, draws: int) -> tuple[float, int]:
    """tr Cov of draws / sqrt(b) minibatch gradients, at least 64, and the component gradients that they took."""
    count = max(int(draws / math.sqrt(method.b)), 64)
    g = [problem.minibatch(*batch, point) for (batch,) in batches(problem, method, seed, count, 1, APART)]
    return float(np.trace(np.atleast_2d(np.cov(np.array(g).T)))), count * method.evaluations


def descend(
    problem: Sum, method: Method, seed: int, lr: float, steps: int, paths: int, every: int
) -> tuple[list[float], list[float]]:
    """Means over paths of |x - x*|^2 and |x - x*| after every so many steps."""
    steppers = [_Stepper(problem, method, lr) for _ in range(paths)]
    squares, distances = [], []
    for t, each in enumerate(batches(problem, method, seed, steps, paths)):
        with np.errstate(all="ignore"):  # a path may diverge
            for stepper, batch in zip(steppers, each):
                stepper.step(t, problem.minibatch(*batch, stepper.x))
            if (t + 1) % every == 0:
                apart = [float(np.sum((stepper.answer() - problem.optimum) ** 2)) for stepper in steppers]
                squares.append(sum(apart) / paths)
                distances.append(sum(math.sqrt(a) for a in apart) / paths)
    return squares, distances


class _Stepper:
    """One path: torch's SGD or Adam, then the projection."""

    def __init__(self, problem: Sum, method: Method, lr: float) -> None:
        self.problem, self.method, self.lr = problem, method, lr
        self._x = torch.nn.Parameter(torch.tensor(problem.start))
        kind = torch.optim.SGD if method.adam is None else torch.optim.Adam
        self._opt, self._path = kind([self._x], lr=lr, **(method.adam or {})), []

    @property
    def x(self) -> Array:
        return self._x.detach().numpy().copy()

    def step(self, t: int, g: Array) -> None:
        if self.method.schedule == "two_stage":
            self._opt.param_groups[0]["lr"] = min(self.lr, (2 * t + 1) / ((t + 1) ** 2 * self.problem.strong))
        self._x.grad = torch.tensor(g)
        self._opt.step()
        self._x.data = torch.tensor(self.problem.project(self.x))
        self._path.append(self.x)

    def answer(self) -> Array:
        """The last iterate, or the mean with weights that grow as the power c of the iteration."""
        if self.method.averaging is None:
            return self._path[-1]
        c = self.method.averaging
        weights = [binom(t + c - 1, c) for t in range(1, len(self._path) + 1)]
        return sum(w * x for w, x in zip(weights, self._path)) / sum(weights)


def run(
    problem: Sum,
    method: Method,
    seed: int,
    *,
    steps: int,
    replicates: int = 8,
    lr: float | None = None,
    lrs: Sequence[float] | None = None,
    evaluate_every: int = 1,
    epsilons: Sequence[float] = (),
    path_points: int = 20,
    variance_at: str = "optimum",
    splits: Sequence[int] | None = None,
    draws: int,
    pilot: Sequence[int] | None = None,
) -> tuple[list[Row], Row, int]:
    """The curve, the final metrics, and the component gradients of the estimates of V."""
    point = problem.optimum if variance_at == "optimum" else problem.start
    pairs = problem.pairs(point, method.rho) if pilot is None else measured(problem, method, seed, point, pilot)
    variance, drawn_by = Variance(problem, method, pairs), seed if pilot is None else 0
    budget, rows, found, examples = method.b * method.m, [], {}, 0
    wanted = [(method.b, method.m)]
    if splits is not None:
        wanted = [(b, budget // b) for b in sorted(set(splits)) if budget % b == 0 and b <= problem.n]
    for b, m in wanted:
        row: Row = {"step": 0, "batch_size": b, "mc_samples": m, "variance": variance.of(b, m)}
        if draws and not method.exact:
            row["variance_mc"], took = estimate(problem, replace(method, b=b, m=m), drawn_by, point, draws)
            row["variance_ratio"], examples = row["variance_mc"] / row["variance"], examples + took
        rows.append(row)
    final = variance.final() | {
        "batch_size": method.b,
        "mc_samples": method.m,
        "variance": variance.of(method.b, method.m),
    }
    for row in rows:
        if (row["batch_size"], row["mc_samples"]) == (method.b, method.m) and "variance_mc" in row:
            final |= {name: row[name] for name in ("variance_mc", "variance_ratio")}
    if splits is None:
        rows = []
    else:
        final |= _of_splits(rows)
    if steps:
        p = problem.n // method.b
        lrs = list(lrs or [lr or 1 / (2 * problem.largest * p)])
        found = [descend(problem, method, seed, rate, steps, replicates, evaluate_every * p) for rate in lrs]
        more, last = _of_descents(
            found, lrs, evaluate_every * p, steps, epsilons, path_points, final["monte_carlo_share"]
        )
        rows, final = rows + more, final | last
    return rows, final | {"gradient_evaluations": steps * method.evaluations}, examples


def _of_splits(rows: Sequence[Row]) -> Row:
    v = [row["variance"] for row in rows]
    best = int(np.argmin(v))
    found = {
        "best_batch_size": rows[best]["batch_size"],
        "smallest_over_best": v[0] / v[best],
        "largest_over_best": v[-1] / v[best],
        "largest_increase": max([b / a for a, b in itertools.pairwise(v)] or [1.0]),
    }
    if "variance_mc" in rows[0]:
        found["excess_variance"] = rows[best]["variance_mc"] / min(row["variance_mc"] for row in rows)
    return found


def _of_descents(
    found: Sequence[tuple[list[float], list[float]]],
    lrs: Sequence[float],
    every: int,
    steps: int,
    epsilons: Sequence[float],
    path_points: int,
    share: float,
) -> tuple[list[Row], Row]:
    rows, by_lr = [], []
    squares, distances = found[0]
    last = len(squares)
    ends = {max(1, round(last ** (k / path_points))) for k in range(1, path_points + 1)}
    for e in sorted(ends):
        iterations = e * every
        rows.append(
            {"step": iterations, "iterations": iterations, "error": squares[e - 1], "distance": distances[e - 1]}
        )
    for lr, (squares, distances) in zip(lrs, found):
        tail = squares[last // 2 :]
        by_lr.append(
            {"lr": lr, "error": squares[-1], "distance": distances[-1], "stationary_error": sum(tail) / len(tail)}
        )
        rows.append({"step": steps, **by_lr[-1], "monte_carlo_share": share})
    for epsilon in epsilons:
        first = [next((e + 1 for e, v in enumerate(squares) if v <= epsilon), None) for squares, _ in found]
        reached = [(e, k) for k, e in enumerate(first) if e is not None]
        row: Row = {"step": steps, "epsilon": epsilon, "iterations_to_epsilon": None, "tuned_lr": None}
        if reached:
            e, k = min(reached)
            row |= {"iterations_to_epsilon": e * every, "tuned_lr": lrs[k]}
        rows.append(row)
    return rows, by_lr[0] | {"iterations": steps}
