"""Training on fresh samples in small batches: all dimensions side by side; one that has its samples, or has hit, leaves."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bench.tasks.feature_learning.cells import Cell, pad
from bench.tasks.feature_learning.one_pass import advance
from bench.tasks.feature_learning.problem import BLOCK, Problem

LOOK = 32  # blocks between looks at the clock and at what has been reached


class OnePass:
    """The cells that still learn, their rows in one tensor."""

    def __init__(self, problem: Problem) -> None:
        self.problem, self.session, self.method, self.device = problem, problem.session, problem.method, problem.device
        self.seen, self.gone = 0, []

    @torch.no_grad()
    def run(self, state: dict[str, Any] | None, stop: str) -> None:
        """All dimensions side by side; one that has its samples, or has hit, leaves."""
        if state is not None:
            self._restore(state)
        self.session.begin(self.problem.total, self.seen)
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
        self.active = [cell for cell in self.problem.cells if cell.d not in self.gone]
        if not self.active:
            return
        width = max(cell.d for cell in self.active)
        self.w = torch.cat([pad(cell.w, width) for cell in self.active], 1)
        self.theta = torch.cat([pad(cell.theta, width) for cell in self.active])
        self.horizons = self.problem.per_path([float(cell.reports[-1]) for cell in self.active])
        self.problem.start(self.active)

    def _samples(self, block: int) -> tuple[Tensor, Tensor]:
        """x [C, BLOCK, d] and y [C, BLOCK] of the active cells."""
        made = [cell.sample(block, BLOCK) for cell in self.active]
        width = max(cell.d for cell in self.active)
        return torch.cat([pad(x, width) for x, _ in made]), torch.cat([y for _, y in made])

    def _block(self, x: Tensor, y: Tensor) -> None:
        size, count = self.method.batch_size or 1, x.shape[1]
        at = self.seen + size * torch.arange(count // size, device=self.device)
        progress = at.to(self.w.dtype).reshape(-1, 1, 1, 1) / self.horizons
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

    def _state(self) -> dict[str, Any]:
        self._hand_back()
        return {"seen": self.seen, "gone": self.gone, "cells": [cell.state() for cell in self.problem.cells]}

    def _restore(self, state: dict[str, Any]) -> None:
        self.seen, self.gone = state["seen"], list(state["gone"])
        for cell, kept in zip(self.problem.cells, state["cells"]):
            cell.restore(kept)
