"""Training on all samples at once: a run for each dimension d and number of samples n."""

from __future__ import annotations

import itertools
from typing import Any

import torch

from bench.tasks.feature_learning.all_samples import step
from bench.tasks.feature_learning.cells import Cell
from bench.tasks.feature_learning.problem import Problem


class AllSamples:
    """The runs, one after another."""

    def __init__(self, problem: Problem) -> None:
        self.problem, self.session, self.method = problem, problem.session, problem.method
        self.seen = 0

    @torch.no_grad()
    def run(self, state: dict[str, Any] | None) -> None:
        """A run of `method.steps` steps for each d and n, the most expensive first; progress counts n d a step."""
        steps = self.method.steps or 1
        todo = [(cell, n) for cell in self.problem.cells for n in cell.reports]
        todo.sort(key=lambda pair: -pair[1] * pair[0].d)
        ends = [0, *itertools.accumulate(n * cell.d * steps for cell, n in todo)]
        first, self.seen = 0, 0
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
        paths, rows = len(cell.theta), set(self.problem.iterations)
        if self.seen == 0:
            cell.restart()
        self.problem.start([cell])
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
        self.session.examples += n * steps * self.problem.settings * paths
        cell.end(n, steps, (x, y))

    def _state(self) -> dict[str, Any]:
        return {"seen": self.seen, "cells": [cell.state() for cell in self.problem.cells]}

    def _restore(self, state: dict[str, Any]) -> None:
        self.seen = state["seen"]
        for cell, kept in zip(self.problem.cells, state["cells"]):
            cell.restore(kept)
