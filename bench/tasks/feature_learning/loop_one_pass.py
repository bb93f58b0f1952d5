"""Fresh samples in small batches, each used once: all dimensions side by side, a block of samples at a time.

Shapes: G settings, P = seeds x replicates paths of a dimension, C paths of all dimensions side by side, N neurons, k directions.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from bench.errors import UserError
from bench.tasks.feature_learning.cells import Cell, pad
from bench.tasks.feature_learning.loop_setup import Experiment
from bench.tasks.feature_learning.one_pass import advance

BLOCK = 32  # fresh samples that are made, and gone through, at once
LOOK = 32  # blocks between looks at the clock and at what has been reached


class OnePass:
    """The rows of the cells that still learn, in one tensor.

    Args:
        stop: leave a dimension when its hitting times stand: never, by all settings or by any.
    """

    def __init__(self, experiment: Experiment, stop: Literal["never", "all", "any"]) -> None:
        self.experiment, self.session, self.method = experiment, experiment.session, experiment.method
        self.size, self.stop = self.method.batch_size or 1, stop
        if BLOCK % self.size:
            raise UserError(f"method.batch_size = {self.size}: a divisor of {BLOCK}, or null for all samples at once")
        self.seen, self.gone = 0, []  # type: ignore[var-annotated]  # samples so far; dimensions that are done

    @torch.no_grad()
    def run(self, state: dict[str, Any] | None) -> None:
        """To the end of every dimension; one that has its samples, or has hit, leaves."""
        if state is not None:
            self.seen, self.gone = state["seen"], list(state["gone"])
            self.experiment.restore(state["cells"])
        self.session.begin(max(cell.reports[-1] for cell in self.experiment.cells), self.seen)
        self._gather()
        while self.active:
            chunk, offset = divmod(self.seen, BLOCK)
            end = min([BLOCK, *(cell.reports[-1] - chunk * BLOCK for cell in self.active)])
            x, y = self._samples(chunk + 1)
            self._block(x[:, offset:end], y[:, offset:end])
            look = self.seen % (LOOK * BLOCK) == 0
            done = [c for c in self.active if self.seen == c.reports[-1] or (look and c.hitting.decided(self.stop))]
            for cell in done:
                self._leave(cell)
            if look:
                self.session.progress.step(self.seen)
            if self.session.due() and self.active:
                self.session.save(self._state())

    def _gather(self) -> None:
        """The active cells' rows in one tensor, padded with zeros to the largest d."""
        self.active = [cell for cell in self.experiment.cells if cell.d not in self.gone]
        if not self.active:
            return
        width = max(cell.d for cell in self.active)
        self.w = torch.cat([pad(cell.w, width) for cell in self.active], 1)
        self.theta = torch.cat([pad(cell.theta, width) for cell in self.active])
        self.horizons = self.experiment.per_path([float(cell.reports[-1]) for cell in self.active])
        self.experiment.start(self.active)

    def _samples(self, block: int) -> tuple[Tensor, Tensor]:
        """x [C, BLOCK, d] and y [C, BLOCK] of the active cells."""
        made = [cell.sample(block, BLOCK) for cell in self.active]
        width = max(cell.d for cell in self.active)
        return torch.cat([pad(x, width) for x, _ in made]), torch.cat([y for _, y in made])

    def _block(self, x: Tensor, y: Tensor) -> None:
        size, count = self.size, x.shape[1]
        at = self.seen + size * torch.arange(count // size, device=x.device)
        progress = at.to(x.dtype).reshape(-1, 1, 1, 1) / self.horizons
        self.w, trace = advance(self.method, self.w, self.theta, x, y, progress)
        before, self.seen = self.seen, self.seen + count
        cosines, raw, paths = trace.cosines(), trace.overlaps, len(self.active[0].theta)
        for i, cell in enumerate(self.active):
            own = slice(i * paths, (i + 1) * paths)
            cell.hitting.watch(cosines[:, :, own], before, size)
            for n in cell.reports[:-1]:
                if before < n <= self.seen:
                    s = (n - before) // size - 1
                    self.experiment.log(n // size, cell.report(n, n // size, cosines[s, :, own], raw[s, :, own]))
        self.session.examples += count * self.w.shape[0] * self.w.shape[1]

    def _leave(self, cell: Cell) -> None:
        self._hand_back()
        iterations = self.seen // self.size
        self.experiment.log(iterations, cell.end(self.seen, iterations))
        self.gone.append(cell.d)
        self.experiment.note(self.seen, cell)
        self._gather()

    def _hand_back(self) -> None:
        paths = len(self.active[0].theta)
        for i, cell in enumerate(self.active):
            cell.w = self.w[:, i * paths : (i + 1) * paths, :, : cell.d]

    def _state(self) -> dict[str, Any]:
        self._hand_back()
        return {"seen": self.seen, "gone": self.gone, "cells": self.experiment.state()}
