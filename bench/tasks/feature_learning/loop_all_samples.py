"""All n samples at each step, the same ones or fresh ones: a run for each dimension d and number of samples n."""

from __future__ import annotations

import itertools
from typing import Any

import torch

from bench.tasks.feature_learning.all_samples import step
from bench.tasks.feature_learning.cells import Cell
from bench.tasks.feature_learning.loop_setup import Experiment


class AllSamples:
    """Runs of the method's number of steps, the most expensive first.

    Args:
        iterations: steps after which rows are logged too.
    """

    def __init__(self, experiment: Experiment, iterations: list[int]) -> None:
        self.experiment, self.session, self.method = experiment, experiment.session, experiment.method
        self.steps, self.rows_at = self.method.steps or 1, set(iterations)
        self.done = 0  # steps of the run under way

    @torch.no_grad()
    def run(self, state: dict[str, Any] | None) -> None:
        """All of them; progress counts n d a step."""
        todo = [(cell, n) for cell in self.experiment.cells for n in cell.reports]
        todo.sort(key=lambda pair: -pair[1] * pair[0].d)
        ends = [0, *itertools.accumulate(n * cell.d * self.steps for cell, n in todo)]
        first = 0
        if state is not None:
            first, self.done = state["place"], state["done"]
            self.experiment.restore(state["cells"])
        self.session.begin(ends[-1], ends[first] + self.done * todo[first][1] * todo[first][0].d)
        for place, (cell, n) in list(enumerate(todo))[first:]:
            self._one_sample(place, ends[place], cell, n)
            self.done = 0
            if n == cell.reports[-1]:
                self.experiment.note(ends[place + 1], cell)

    def _one_sample(self, place: int, before: int, cell: Cell, n: int) -> None:
        """The run of one d and n; `before`: what progress had counted when it began."""
        paths, fresh, steps = len(cell.theta), self.method.fresh, self.steps
        if self.done == 0:
            cell.restart()
        self.experiment.start([cell])
        advance = self.session.device.compiled(step)
        x = y = r = None
        for t in range(self.done, steps):
            if x is None or fresh:
                x, y = cell.sample(t + 1 if fresh else 1, n)
                r = x.square().sum(-1)[:, None]
            with self.session.device.autocast():
                cell.w = advance(self.method, cell.w, x, y[:, None], r, r.new_full((paths, 1, 1), t / steps))  # type: ignore[index, union-attr]
            cell.neurons = self.method.neurons
            self.done = t + 1
            if self.done in self.rows_at and self.done < steps:
                self.experiment.log(self.done, cell.report(n, self.done, *cell.overlaps()))
            self.session.progress.step(before + self.done * n * cell.d)
            if self.session.due() and self.done < steps:
                self.session.save({"place": place, "done": self.done, "cells": self.experiment.state()})
        self.session.examples += n * steps * cell.w.shape[0] * paths
        self.experiment.log(steps, cell.end(n, steps, (x, y)))  # type: ignore[arg-type]
