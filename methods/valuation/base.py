"""What valuation methods of this folder share: the problem they were given, and features on one scale."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bench.tasks.valuation.protocol import Problem

ROWS = 65536  # points at a time where all of them are gone through


class Valuer:
    """A method whose state is named tensors, `found`: they are all that a checkpoint holds."""

    notice: str | None = None

    def __init__(self) -> None:
        self.found: dict[str, Tensor] = {}

    def begin(self, problem: Problem) -> int:
        """Keeps the problem; the number of units."""
        self.problem, self.found = problem, {}
        return self.start(problem)

    def start(self, problem: Problem) -> int:
        """Of a method: fills `found` for the first unit; the number of units."""
        raise NotImplementedError

    def values(self) -> Tensor:
        """[N]."""
        return self.found["values"]

    def state_dict(self) -> dict[str, Any]:
        """The tensors."""
        return dict(self.found)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The tensors."""
        self.found = dict(state)


class Scale:
    """Coordinates less their mean over the training points, over their standard deviation (1 where they do not vary).

    Reference points are scaled by the training points' numbers.
    """

    def __init__(self, x: Tensor) -> None:
        self._mean = x.mean(0, dtype=torch.float64)
        square = sum(
            ((part.double() - self._mean).square().sum(0) for part in x.split(ROWS)), torch.zeros_like(self._mean)
        )
        std = (square / len(x)).sqrt()
        self._std = torch.where(std > 1e-12 * (1 + self._mean.abs()), std, torch.ones_like(std))

    def __call__(self, x: Tensor) -> Tensor:
        """[..., d], float64."""
        return (x.double() - self._mean) / self._std

    def with_one(self, x: Tensor) -> Tensor:
        """[B, d + 1]: scaled, and a last coordinate 1 for the intercept."""
        return torch.cat([self(x), x.new_ones(len(x), 1, dtype=torch.float64)], 1)


def one_hot(y: Tensor, num_classes: int) -> Tensor:
    """[B, K], float64, of labels [B]."""
    return torch.nn.functional.one_hot(y, num_classes).double()
