"""The cells of a run, one a dimension, and the method that moves their networks: set up from the config, and read out at the end."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from bench.errors import UserError
from bench.run.build import build
from bench.run.grid import product
from bench.run.session import Session
from bench.tasks.feature_learning.cells import Cell
from bench.tasks.feature_learning.index_models import IndexModel
from bench.tasks.feature_learning.measures import Measures
from bench.tasks.feature_learning.protocol import Method
from bench.tasks.feature_learning.two_layer import Neurons, TwoLayer

BLOCK = 32  # fresh samples that are made, and gone through, at once


class Problem:
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
        self.method: Method = build("method", {**parts["method"], **self.values})
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
            seeds,
            [seed_run.log for seed_run in self.session.runs],
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
