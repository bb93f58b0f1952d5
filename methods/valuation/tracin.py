r"""TracIn on a softmax head: how much did steps on a point lower the reference loss?

    value_i = sum_c lr <grad l(w_c; z_i), grad L_ref(w_c)>,    L_ref the mean loss over the reference points,

over checkpoints w_c of one training run. With p the probabilities and e the features (a last coordinate 1 stands for the intercept) the
gradient of one point is (p - y) e^T, so that <grad l(z), grad l(z')> = <p - y, p' - y'> <e, e'>: one matrix of the reference set is enough.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bench.seeding import generator
from bench.tasks.valuation.protocol import Problem
from bench.types import PositiveFloat, PositiveInt
from methods.valuation.base import ROWS, Scale, Valuer, one_hot


class TracIn(Valuer):
    """The sum over checkpoints of a point's gradient times the reference set's, of a softmax head on features of mean 0 and deviation 1.

    A unit is an epoch of plain SGD from zero, after which there may be a checkpoint. Double precision.

    Args:
        epochs: of training.
        checkpoints: of these, evenly spaced; the last epoch is one.
        batch_size: of training; at most all points.
        lr: of SGD, the weight of every checkpoint.
    References: Pruthi et al., 2020, "Estimating training data influence by tracing gradient descent", equation 2 (TracInCP).
    """

    def __init__(
        self, *, epochs: PositiveInt, checkpoints: PositiveInt, batch_size: PositiveInt, lr: PositiveFloat
    ) -> None:
        super().__init__()
        self.epochs, self.checkpoints, self.batch_size, self.lr = epochs, checkpoints, batch_size, lr

    def start(self, problem: Problem) -> int:
        """
        Raises:
            ValueError: more checkpoints than epochs.
        """
        if self.checkpoints > self.epochs:
            raise ValueError(f"checkpoints = {self.checkpoints}: at most one for each of the {self.epochs} epochs")
        self.scale = Scale(problem.x)
        self.taken = {round((c + 1) * self.epochs / self.checkpoints) for c in range(self.checkpoints)}
        like = {"dtype": torch.float64, "device": problem.x.device}
        self.found["head"] = torch.zeros(problem.x.shape[1] + 1, problem.num_classes, **like)  # type: ignore[call-overload]
        self.found["values"] = torch.zeros(len(problem.y), **like)  # type: ignore[call-overload]
        return self.epochs

    @torch.no_grad()
    def advance(self, unit: int) -> None:
        """An epoch, and what its end says of the points if it is a checkpoint."""
        problem, n = self.problem, len(self.problem.y)
        order = torch.randperm(n, generator=generator(problem.seed, "order", unit)).to(problem.x.device)
        size = min(self.batch_size, n)
        for first in range(0, n - size + 1, size):
            chosen = order[first : first + size]
            e, error = self._errors(problem.x[chosen], problem.y[chosen])
            self.found["head"] -= self.lr / size * e.T @ error
        if unit + 1 in self.taken:
            e, error = self._errors(problem.reference_x, problem.reference_y)
            reference = e.T @ error / len(e)  # [d + 1, K]
            for first in range(0, n, ROWS):
                part = slice(first, first + ROWS)
                e, error = self._errors(problem.x[part], problem.y[part])
                self.found["values"][part] += self.lr * ((e @ reference) * error).sum(1)

    def _errors(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """e [B, d + 1] and p - y [B, K] of points x [B, d], y [B]."""
        e = self.scale.with_one(x)
        return e, (e @ self.found["head"]).softmax(1) - one_hot(y, self.problem.num_classes)
