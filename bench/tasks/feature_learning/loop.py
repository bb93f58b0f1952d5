"""Learn the directions of a Gaussian index model with a two-layer network; how many samples does it take?

All dimensions d, settings of a grid, seeds and their replicates advance in one batch. A seed's numbers are means (hitting times: medians) over
its replicates, independent runs with their own directions, networks and samples.

Shapes: G settings, P = seeds x replicates paths of a dimension, C paths of all dimensions side by side, N neurons, k directions.
"""

from __future__ import annotations

import itertools
import math
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from bench.errors import UserError
from bench.run.build import build
from bench.run.grid import product
from bench.run.session import Session
from bench.tasks.feature_learning.all_samples import step
from bench.tasks.feature_learning.cells import Cell, Measures, pad
from bench.tasks.feature_learning.index_models import IndexModel
from bench.tasks.feature_learning.one_pass import advance, one_thread
from bench.tasks.feature_learning.two_layer import Neurons, TwoLayer
from bench.types import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, Probability
from methods.two_layer.first_layer import FirstLayerMethod

BATCHES_SEEDS = True
BLOCK = 32  # fresh samples that are made, and gone through, at once
LOOK = 32  # blocks between looks at the clock and at what has been reached


def run(
    session: Session,
    state: dict[str, Any] | None,
    *,
    samples: list[PositiveFloat],
    samples_power: NonNegativeFloat,
    samples_log: bool,
    iterations: list[PositiveInt] | None,
    replicates: PositiveInt,
    grid: dict[str, list[float]] | None,
    precision: Literal["double", "single"],
    aligned_at: Probability,
    threshold: Probability,
    sustain: NonNegativeFloat,
    stop: Literal["never", "all", "any"],
    ridge_samples: NonNegativeInt,
    ridge_penalties: list[PositiveFloat],
    ridge_bias: NonNegativeFloat,
    test_samples: PositiveInt,
) -> None:
    """Log, for each dimension d and each number of samples n = samples d^samples_power (ln d), a row; with a grid one for each setting.

    A method of fresh samples passes by these n and ends at the last. One that keeps its samples starts anew for each n, and logs rows after
    `iterations` steps too.

    Rows: `overlap_mean` and `overlap_max` over neurons of |<w, theta>| / ||w|| (the norm of the projection on all directions where k > 1),
    `overlap_1`, ... (the largest |cosine| with each direction), `aligned` (share of neurons with an overlap of at least `aligned_at`),
    `projection` (mean over neurons of sign(a) <w, u>, u the direction of E[y z]), `samples`, `samples_per_dim`, `iterations`,
    `gradient_evaluations`; at the end of a dimension also `population_loss` (1/2 E (f - y)^2, closed form), `test_loss` (the same on fresh
    samples), `network_error` and `train_error` (E (f - y)^2 / Var y of the network itself), `norm_error` (largest | ||w|| - 1 |),
    `test_error` (that of the second phase: a ridge second layer on new biases and samples), and `hitting_time`, the samples until the mean
    overlap stays above `threshold` for `sustain` d more; none where fewer than half of the replicates got there. With a grid a last row of
    each d has the best setting's numbers, of each seed and known only afterwards (`tuned_hitting_time`, `tuned_lr`, ...). Final metrics:
    those of the largest d by the first setting, `hitting_slope` and `tuned_hitting_slope` (of log hitting time against log d), the link's
    exponents, and `theory_slope`, what theory says of the method.
    """
    measures = Measures(aligned_at, threshold, sustain, ridge_samples, ridge_penalties, ridge_bias, test_samples)
    problem = FeatureLearning(session, sorted(samples), replicates, grid or {}, precision, measures)
    problem.begin(samples_power, samples_log, iterations)
    if problem.method.batch_size is None:
        problem.run_all_samples(state)
    else:
        with one_thread(problem.device):
            problem.run_one_pass(state, stop)
    problem.finish()


