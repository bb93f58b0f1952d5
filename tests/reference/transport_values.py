"""SAVA, LAVA and batch-wise LAVA once more, in numpy by their formulas, with POT's plan between batches; double precision."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import ot
from scipy.special import logsumexp

EPSILON = 0.1


def eps_list(diameter: float) -> list[float]:
    """diameter^2, its quarters down to EPSILON, EPSILON."""
    found = [diameter**2]
    eps = diameter**2
    while eps > EPSILON:
        found.append(eps)
        eps /= 4
    return [*found, EPSILON]


def potentials(cost: np.ndarray, eps: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """f [n] and g [m] after averaged updates along the list and one full step."""
    n, m = cost.shape

    def step(f: np.ndarray, g: np.ndarray, e: float) -> tuple[np.ndarray, np.ndarray]:
        return (
            -e * logsumexp((g[None, :] - cost) / e - math.log(m), axis=1),
            -e * logsumexp((f[:, None] - cost) / e - math.log(n), axis=0),
        )

    f, g = step(np.zeros(n), np.zeros(m), eps[0])
    for e in eps:
        f_new, g_new = step(f, g, e)
        f, g = (f + f_new) / 2, (g + g_new) / 2
    return step(f, g, eps[-1])


def squares(x: np.ndarray, other: np.ndarray) -> np.ndarray:
    """|x_i - x'_j|^2 / 2."""
    return ((x[:, None] - other[None]) ** 2).sum(-1) / 2


class Reference:
    """Points [N, d], [N], [M, d], [M] as numpy arrays."""

    def __init__(self, x: Any, y: Any, other_x: Any, other_y: Any, classes: int) -> None:
        self.x, self.y, self.other_x, self.other_y = (np.asarray(a) for a in (x, y, other_x, other_y))
        both = np.concatenate([self.x, self.other_x])
        self.eps = eps_list(float(np.linalg.norm(np.ptp(both, axis=0))))
        self.w = np.full((classes, classes), np.nan)
        for c in range(classes):
            for k in range(classes):
                clouds = self.x[self.y == c], self.other_x[self.other_y == k]
                if min(map(len, clouds)):
                    f, g = potentials(squares(*clouds), self.eps)
                    self.w[c, k] = f.mean() + g.mean()

    def pair(self, rows: Any, columns: Any, label_weight: float = 1.0) -> tuple[np.ndarray, float]:
        """Calibrated gradients of one batch against another, and the cost."""
        cost = squares(self.x[rows], self.other_x[columns])
        cost = cost + label_weight * self.w[np.ix_(self.y[rows], self.other_y[columns])] / 2
        f, g = potentials(cost, self.eps)
        rest = np.array([np.delete(f, i).mean() for i in range(len(f))])
        return f - rest, float(f.mean() + g.mean())

    def sava(self, stretches: list[Any], references: list[Any], outer_epsilon: float = 1e-2) -> np.ndarray:
        """Minus the gradients, weighed by POT's plan."""
        found = [[self.pair(rows, columns) for columns in references] for rows in stretches]
        costs = np.array([[cost for _, cost in row] for row in found])
        ends = [np.full(k, 1 / k) for k in costs.shape]
        plan = ot.sinkhorn(*ends, costs / costs.max(), outer_epsilon, method="sinkhorn_log", stopThr=1e-12)
        values = np.empty(len(self.x))
        for rows, row, weights in zip(stretches, found, plan * len(stretches)):
            values[rows] = -sum(weight * gradient for weight, (gradient, _) in zip(weights, row))
        return values

    def batchwise(self, stretches: list[Any], references: list[Any]) -> np.ndarray:
        """Minus the squashed votes."""
        values = np.empty(len(self.x))
        for rows in stretches:
            votes = []
            for columns in references:
                q = (np.tanh(self.pair(rows, columns)[0]) + 1) / 2
                votes.append(q / q.sum())
            values[rows] = -np.mean(votes, axis=0)
        return values
