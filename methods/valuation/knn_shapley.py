r"""KNN-Shapley: exact Shapley values of the training points for a K-nearest-neighbours classifier.

The utility of a set S of training points is, averaged over reference points (x', y'), the share of the k votes that are right:

    v(S) = (1 / k) sum_{i <= min(k, |S|)} 1[y_{a_i(S)} = y'],    a_1(S), a_2(S), ... the points of S, nearest to x' first.

With all N points in that order, s_{a_N} = 1[y_{a_N} = y'] min(k, N) / (k N) and

    s_{a_i} = s_{a_{i+1}} + (1[y_{a_i} = y'] - 1[y_{a_{i+1}} = y']) / k * min(k, i) / i.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bench.tasks.valuation.protocol import Problem
from bench.types import PositiveInt
from methods.valuation.base import Valuer

ELEMENTS = 2**21  # distances held at a time
TRAINING = 2**22  # numbers of the training points that are held in double precision at a time
CENTRED = 1000  # about so many points, whose median is subtracted
DIRECT = 64  # coordinates up to which distances are sums of squared differences; beyond by products, which are faster and round more


class KNNShapley(Valuer):
    """Shapley values of a k-nearest-neighbours vote in feature space; they sum to the vote's mean share of right votes.

    A unit is a block of reference points, so that a block of distances is all that is ever held. Distances are of double precision, of
    features less a median, so that no offset rounds them; a median is a number of the data, so that whole numbers stay whole and ties ties.
    Points at equal distance are taken in the order in which they stand.

    Args:
        k: neighbours.
    References: Jia et al., 2019, "Efficient task-specific data valuation for nearest neighbor algorithms", Theorem 1.
    """

    def __init__(self, *, k: PositiveInt) -> None:
        super().__init__()
        self.k = k

    def start(self, problem: Problem) -> int:
        n = len(problem.y)
        self.block = max(1, ELEMENTS // n)
        i = torch.arange(1, n, dtype=torch.float64, device=problem.x.device)
        self._centre = problem.x[:: max(1, n // CENTRED)].double().median(0).values  # [d]
        self._weights = i.clamp(max=self.k) / (self.k * i)  # [N - 1]
        self.found["values"] = torch.zeros(n, dtype=torch.float64, device=problem.x.device)
        return -(-len(problem.reference_y) // self.block)

    def advance(self, unit: int) -> None:
        """Adds what a block of reference points says."""
        problem, part = self.problem, slice(unit * self.block, (unit + 1) * self.block)
        shapley = self._shapley(problem.reference_x[part], problem.reference_y[part])
        self.found["values"] += shapley.sum(0) / len(problem.reference_y)

    def _shapley(self, x: Tensor, y: Tensor) -> Tensor:
        """[B, N] of reference points x [B, d] and y [B]."""
        n = len(self.problem.y)
        order = self._distances(x).argsort(dim=1, stable=True)
        right = (self.problem.y[order] == y[:, None]).double()
        s = torch.empty_like(right)
        s[:, -1] = right[:, -1] * min(self.k, n) / (self.k * n)
        s[:, :-1] = (right[:, :-1] - right[:, 1:]) * self._weights
        s = s.flip(1).cumsum(1).flip(1)
        return torch.empty_like(s).scatter_(1, order, s)

    def _distances(self, x: Tensor) -> Tensor:
        """[B, N], float64, of reference points x [B, d] to all training points."""
        found = torch.empty(len(x), len(self.problem.x), dtype=torch.float64, device=x.device)
        mode = "donot_use_mm_for_euclid_dist" if x.shape[1] <= DIRECT else "use_mm_for_euclid_dist"
        x, rows = x.double() - self._centre, max(1, TRAINING // x.shape[1])
        for to, part in zip(found.split(rows, 1), self.problem.x.split(rows)):
            to.copy_(torch.cdist(x, part.double() - self._centre, compute_mode=mode))
        return found
