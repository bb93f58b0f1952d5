"""Minimise an expectation or a finite sum: all seeds and all horizons advance in one batch.

Theorems of this kind bound the mean over iterations of the gradient norm for a horizon T known in advance, with step sizes that
depend on T. A run therefore takes a list of horizons; each has its own iterate and parameter group, all share a seed's draws.

Shapes: H horizons (longest first), S seeds, d dimension.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from bench.errors import UserError
from bench.optimizers import check_constructor, check_members, step
from bench.run.build import build
from bench.run.session import Session
from bench.schedules import apply_theory
from bench.tasks.finite_sum.protocol import Method, Problem
from bench.types import PositiveInt

BATCHES_SEEDS = True
CHUNK = 512  # steps whose draws are made at once


def run(session: Session, state: dict[str, Any] | None, *, horizons: list[PositiveInt], theory: bool) -> None:
    """Log, for each horizon T, a row at step T: means over t <= T of the gradient norm and of the estimator's error.

    Metrics: `mean_grad_l1`, `mean_grad_l1_per_dim` (divided by d), `mean_grad_l2`, `last_grad_l1`, `tracking_mse`
    (mean of ||v_t - grad f(x_t)||^2), `gradient_evaluations` (component gradients).
    """
    if len(set(horizons)) < len(horizons) or not horizons:
        raise UserError(f"task.horizons = {horizons}: a list of distinct iteration counts")
    Descent(session, sorted(horizons, reverse=True), theory).run(state)


class Descent:
    """The iterates of every (horizon, seed) pair and the running sums of their metrics."""

    def __init__(self, session: Session, horizons: Sequence[int], theory: bool) -> None:
        self.session, self.horizons = session, list(horizons)
        parts = session.job.parts
        self.problem: Problem = build("dataset", parts["dataset"], session.seeds, device=session.device.device)
        start = self.problem.start()
        self.x = start.expand(len(horizons), *start.shape).clone()  # [H, S, d]; the parameters are views of it
        self.params = [torch.nn.Parameter(x) for x in self.x]
        check_constructor(parts["method"])
        self.method: Method = build("method", parts["method"], [{"params": [p]} for p in self.params])
        check_members(self.method)
        self.method.skip_nonfinite = False  # a parameter holds all seeds; each is watched by itself
        self.initial_batch = [1] * len(horizons)
        if theory:
            self._apply_theory()
        if hasattr(self.method, "snapshot") and self.problem.num_components is None:
            names = session.job.names
            raise UserError(
                f"method '{names['method']}' needs a finite sum; data set '{names['dataset']}' is an expectation"
            )
        self.sums = torch.zeros(3, *self.x.shape[:2], dtype=self.x.dtype, device=self.x.device)  # l1, l2, squared error
        self.evaluations = [0] * len(horizons)  # component gradients of each horizon, a seed
        self.step = 0

    def _apply_theory(self) -> None:
        settings = getattr(type(self.method), "theory", None)
        if settings is None:
            raise UserError("task.theory = True: this method states no theory; set task.theory=false")
        for h, (group, horizon) in enumerate(zip(self.method.param_groups, self.horizons)):
            values = settings(horizon, self.problem.dim, self.problem.num_components)
            self.initial_batch[h] = max(1, round(values.get("initial_batch", 1)))
            apply_theory(group, values)

    @torch.no_grad()
    def run(self, state: dict[str, Any] | None) -> None:
        """From the start or a checkpoint to the longest horizon."""
        if state is not None:
            self._restore(state)
        total = self.horizons[0]
        self.session.begin(total, self.step)
        draws = None
        while self.step < total:
            chunk, offset = divmod(self.step, CHUNK)
            if draws is None or offset == 0:
                draws = self.problem.draw(chunk + 1, CHUNK)
            self._advance(draws[offset])
            self.step += 1
            self._end_horizons()
            if offset == 0:
                self.session.progress.step(self.step)
            if self.session.due() and self.step < total:
                self.session.save(self._state())

    @property
    def active(self) -> int:
        """Number of horizons not yet reached: they are a prefix of the list."""
        return sum(horizon > self.step for horizon in self.horizons)

    def _advance(self, sample: Tensor) -> None:
        active = self.active
        x, m = self.x[:active], self.problem.num_components
        exact = self.problem.full_gradient(x)  # [a, S, d], for the metrics alone
        if hasattr(self.method, "snapshot") and self.step % m == 0:  # type: ignore[operator]
            self.method.snapshot(lambda: self._hand_over(self.problem.full_gradient(self.x[:active]), m), m)  # type: ignore[arg-type]
        step(self.method, lambda: self._stochastic(active, sample), lambda: self.evaluations[0])
        estimate = torch.stack([self.method.state[p].get("estimate", p.grad) for p in self.params[:active]])
        self.sums[0, :active] += exact.abs().sum(-1)
        self.sums[1, :active] += exact.norm(dim=-1)
        self.sums[2, :active] += (estimate - exact).square().sum(-1)
        self._exact = exact
        self.session.examples += active * len(self.session.runs)

    def _stochastic(self, active: int, sample: Tensor) -> Tensor:
        """The closure: gradients at the current iterates; at the first step the mean over the theory's initial batch."""
        gradient = self.problem.gradient(self.x[:active], sample)
        if self.step == 0 and max(self.initial_batch) > 1:
            more = self.problem.draw(0, max(self.initial_batch) - 1)
            for h, size in enumerate(self.initial_batch):
                if size > 1:
                    gradient[h] = (gradient[h] + self.problem.gradient(self.x[h], more[: size - 1]).sum(0)) / size
                    self.evaluations[h] += size - 1
        self._hand_over(gradient, 1)
        return gradient.new_zeros(())

    def _hand_over(self, gradient: Tensor, cost: int) -> None:
        for h in range(len(gradient)):
            self.params[h].grad = gradient[h]
            self.evaluations[h] += cost

    def _end_horizons(self) -> None:
        """Log the horizons that end at this step; their iterates rest from now on."""
        for h, horizon in enumerate(self.horizons):
            if horizon != self.step:
                continue
            last = self._exact[h].abs().sum(-1)
            rows = torch.stack([*(self.sums[:, h] / horizon), last]).T.tolist()
            self.params[h].grad = None
            for s, (run, (l1, l2, mse, final_l1)) in enumerate(zip(self.session.runs, rows)):
                row = {
                    "iterations": horizon,
                    "mean_grad_l1": l1,
                    "mean_grad_l1_per_dim": l1 / self.problem.dim,
                    "mean_grad_l2": l2,
                    "last_grad_l1": final_l1,
                    "tracking_mse": mse,
                    "gradient_evaluations": self.evaluations[h],
                }
                run.log(self.step, **row)
                self.session.gradient_evaluations[s] = self.evaluations[h]
                if horizon == self.horizons[0]:
                    finite = bool(torch.isfinite(self.x[:, s]).all()) and all(
                        torch.isfinite(self.sums[:, :, s]).flatten()
                    )
                    run.finish("finished" if finite else "diverged", **row)
            self.session.progress.note(self.step, horizon=horizon, mean_grad_l1=sum(r[0] for r in rows) / len(rows))

    def _state(self) -> dict[str, Any]:
        method = self.method.state_dict()
        return {"step": self.step, "x": self.x, "sums": self.sums, "evaluations": self.evaluations, "method": method}

    def _restore(self, state: dict[str, Any]) -> None:
        self.step, self.evaluations = state["step"], state["evaluations"]
        self.x.copy_(state["x"])
        self.sums.copy_(state["sums"])
        self.method.load_state_dict(state["method"])
