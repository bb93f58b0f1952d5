"""Minimise (1/n) sum_j f_j where worker j alone has gradients of f_j and a vote decides: all workers and seeds advance in one batch.

Workers and server meet in messages and in what the method's halves ask for, as they would in processes of their own. A run takes a list
of horizons T, one after another from the start, each with step sizes of its own; they share a seed's draws.

Shapes: n workers, S seeds, d dimension.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from bench.errors import UserError
from bench.run.build import build
from bench.run.loading import load
from bench.run.session import Session
from bench.tasks.vote.draws import SERVER, WORKERS, Uniforms
from bench.tasks.vote.protocol import Method, Problem
from bench.tasks.vote.theory import scaled
from bench.types import Fraction, PositiveInt

BATCHES_SEEDS = True


def run(
    session: Session, state: dict[str, Any] | None, *, horizons: list[PositiveInt], theory: bool, tail: Fraction
) -> None:
    """Log, for each horizon T, a row at step T: means over t <= T, and over the last `tail` T of them, of the gradient of f at x_t.

    Metrics: `mean_grad_l1`, `mean_grad_l2` over all t; `tail_grad_l1`, `tail_grad_l2`, `tail_grad_l1_per_dim` (divided by d) and
    `tail_grad_mean` (mean over coordinates with its sign) over the last; `gradient_evaluations` of all workers together; `bits_up`,
    `bits_down` of one worker, a coordinate and step.
    """
    if len(set(horizons)) < len(horizons) or not horizons:
        raise UserError(f"task.horizons = {horizons}: a list of distinct iteration counts")
    parts = session.job.parts
    problem: Problem = build("dataset", parts["dataset"], session.seeds, device=session.device.device)
    kind, order = load(str(parts["method"]["_target_"])), sorted(horizons)
    factors = [kind.theory(horizon, problem.dim) if theory else None for horizon in order]
    methods = [build("method", scaled(parts["method"], of_one)) for of_one in factors]
    Descents(session, problem, methods, order, tail).run(state)


class Descents:
    """The descent of each horizon, one after another."""

    def __init__(
        self, session: Session, problem: Problem, methods: Sequence[Method], horizons: Sequence[int], tail: float
    ) -> None:
        self.session, self.problem, self.methods, self.horizons, self.tail = session, problem, methods, horizons, tail
        self.index = 0

    @torch.no_grad()
    def run(self, state: dict[str, Any] | None) -> None:
        """From the start or a checkpoint to the end of the last horizon."""
        done = 0
        if state is not None:
            self.index = state["index"]
            done = sum(self.horizons[: self.index]) + state["descent"]["step"]
        self.session.begin(sum(self.horizons), done)
        while self.index < len(self.horizons):
            descent = Descent(self.session, self.problem, self.methods[self.index], self._tail())
            if state is not None:
                descent.restore(state["descent"])
                state = None
            self._advance(descent)
            self._end(descent)
            self.index += 1

    def _tail(self) -> int:
        horizon = self.horizons[self.index]
        return horizon - max(1, round(self.tail * horizon))  # steps before it

    def _advance(self, descent: Descent) -> None:
        horizon, before = self.horizons[self.index], sum(self.horizons[: self.index])
        last = self.index == len(self.horizons) - 1
        while descent.step < horizon:
            descent.advance()
            if descent.step % 256 == 0:
                self.session.progress.step(before + descent.step)
            if self.session.due() and not (last and descent.step == horizon):
                self.session.save({"index": self.index, "descent": descent.state()})

    def _end(self, descent: Descent) -> None:
        """Log the horizon's row; the last one's is final."""
        horizon = self.horizons[self.index]
        rows = descent.rows(horizon)
        for s, (run, row) in enumerate(zip(self.session.runs, rows)):
            run.log(horizon, **row)
            self.session.gradient_evaluations[s] = descent.evaluations
            if horizon == self.horizons[-1]:
                sound = bool(torch.isfinite(descent.x[s]).all())
                run.finish("finished" if sound else "diverged", **row)
        mean = sum(row["mean_grad_l2"] for row in rows) / len(rows)
        self.session.progress.note(horizon, horizon=horizon, mean_grad_l2=mean)


class Descent:
    """One horizon: iterates of all seeds, the halves of the method, and the running sums of the metrics.

    Args:
        tail: steps before those that the metrics of the end are of.
    """

    def __init__(self, session: Session, problem: Problem, method: Method, tail: int) -> None:
        self.session, self.problem, self.method, self.tail = session, problem, method, tail
        self.worker, self.server = method.worker(), method.server()
        self.x = problem.start()  # [S, d]
        self.before = self.x
        self.sums = self.x.new_zeros(5, len(self.x))  # l1, l2; of the end l1, l2, mean
        self.step = self.evaluations = 0  # evaluations: of a seed, all workers together
        more = (problem.dim, session.device.device)
        self.coins = Uniforms(session.seeds, WORKERS, range(problem.workers), *more)
        self.toss = Uniforms(session.seeds, SERVER, [0], *more)

    def advance(self) -> None:
        """One step of all workers and the server."""
        self._measure(self.problem.full_gradient(self.x))
        step, n = self.step, self.problem.workers
        sample = self.problem.sample(step)
        gradient, previous = self.problem.gradient(self.x, sample), None  # [n, S, d]
        if self.worker.wants_previous and step > 0:
            previous = self.problem.gradient(self.before, sample)
        messages = self.worker.message(gradient, previous, _largest, lambda: self.coins.at(step))
        direction = self.server.vote(messages, lambda: self.toss.at(step)[0])
        self.before, self.x = self.x, self.x - self.method.lr * direction
        self.evaluations += n if previous is None else 2 * n
        self.step += 1
        self.session.examples += n * len(self.x)

    def _measure(self, exact: Tensor) -> None:
        l1, l2 = exact.abs().sum(-1), exact.norm(dim=-1)
        self.sums[0] += l1
        self.sums[1] += l2
        if self.step >= self.tail:
            self.sums[2] += l1
            self.sums[3] += l2
            self.sums[4] += exact.mean(-1)

    def rows(self, horizon: int) -> list[dict[str, float]]:
        """The metrics of each seed."""
        dim, rest = self.problem.dim, horizon - self.tail
        up, down = self.method.bits(dim, self.problem.workers)
        counts = self.sums.new_tensor([horizon, horizon, rest, rest, rest])
        return [
            {
                "iterations": horizon,
                "mean_grad_l1": l1,
                "mean_grad_l2": l2,
                "tail_grad_l1": tail_l1,
                "tail_grad_l2": tail_l2,
                "tail_grad_l1_per_dim": tail_l1 / dim,
                "tail_grad_mean": tail_mean,
                "bits_up": up / dim,
                "bits_down": down / dim,
                "gradient_evaluations": self.evaluations,
            }
            for l1, l2, tail_l1, tail_l2, tail_mean in (self.sums / counts[:, None]).T.tolist()
        ]

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds of it."""
        halves = {"worker": self.worker.state, "server": self.server.state}
        own = {"step": self.step, "x": self.x, "before": self.before, "evaluations": self.evaluations}
        return {**own, "sums": self.sums, **halves}

    def restore(self, state: dict[str, Any]) -> None:
        """The inverse of `state`."""
        self.step, self.evaluations = state["step"], state["evaluations"]
        self.x, self.before, self.sums = state["x"], state["before"], state["sums"]
        self.worker.state, self.server.state = dict(state["worker"]), dict(state["server"])


def _largest(own: Tensor) -> Tensor:
    """Of each worker's number [n, S, 1] the largest."""
    return own.amax(0, keepdim=True)
