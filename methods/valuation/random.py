"""Random values: what any method must beat."""

from __future__ import annotations

import torch

from bench.seeding import generator
from bench.tasks.valuation.protocol import Problem
from methods.valuation.base import Valuer


class Random(Valuer):
    """Uniform values in [0, 1) that know nothing of the points."""

    def start(self, problem: Problem) -> int:
        return 1

    def advance(self, unit: int) -> None:
        """All values."""
        stream = generator(self.problem.seed, "noise")
        self.found["values"] = torch.rand(len(self.problem.y), generator=stream, dtype=torch.float64)
