"""Minimise a finite sum with infinite data, (1/n) sum_i E_eta f_i(x; eta): the variance of the gradient, and descents with it.

Everything advances in one batch: all seeds, a seed's replicates, all step sizes. Expectations over the algorithm's randomness are means
over replicates, a seed is one such mean; the problem's instance is the same for all of them.

Shapes: S seeds, R replicates a seed, P = S R paths, G step sizes, E evaluations, b components and m draws a minibatch, d dimension.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from bench.budget import Moments, measure
from bench.build import build
from bench.errors import UserError
from bench.seeding import generator
from bench.session import Session
from bench.types import NonNegativeInt, PositiveFloat, PositiveInt
from methods.doubly_sgd import DoublySGD

BATCHES_SEEDS = True
NUMBERS = 200_000  # b m k R of the steps whose draws are made at once, a seed
MINIBATCHES = 64  # at least so many behind a Monte Carlo estimate
ELSEWHERE = 10**9  # the step from which on the draws of estimates come, away from those of descents
Batch = tuple[Tensor, ...]


class Problem(Protocol):
    """A finite sum with infinite data; see datasets.noisy_sums.NoisySum."""

    dim: int
    noise_dim: int
    num_components: int
    smoothness: float | None
    strong_convexity: float | None
    optimum: Tensor
    has_optimum: bool
    footprint: int

    def start(self) -> Tensor: ...
    def project(self, x: Tensor) -> Tensor: ...
    def batch(self, index: Tensor, noise: Tensor | None) -> Batch: ...
    def gradient(self, x: Tensor, batch: Batch) -> Tensor: ...
    def moments(self, x: Tensor, rho: float) -> Moments | None: ...


def run(
    session: Session,
    state: dict[str, Any] | None,
    *,
    steps: NonNegativeInt,
    replicates: PositiveInt,
    lrs: list[PositiveFloat] | None,
    evaluate_every: PositiveInt,
    epsilons: list[PositiveFloat],
    path_points: NonNegativeInt,
    variance_at: Literal["optimum", "start"],
    splits: list[PositiveInt] | None,
    draws: NonNegativeInt,
    pilot: list[PositiveInt] | None,
) -> None:
    """First the gradient's variance V at x* (or x_0), by formula and by Monte Carlo, then `steps` steps of the method.

    Final metrics: `variance` V = `subsampling_variance` + `monte_carlo_variance` and what it is made of (`tau2`, `mean_s`, `var_s`,
    `noise_correlation`), all traces of covariances; `error` E||x - x*||^2 and `distance` E||x - x*|| at the last epoch's end,
    `stationary_error` over the second half of the run; the step size is `lrs`' first or the method's own.

    Rows of the curve:
        batch_size, mc_samples: V of the splits of the method's budget b m; `variance_ratio` is Monte Carlo over formula.
        lr: errors of each step size; beside them `monte_carlo_share`, on which depends what reshuffling is worth.
        epsilon: `iterations_to_epsilon` until the mean over replicates of ||x - x*||^2 is at most that, at the best step size of `lrs`.
        iterations: errors at `path_points` epoch ends, evenly spaced in log.
    """
    problem: Problem = build(
        "dataset", session.job.parts["dataset"], session.job.settings.data_root, device=session.device.device
    )
    constants = problem.num_components, problem.smoothness, problem.strong_convexity
    method: DoublySGD = build("method", session.job.parts["method"], *constants)
    every = evaluate_every * method.steps_per_epoch
    names = session.job.names
    if not problem.has_optimum and (steps or method.exact or pilot is None):
        raise UserError(
            f"data set '{names['dataset']}' has neither a known optimum nor known moments: it needs task.steps=0, "
            "task.pilot=[components, draws] and method.exact=false"
        )
    if steps and lrs is None and method.lr is None:
        raise UserError(f"method.lr = None: data set '{names['dataset']}' states no smoothness constant; set a number")
    if 0 < steps < every:
        raise UserError(f"task.steps = {steps}: errors are taken every {every} steps here; ask for at least as many")
    if lrs is not None and (not lrs or len(set(lrs)) < len(lrs)):
        raise UserError(f"task.lrs = {lrs}: distinct step sizes, or null for the method's own")
    point = problem.optimum if variance_at == "optimum" else problem.start()
    session.begin(steps, 0 if state is None else state["step"])
    if state is None:
        found = Variance(session, problem, method, point, draws, pilot).found(splits)
        state = {"step": 0, "finals": found}
    descent = Descent(session, problem, method, lrs or [method.lr or 0.0], replicates, every, steps)
    descent.run(state)
    session.gradient_evaluations = [steps * method.evaluations] * len(session.runs)
    for s, (seed_run, final) in enumerate(zip(session.runs, state["finals"])):
        rows, more, status = descent.results(s, final["monte_carlo_share"], epsilons, path_points)
        for row in rows:
            seed_run.log(row.get("iterations", steps), **row)
        seed_run.finish(status, **final, **more)
    session.progress.note(steps, variance=state["finals"][0]["variance"], **({"error": more["error"]} if steps else {}))


# ---- the variance of the gradient


class Variance:
    """V at one point for each seed: from the moments (closed form, or of a pilot sample), and from draws of the estimator."""

    def __init__(
        self,
        session: Session,
        problem: Problem,
        method: DoublySGD,
        point: Tensor,
        draws: int,
        pilot: list[int] | None,
    ) -> None:
        self.session, self.problem, self.method, self.point = session, problem, method, point
        self.draws = 0 if method.exact else draws
        self.seeds = session.seeds if pilot is None else [0]  # of the Monte Carlo estimate
        if pilot is None:
            self.moments = [problem.moments(point, method.rho)] * len(session.seeds)
        else:
            self.moments = [self._measured(seed, pilot) for seed in session.seeds]

    def found(self, batch_sizes: list[int] | None) -> list[dict[str, float]]:
        """The final metrics of each seed; logs a row for each split of the budget by `batch_sizes`, None: the method's own alone."""
        b, m = self.method.b, self.method.m
        chosen = [(b, m)]
        if batch_sizes is not None:
            try:
                chosen = [(s.batch_size, s.mc_samples) for s in self.moments[0].splits(b * m, batch_sizes)]
            except ValueError as error:
                raise UserError(f"task.splits: {error}") from None
        sampled = [
            self._sampled(self.method.with_split(*split)) for split in chosen
        ]  # a list of S numbers or None each
        finals = []
        for s, (run, moments) in enumerate(zip(self.session.runs, self.moments)):
            rows = [self._row(moments, *split, None if v is None else v[s]) for split, v in zip(chosen, sampled)]
            if batch_sizes is not None:
                for row in rows:
                    run.log(0, **row)
            own = None if (b, m) not in chosen else rows[chosen.index((b, m))].get("variance_mc")
            final = self._final(moments) | self._row(moments, b, m, own)
            if batch_sizes is not None:
                final |= self._of_splits(moments, rows)
            finals.append(final)
        return finals

    def _row(self, moments: Moments, b: int, m: int, sampled: float | None) -> dict[str, float]:
        v = self._formula(moments, b, m)
        row = {"batch_size": b, "mc_samples": m, "variance": v}
        return row if sampled is None else row | {"variance_mc": sampled, "variance_ratio": sampled / v}

    def _formula(self, moments: Moments, b: int, m: int) -> float:
        if self.method.exact:
            return moments.subsampling_variance(b, self.method.replacement)
        return moments.variance(b, m, self.method.replacement)

    def _final(self, moments: Moments) -> dict[str, float]:
        b, m, replacement = self.method.b, self.method.m, self.method.replacement
        subsampling = moments.subsampling_variance(b, replacement)
        monte_carlo = 0.0 if self.method.exact else moments.monte_carlo_variance(b, m, replacement)
        return {
            "tau2": moments.tau2,
            "mean_s": moments.mean_s,
            "var_s": moments.var_s,
            "noise_correlation": moments.rho,
            "subsampling_variance": subsampling,
            "monte_carlo_variance": monte_carlo,
            "monte_carlo_share": monte_carlo / (subsampling + monte_carlo) if monte_carlo else 0.0,
            "optimal_batch_size": moments.optimal_batch_size(b * m),
        }

    def _of_splits(self, moments: Moments, rows: list[dict[str, float]]) -> dict[str, float]:
        """Where the smallest V is, and what other splits lose."""
        v = [row["variance"] for row in rows]
        best = min(range(len(v)), key=v.__getitem__)
        found = {
            "best_batch_size": rows[best]["batch_size"],
            "smallest_over_best": v[0] / v[best],
            "largest_over_best": v[-1] / v[best],
            "largest_increase": max((after / before for before, after in itertools.pairwise(v)), default=1.0),
        }
        sampled = [row.get("variance_mc", math.nan) for row in rows]
        return found | ({"excess_variance": sampled[best] / min(sampled)} if self.draws else {})

    def _sampled(self, method: DoublySGD) -> list[float] | None:
        """tr Cov of the minibatch gradient for each seed. A larger minibatch has lighter tails and is drawn less often, as b^-1/2.

        With a pilot sample one estimate is what every seed's prediction is held against.
        """
        count, seeds = max(int(self.draws / method.b**0.5), MINIBATCHES), len(self.seeds)
        if not self.draws:
            return None
        total = self.point.new_zeros(seeds, len(self.point))
        squares = self.point.new_zeros(seeds)
        for first, size in chunks(count, per_step(method, self.problem, 1)):
            g = self.problem.gradient(
                self.point, draw(self.problem, method, self.seeds, ELSEWHERE + first, size, 1, self.point)
            )
            total += g.sum(0)
            squares += g.square().sum((0, 2))
            self.session.examples += size * seeds * method.evaluations
        found = ((squares - total.square().sum(1) / count) / (count - 1)).tolist()
        return found * len(self.moments) if seeds == 1 else found

    def _measured(self, seed: int, pilot: list[int]) -> Moments:
        """From the gradients of a few components at a few draws that they share (bench.budget)."""
        if len(pilot) != 2 or min(pilot) < 2 or pilot[0] > self.problem.num_components:
            raise UserError(f"task.pilot = {pilot}: [components, draws], at least 2 of each and at most n components")
        stream = generator(seed, "data", ELSEWHERE)
        index = torch.randperm(self.problem.num_components, generator=stream)[: pilot[0]].to(self.point.device)
        noise = torch.randn(pilot[1], 1, 1, self.problem.noise_dim, generator=stream, dtype=torch.float64)
        noise = noise.to(self.point)

        def gradients() -> Iterator[Tensor]:
            for i in index:
                batch = self.problem.batch(i.expand(pilot[1], 1), noise)
                yield self.problem.gradient(self.point, batch)

        moments = measure(gradients(), self.problem.num_components)
        if self.method.rho not in (0, 1):
            raise UserError(
                f"method.rho = {self.method.rho}: a pilot sample tells of shared (1) and separate (0) noise"
            )
        return moments if self.method.rho == 1 else moments.independent()


