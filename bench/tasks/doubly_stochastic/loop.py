"""Minimise a finite sum with infinite data, (1/n) sum_i E_eta f_i(x; eta): the variance of the gradient, and descents with it.

Everything advances in one batch: all seeds, a seed's replicates, all step sizes. Expectations over the algorithm's randomness are means
over replicates, a seed is one such mean; the problem's instance is the same for all of them.

Shapes: S seeds, R replicates a seed, P = S R paths, G step sizes, E evaluations, d dimension.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor

from bench.errors import UserError
from bench.run.build import build
from bench.run.session import Session
from bench.tasks.doubly_stochastic.draws import chunks, draw, per_step
from bench.tasks.doubly_stochastic.protocol import Batch, Method, Problem
from bench.tasks.doubly_stochastic.variance import Variance
from bench.types import NonNegativeInt, PositiveFloat, PositiveInt

BATCHES_SEEDS = True


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
    method: Method = build("method", session.job.parts["method"], *constants)
    every = evaluate_every * method.steps_per_epoch
    _check(session.job.names["dataset"], problem, method, steps, every, lrs, pilot)
    point = problem.optimum if variance_at == "optimum" else problem.start()
    session.begin(steps, 0 if state is None else state["step"])
    if state is None:
        variance = Variance(session.seeds, problem, method, point, draws, pilot)
        state = {"step": 0, "finals": _variances(session, variance, splits)}
    descent = Descent(session, problem, method, lrs or [method.lr or 0.0], replicates, every, steps)
    descent.run(state)
    session.gradient_evaluations = [steps * method.evaluations] * len(session.runs)
    for s, (seed_run, final) in enumerate(zip(session.runs, state["finals"])):
        rows, more, status = descent.results(s, final["monte_carlo_share"], epsilons, path_points)
        for row in rows:
            seed_run.log(row.get("iterations", steps), **row)
        seed_run.finish(status, **final, **more)
    session.progress.note(steps, variance=state["finals"][0]["variance"], **({"error": more["error"]} if steps else {}))


def _check(
    name: str,
    problem: Problem,
    method: Method,
    steps: int,
    every: int,
    lrs: list[float] | None,
    pilot: list[int] | None,
) -> None:
    if not problem.has_optimum and (steps or method.exact or pilot is None):
        raise UserError(
            f"data set '{name}' has neither a known optimum nor known moments: it needs task.steps=0, "
            "task.pilot=[components, draws] and method.exact=false"
        )
    if steps and lrs is None and method.lr is None:
        raise UserError(f"method.lr = None: data set '{name}' states no smoothness constant; set a number")
    if 0 < steps < every:
        raise UserError(f"task.steps = {steps}: errors are taken every {every} steps here; ask for at least as many")
    if lrs is not None and (not lrs or len(set(lrs)) < len(lrs)):
        raise UserError(f"task.lrs = {lrs}: distinct step sizes, or null for the method's own")


def _variances(session: Session, variance: Variance, splits: list[int] | None) -> list[dict[str, float]]:
    """Log the rows of the splits; the final metrics of each seed."""
    finals = []
    for seed_run, (rows, final) in zip(session.runs, variance.found(splits)):
        for row in rows:
            seed_run.log(0, **row)
        finals.append(final)
    session.examples += variance.examples
    return finals


class Descent:
    """The iterates [G, P, d] and the errors of their evaluations [E, G, S]."""

    def __init__(
        self,
        session: Session,
        problem: Problem,
        method: Method,
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
