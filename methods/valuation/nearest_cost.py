r"""Nearest cost: how cheaply can a point be moved onto some reference point? Transport's cost without any transport.

    value_i = - min_j D_ij,    D_ij = (w_x |e_i - e'_j|^2 + w_y W[y_i, y'_j]) / 2

with the label distances W of LAVA and SAVA (methods/valuation/costs.py).
"""

from __future__ import annotations

import torch

from bench.tasks.valuation.protocol import Problem
from bench.types import NonNegativeFloat, PositiveInt
from methods.valuation.base import ROWS, Valuer
from methods.valuation.costs import cost_blocks, filled, label_distances


class NearestCost(Valuer):
    """Minus the lowest cost to any reference point; a unit is a block of training points.

    Args:
        feature_weight, label_weight: w_x and w_y.
        label_points: points of a class and side that label distances look at, drawn at random where there are more; None: all.
    """

    def __init__(
        self, *, feature_weight: NonNegativeFloat, label_weight: NonNegativeFloat, label_points: PositiveInt | None
    ) -> None:
        super().__init__()
        self.weights, self.label_points = (feature_weight, label_weight), label_points
        if not feature_weight and not label_weight:
            raise ValueError("feature_weight = 0, label_weight = 0: every cost would be 0")

    def start(self, problem: Problem) -> int:
        clouds = (problem.x, problem.y, problem.reference_x, problem.reference_y)
        drawn = {"limit": self.label_points, "seed": problem.seed}
        self._distances = filled(label_distances(*clouds, problem.num_classes, **drawn))  # type: ignore[arg-type]
        self.found["values"] = torch.zeros(len(problem.y), dtype=torch.float64, device=problem.x.device)
        return -(-len(problem.y) // ROWS)

    @torch.no_grad()
    def advance(self, unit: int) -> None:
        """The values of a block."""
        problem, part = self.problem, slice(unit * ROWS, (unit + 1) * ROWS)
        x, y, mine = problem.x[part], problem.y[part], self.found["values"][part]
        for rows, costs in cost_blocks(x, y, problem.reference_x, problem.reference_y, self._distances, *self.weights):
            mine[rows] = -costs.amin(1).double()
