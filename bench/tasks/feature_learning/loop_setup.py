"""What both ways of running a feature-learning experiment start from: the method, the cells with their networks, the log of their rows.

Shapes: P = seeds x replicates paths of a dimension, C paths of all dimensions side by side.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from bench.errors import UserError
from bench.run.build import build
from bench.run.grid import product
from bench.run.session import Session
from bench.tasks.feature_learning.cells import Cell, Measures, Row
from bench.tasks.feature_learning.index_models import IndexModel
from bench.tasks.feature_learning.protocol import Method
from bench.tasks.feature_learning.two_layer import Neurons, TwoLayer

MOST_DIGITS = 18  # of a number of samples


class Experiment:
    """The cells, one a dimension in rising order, and the method that moves their networks."""

    cells: list[Cell]

    def __init__(
        self, session: Session, replicates: int, grid: dict[str, list[float]], precision: str, measures: Measures
    ) -> None:
        self.session, self.replicates, self.measures = session, replicates, measures
        parts, self.device = session.job.parts, session.device.device
        self.dtype = torch.float64 if precision == "double" else torch.float32
        values = product(grid, parts["method"], self.device)
        count = len(next(iter(values.values()), [0]))
        self.settings = [{name: float(value[g]) for name, value in values.items()} for g in range(count)]
        self.method: Method = build("method", {**parts["method"], **values})
        self.model: IndexModel = build("dataset", parts["dataset"]).to(self.device)
        self.network: TwoLayer = build("model", parts["model"])

    def draw(self, samples: list[float], power: float, logarithm: bool) -> None:
        """The cells with their networks at the start; rows are logged at n = samples d^power (ln d), whole batches of them."""
        size, self.cells = self.method.batch_size or 1, []
        for d in sorted(self.model.dims):
            if (digits := math.log10(max(samples)) + power * math.log10(d)) > MOST_DIGITS:
                raise UserError(f"task.samples, task.samples_power: 10^{digits:.3g} samples for d = {d}; ask for fewer")
            scale = d**power * (math.log(d) if logarithm else 1.0)
            reports = sorted({max(size, round(each * scale / size) * size) for each in samples})
            self.cells.append(self._cell(d, reports))

    def _cell(self, d: int, reports: list[int]) -> Cell:
        drawn = self.model, self.network, self.method, self.session.seeds, self.replicates
        try:
            return Cell(d, reports, *drawn, self.settings, self.measures, self.dtype)
        except ValueError as error:
            raise UserError(f"model.{error}") from error

    def start(self, cells: list[Cell]) -> None:
        """Tell the method of the networks that it moves, those of so many dimensions side by side."""
        dims = self.per_path([float(cell.d) for cell in cells])
        try:
            self.method.begin(Neurons.joined([cell.neurons for cell in cells]), self.model.target, dims)
        except ValueError as error:
            raise UserError(f"method '{self.session.job.names['method']}': {error}") from error

    def per_path(self, values: list[float]) -> Tensor:
        """[C, 1, 1] of a number for each of some dimensions."""
        paths = len(self.session.seeds) * self.replicates
        return torch.tensor(values, dtype=self.dtype, device=self.device).repeat_interleave(paths)[:, None, None]

    def log(self, step: int, rows: list[list[Row]]) -> None:
        """Rows of each seed's curve."""
        for seed_run, own in zip(self.session.runs, rows):
            for row in own:
                seed_run.log(step, **row)

    def note(self, step: int, cell: Cell) -> None:
        """Tell the console of a dimension's last rows, means over seeds."""
        overlap = sum(row["overlap_mean"] for row in cell.last) / len(cell.last)
        self.session.progress.note(step, d=cell.d, overlap=overlap)

    def state(self) -> list[dict[str, Any]]:
        """What a checkpoint holds of the cells."""
        return [cell.state() for cell in self.cells]

    def restore(self, state: list[dict[str, Any]]) -> None:
        """The inverse of `state`."""
        for cell, kept in zip(self.cells, state):
            cell.restore(kept)