class FeatureLearning:
    """The cells, one a dimension, and the method that moves their networks."""

    def __init__(
        self,
        session: Session,
        samples: list[float],
        replicates: int,
        grid: dict[str, list[float]],
        precision: str,
        measures: Measures,
    ) -> None:
        self.session, self.samples, self.replicates, self.measures = session, samples, replicates, measures
        parts, self.device = session.job.parts, session.device.device
        self.dtype = torch.float64 if precision == "double" else torch.float32
        self.values = product(grid, parts["method"], self.device)
        self.settings = len(next(iter(self.values.values()), [0]))
        self.method: FirstLayerMethod = build("method", {**parts["method"], **self.values})
        self.model: IndexModel = build("dataset", parts["dataset"]).to(self.device)
        self.network: TwoLayer = build("model", parts["model"])
        if len(set(samples)) < len(samples) or not samples:
            raise UserError(f"task.samples = {samples}: a list of distinct numbers")

    def begin(self, power: float, logarithm: bool, iterations: list[int] | None) -> None:
        """The cells with their networks at the start."""
        size, method = self.method.batch_size or 1, self.method
        if BLOCK % size:
            raise UserError(f"method.batch_size = {size}: a divisor of {BLOCK}, or null for all samples at once")
        if iterations and (method.steps is None or max(iterations) > method.steps):
            raise UserError(
                f"task.iterations = {iterations}: only for a method of all samples at once, up to its {method.steps} steps"
            )
        self.iterations = sorted(iterations or [])
        self.linear = self.model.target.linear_direction()
        self.cells = []
        for d in sorted(self.model.dims):
            scale = d**power * (math.log(d) if logarithm else 1.0)
            reports = sorted({max(size, round(each * scale / size) * size) for each in self.samples})
            self.cells.append(self._cell(d, reports))
        self.total = max(cell.reports[-1] for cell in self.cells)

    def _start(self, cells: list[Cell]) -> None:
        """Tell the method of the networks that it moves, those of so many dimensions side by side."""
        dims = self._per_path([float(cell.d) for cell in cells])
        try:
            self.method.begin(Neurons.joined([cell.neurons for cell in cells]), self.model.target, dims)
        except ValueError as error:
            raise UserError(f"method '{self.session.job.names['method']}': {error}") from error

    def _per_path(self, values: list[float]) -> Tensor:
        """[C, 1, 1] of a number for each of some dimensions."""
        paths = len(self.session.seeds) * self.replicates
        return torch.tensor(values, dtype=self.dtype, device=self.device).repeat_interleave(paths)[:, None, None]

    def _cell(self, d: int, reports: list[int]) -> Cell:
        seeds, r, target = self.session.seeds, self.replicates, self.model.target
        try:
            neurons = self.network.neurons(seeds, r, d, target, self.device, self.dtype)
        except ValueError as error:
            raise UserError(f"model.{error}") from error
        theta = self.model.directions(seeds, r, d)
        w = self.network.weights(seeds, r, d, theta).to(self.dtype).expand(self.settings, -1, -1, -1)
        settings = [{k: float(v[g]) for k, v in self.values.items()} for g in range(self.settings)]
        return Cell(
            self.session,
            self.model,
            d,
            reports,
            theta.to(self.dtype),
            w.clone(),
            neurons,
            settings,
            self.method,
            self.measures,
            self.linear,
        )

    # ------------------------------------------------------------------ fresh samples, in small batches

    @torch.no_grad()
    def run_one_pass(self, state: dict[str, Any] | None, stop: str) -> None:
        """All dimensions side by side; one that has its samples, or has hit, leaves."""
        self.seen, self.gone = 0, []
        if state is not None:
            self._restore(state)
        self.session.begin(self.total, self.seen)
        self._gather()
        while self.active:
            chunk, offset = divmod(self.seen, BLOCK)
            end = min([BLOCK, *(cell.reports[-1] - chunk * BLOCK for cell in self.active)])
            x, y = self._samples(chunk + 1)
            self._block(x[:, offset:end], y[:, offset:end])
            look = self.seen % (LOOK * BLOCK) == 0
            done = [c for c in self.active if self.seen == c.reports[-1] or (look and c.decided(stop))]
            for cell in done:
                self._leave(cell)
            if look:
                self.session.progress.step(self.seen)
            if self.session.due() and self.active:
                self.session.save(self._state())

    def _gather(self) -> None:
        """The active cells' rows in one tensor, padded with zeros to the largest d."""
        self.active = [cell for cell in self.cells if cell.d not in self.gone]
        if not self.active:
            return
        width = max(cell.d for cell in self.active)
        self.w = torch.cat([pad(cell.w, width) for cell in self.active], 1)
        self.theta = torch.cat([pad(cell.theta, width) for cell in self.active])
        self.horizons = self._per_path([float(cell.reports[-1]) for cell in self.active])
        self._start(self.active)

    def _samples(self, block: int) -> tuple[Tensor, Tensor]:
        """x [C, BLOCK, d] and y [C, BLOCK] of the active cells."""
        made = [cell.sample(block, BLOCK) for cell in self.active]
        width = max(cell.d for cell in self.active)
        return torch.cat([pad(x, width) for x, _ in made]), torch.cat([y for _, y in made])

    def _block(self, x: Tensor, y: Tensor) -> None:
        size, count = self.method.batch_size or 1, x.shape[1]
        at = self.seen + size * torch.arange(count // size, device=self.device)
        progress = at.to(self.dtype).reshape(-1, 1, 1, 1) / self.horizons
        self.w, trace = advance(self.method, self.w, self.theta, x, y, progress)
        before, self.seen = self.seen, self.seen + count
        cosines, raw, paths = trace.cosines(), trace.overlaps, len(self.active[0].theta)
        for i, cell in enumerate(self.active):
            own = slice(i * paths, (i + 1) * paths)
            cell.watch(cosines[:, :, own], before, size)
            for n in cell.reports[:-1]:
                if before < n <= self.seen:
                    s = (n - before) // size - 1
                    cell.report(n, n // size, cosines[s, :, own], raw[s, :, own])
        self.session.examples += count * self.w.shape[0] * self.w.shape[1]

    def _leave(self, cell: Cell) -> None:
        self._hand_back()
        cell.end(self.seen, self.seen // (self.method.batch_size or 1))
        self.gone.append(cell.d)
        self.session.progress.note(self.seen, d=cell.d, **cell.note())
        self._gather()

    def _hand_back(self) -> None:
        paths = len(self.active[0].theta)
        for i, cell in enumerate(self.active):
            cell.w = self.w[:, i * paths : (i + 1) * paths, :, : cell.d]

    # ------------------------------------------------------------------ all samples at once

    @torch.no_grad()
    def run_all_samples(self, state: dict[str, Any] | None) -> None:
        """A run of `method.steps` steps for each d and n, the most expensive first; progress counts n d a step."""
        steps = self.method.steps or 1
        todo = [(cell, n) for cell in self.cells for n in cell.reports]
        todo.sort(key=lambda pair: -pair[1] * pair[0].d)
        ends = [0, *itertools.accumulate(n * cell.d * steps for cell, n in todo)]
        first, self.seen, self.gone = 0, 0, []
        if state is not None:
            first = state["place"]
            self._restore(state)
        self.session.begin(ends[-1], ends[first] + self.seen * todo[first][1] * todo[first][0].d)
        for place, (cell, n) in list(enumerate(todo))[first:]:
            self._one_sample(place, ends[place], cell, n, steps)
            self.seen = 0
            if n == cell.reports[-1]:
                self.session.progress.note(ends[place + 1], d=cell.d, **cell.note())

    def _one_sample(self, place: int, before: int, cell: Cell, n: int, steps: int) -> None:
        paths, rows = len(cell.theta), set(self.iterations)
        if self.seen == 0:
            cell.restart()
        self._start([cell])
        advance_all = self.session.device.compiled(step)
        x = y = r = None
        for t in range(self.seen, steps):
            if x is None or self.method.fresh:
                x, y = cell.sample(t + 1 if self.method.fresh else 1, n)
                r = x.square().sum(-1)[:, None]
            with self.session.device.autocast():
                cell.w = advance_all(self.method, cell.w, x, y[:, None], r, r.new_full((paths, 1, 1), t / steps))
            self.seen = t + 1
            if self.seen in rows and self.seen < steps:
                cell.report(n, self.seen, *cell.overlaps())
            self.session.progress.step(before + self.seen * n * cell.d)
            if self.session.due() and self.seen < steps:
                self.session.save(self._state() | {"place": place})
        self.session.examples += n * steps * self.settings * paths
        cell.end(n, steps, (x, y))

    # ------------------------------------------------------------------ the end, and checkpoints

    def finish(self) -> None:
        """Final metrics: those of the largest dimension at its largest n, by the first setting."""
        target = self.model.target
        exponents = target.information_exponent, target.generative_exponent
        known = dict(zip(("information_exponent", "generative_exponent"), exponents))
        if all(exponents):
            known["theory_slope"] = self.method.exponent(*exponents)
        known = {name: value for name, value in known.items() if value is not None}
        for s, seed_run in enumerate(self.session.runs):
            final = self.cells[-1].last[s] | self._slopes(s) | known
            finite = all(math.isfinite(cell.last[s]["overlap_mean"]) for cell in self.cells)
            self.session.gradient_evaluations[s] = final["gradient_evaluations"]
            seed_run.finish("finished" if finite else "diverged", **final)

    def _slopes(self, s: int) -> dict[str, float]:
        """Least-squares slopes of a seed's log hitting times against log d, where every dimension has one."""
        found = {}
        for name in ("hitting", "tuned_hitting"):
            times = [cell.last[s].get(f"{name}_time") for cell in self.cells]
            if len(times) > 1 and all(times):
                found[f"{name}_slope"] = float(np.polyfit(np.log([c.d for c in self.cells]), np.log(times), 1)[0])
        return found

    def _state(self) -> dict[str, Any]:
        if self.method.batch_size is not None:
            self._hand_back()
        return {"seen": self.seen, "gone": self.gone, "cells": [cell.state() for cell in self.cells]}

    def _restore(self, state: dict[str, Any]) -> None:
        self.seen, self.gone = state["seen"], list(state["gone"])
        for cell, kept in zip(self.cells, state["cells"]):
            cell.restore(kept)
