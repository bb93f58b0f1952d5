r"""Influence functions of a softmax head: what would leaving a point out do to the reference loss?

The head minimises J(w) = (1/N) sum_i l(w; z_i) + (damping / 2) ||w||^2. To first order in 1/N, without z_i the reference loss would be higher by

    value_i = (1/N) grad L_ref(w)^T H^{-1} grad l(w; z_i),    H = grad^2 J(w).
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from bench.tasks.valuation.protocol import Problem
from bench.types import PositiveFloat, PositiveInt
from methods.valuation.base import ROWS, Scale, Valuer, one_hot

CONVERGED = 1e-10  # of the gradient's norm, relative to that at the start
RESIDUAL = 1e-10  # of conjugate gradients, relative to the right side


class Influence(Valuer):
    """The rise of the reference loss that leaving a point out would bring, to first order, of a softmax head on features of mean 0 and
    deviation 1 and a coordinate 1, which is penalised as the others are.

    A unit is a Newton step (nothing more to do where the minimum is reached), the last unit gives the values. Hessians are never formed:
    conjugate gradients need products with them alone. Double precision.

    Args:
        damping: weight of the penalty, and so the smallest eigenvalue of the Hessian.
        newton_steps: at most.
        cg_steps: at most for one system.
    References: Koh and Liang, 2017, "Understanding black-box predictions via influence functions", equation 2.
    """

    def __init__(self, *, damping: PositiveFloat, newton_steps: PositiveInt, cg_steps: PositiveInt) -> None:
        super().__init__()
        self.damping, self.newton_steps, self.cg_steps = damping, newton_steps, cg_steps

    def start(self, problem: Problem) -> int:
        self.scale = Scale(problem.x)
        size = problem.x.shape[1] + 1, problem.num_classes
        self.found["head"] = torch.zeros(*size, dtype=torch.float64, device=problem.x.device)
        self.found["first"] = self._objective(self.found["head"])[1].norm()
        return self.newton_steps + 1

    @torch.no_grad()
    def advance(self, unit: int) -> None:
        """A step of the head, or the values."""
        if unit == self.newton_steps:
            self.found["values"] = self._values()
        else:
            self._newton()

    def _parts(self, x: Tensor, y: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """(e [B, d + 1], labels [B]) of points, so many at a time."""
        for part, labels in zip(x.split(ROWS), y.split(ROWS)):
            yield self.scale.with_one(part), labels

    def _loss(self, head: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Mean cross-entropy [] of points and its gradient [d + 1, K]."""
        loss, gradient = head.new_zeros(()), torch.zeros_like(head)
        for e, labels in self._parts(x, y):
            logs = (e @ head).log_softmax(1)
            loss -= logs.gather(1, labels[:, None]).sum()
            gradient += e.T @ (logs.exp() - one_hot(labels, head.shape[1]))
        return loss / len(y), gradient / len(y)

    def _objective(self, head: Tensor) -> tuple[Tensor, Tensor]:
        """J [] and its gradient."""
        loss, gradient = self._loss(head, self.problem.x, self.problem.y)
        return loss + self.damping / 2 * head.square().sum(), gradient + self.damping * head

    def _hessian(self, v: Tensor) -> Tensor:
        """H v, of v [d + 1, K]."""
        product = torch.zeros_like(v)
        for e, _ in self._parts(self.problem.x, self.problem.y):
            p, u = (e @ self.found["head"]).softmax(1), e @ v
            product += e.T @ (p * (u - (p * u).sum(1, keepdim=True)))
        return product / len(self.problem.y) + self.damping * v

    def _solve(self, right: Tensor, residual: float) -> Tensor:
        """H^{-1} right by conjugate gradients."""
        x, r = torch.zeros_like(right), right.clone()
        direction, square = r.clone(), r.square().sum()
        enough = square * residual**2
        for _ in range(self.cg_steps):
            if square <= enough:
                break
            product = self._hessian(direction)
            size = square / (direction * product).sum()
            x += size * direction
            r -= size * product
            before, square = square, r.square().sum()
            direction = r + square / before * direction
        return x

    def _newton(self) -> None:
        head = self.found["head"]
        value, gradient = self._objective(head)
        norm = gradient.norm() / self.found["first"].clamp(min=1e-300)
        if norm <= CONVERGED:
            return
        step, size = self._solve(gradient, min(0.1, float(norm))), 1.0
        while size > 1e-8 and self._objective(head - size * step)[0] > value - 1e-4 * size * (gradient * step).sum():
            size /= 2
        if size > 1e-8:
            self.found["head"] = head - size * step

    def _values(self) -> Tensor:
        problem, head = self.problem, self.found["head"]
        _, reference = self._loss(head, problem.reference_x, problem.reference_y)
        solved = self._solve(reference, RESIDUAL)
        found = [
            ((e @ solved) * ((e @ head).softmax(1) - one_hot(labels, head.shape[1]))).sum(1)
            for e, labels in self._parts(problem.x, problem.y)
        ]
        return torch.cat(found) / len(problem.y)