def per_step(method: DoublySGD, problem: Problem, paths: int) -> int:
    """Numbers that a step's draws take, a seed."""
    return paths * max(method.evaluations * problem.noise_dim, problem.footprint)


def chunks(steps: int, per_step: int, first: int = 0) -> Iterator[tuple[int, int]]:
    """(first step, number of steps) of the chunks whose draws are made at once, from the one that holds step `first` on."""
    size = max(1, NUMBERS // per_step)
    for start in range(first // size * size, steps, size):
        yield start, min(size, steps - start)


def draw(
    problem: Problem, method: DoublySGD, seeds: list[int], first: int, count: int, paths: int, like: Tensor
) -> Batch:
    """The batches of steps first, ..., first + count - 1, with leading dimensions [count, S paths]."""
    index = method.minibatches(seeds, first, count, paths).to(like.device)
    noise = method.noise(seeds, first, count, paths, problem.noise_dim)
    return problem.batch(index, None if noise is None else noise.to(like))


# ---- descents


class Descent:
    """The iterates [G, P, d] and the errors of their evaluations [E, G, S]."""

    def __init__(
        self,
        session: Session,
        problem: Problem,
        method: DoublySGD,
        lrs: list[float],
        replicates: int,
        every: int,
        steps: int,
    ) -> None:
        self.session, self.problem, self.method, self.replicates = session, problem, method, replicates
        self.lrs, self.every, self.steps, self.step = lrs, every, steps, 0
        seeds, start = len(session.seeds), problem.start()
        self.x = start.expand(len(lrs), seeds * replicates, -1).clone()
        self.x = method.begin(self.x, torch.tensor(lrs, dtype=start.dtype), problem.project)
        self.errors = start.new_zeros(2, steps // every, len(lrs), seeds)  # E||x - x*||^2 and E||x - x*||

    @torch.no_grad()
    def run(self, state: dict[str, Any]) -> None:
        """All steps, or those that a checkpoint's state lacks."""
        if state["step"]:
            self.step, self.x, self.errors = state["step"], state["x"], state["errors"]
            self.method.load_state_dict(state["method"])
        size = per_step(self.method, self.problem, self.replicates)
        for first, count in chunks(self.steps, size, self.step):
            if self.step >= self.steps:
                return
            batches = draw(
                self.problem, self.method, self.session.seeds, first, count, self.replicates, self.problem.optimum
            )
            for offset in range(self.step - first, count):
                if self.session.due():
                    self.session.save(self._state(state["finals"]))
                self._advance(tuple(part[offset] for part in batches))
            self.session.progress.step(self.step)
            self.session.examples += count * self.x.shape[1] * self.method.evaluations

    def _advance(self, batch: Batch) -> None:
        self.x = self.method.update(self.x, self.problem.gradient(self.x, batch), self.step)
        self.step += 1
        e, rest = divmod(self.step, self.every)
        if rest == 0:
            squares = (self.method.answer(self.x) - self.problem.optimum).square().sum(-1)
            squares = squares.unflatten(1, (-1, self.replicates))
            self.errors[0, e - 1], self.errors[1, e - 1] = squares.mean(-1), squares.sqrt().mean(-1)

    def _state(self, finals: list[dict[str, float]]) -> dict[str, Any]:
        method = self.method.state_dict()
        return {"step": self.step, "x": self.x, "errors": self.errors, "method": method, "finals": finals}

    def results(
        self, s: int, share: float, epsilons: list[float], path_points: int
    ) -> tuple[list[dict[str, Any]], dict[str, Any], str]:
        """Of seed s: the curve's rows, its final metrics, and finished or diverged (every step size led to infinity)."""
        if self.steps == 0:
            return [], {}, "finished"
        errors, distances = self.errors[..., s].cpu()  # [E, G] each
        last, tail = len(errors), errors[len(errors) // 2 :].mean(0)
        chosen = {max(1, round(last ** ((k + 1) / path_points))) for k in range(path_points)}
        rows: list[dict[str, Any]] = [
            {"iterations": e * self.every, "error": number(errors[e - 1, 0]), "distance": number(distances[e - 1, 0])}
            for e in sorted(chosen)
        ]
        at_end = zip(self.lrs, errors[-1], distances[-1], tail)
        by_lr = [
            {"lr": lr, "error": number(e), "distance": number(d), "stationary_error": number(t)}
            for lr, e, d, t in at_end
        ]
        rows += [row | {"monte_carlo_share": share} for row in by_lr]
        rows += [self._until(errors, epsilon) for epsilon in epsilons]
        finite = bool(torch.isfinite(errors[-1]).any())
        return rows, by_lr[0] | {"iterations": self.steps}, "finished" if finite else "diverged"

    def _until(self, errors: Tensor, epsilon: float) -> dict[str, Any]:
        """The row of one epsilon; None for iterations where no step size gets there."""
        reached = errors <= epsilon
        first = torch.where(reached.any(0), reached.int().argmax(0), len(errors))  # [G]
        best = int(first.argmin())
        there = first[best] < len(errors)
        iterations = (int(first[best]) + 1) * self.every if there else None
        return {
            "epsilon": epsilon,
            "iterations_to_epsilon": iterations,
            "tuned_lr": self.lrs[best] if there else None,
        }


def number(value: Tensor) -> float | None:
    """A float; None for what is not finite."""
    return float(value) if math.isfinite(value) else None
