"""LAVA (Just et al., 2023, arXiv 2305.00054): all training points against all reference points in one transport problem."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bench.tasks.valuation.protocol import Problem
from methods.valuation.arrays import values_of
from methods.valuation.transport import Transport


class LAVA(Transport):
    """Minus the calibrated gradient of the transport cost between the whole sets, with the keys of `Transport`.

    Args:
        stream: compute costs again in each update, a block at a time: memory of order (N + M) d and not N M; with many
            features it takes longer.
    """

    def __init__(self, *, stream: bool = False, **shared: Any) -> None:
        super().__init__(**shared)
        self.hold = not stream

    def split(self, problem: Problem) -> tuple[list[Tensor], list[Tensor]]:
        self.found: dict[str, Tensor] = {}
        device = problem.x.device
        return [torch.arange(len(problem.x), device=device)], [torch.arange(len(problem.reference_x), device=device)]

    def keep(self, unit: int, where: Tensor, gradients: Tensor, transport: Tensor) -> None:
        self.found = {"gradient": gradients[0]}

    def values(self) -> Tensor:
        """[N], float64: high is worth having."""
        return -self.found["gradient"]


def lava_values(features: Any, labels: Any, reference_features: Any, reference_labels: Any, **keys: Any) -> Tensor:
    """A value for each row of your own features [N, d]: high is worth having. Returns [N], float64.

    Args:
        features, labels, reference_features, reference_labels: [N, d], [N], [M, d], [M]; numpy arrays or tensors; labels are integers or words.
        keys: of `LAVA`, and `seed` of the draw of `label_points`.

    Raises:
        ValueError: one line about an array or a key that does not fit, or values that are not finite.
    """
    return values_of(LAVA, "lava_values", (features, labels, reference_features, reference_labels), keys)
