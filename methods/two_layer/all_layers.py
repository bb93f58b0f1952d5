"""Gradient descent on all parameters of a two-layer network at once, on all samples."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor

from bench.tasks.feature_learning.protocol import Batch
from bench.types import PositiveInt
from methods.two_layer.first_layer import FirstLayerMethod


class AllLayersGD(FirstLayerMethod):
    r"""Full-batch gradient descent on W, a and, where there are any, b together; squared loss, off the sphere.

    w_j <- w_j + gamma mean g_j x,  a_j <- a_j + gamma mean (y - f) s(h_j + b_j),  b_j <- b_j + gamma mean g_j;    g_j = a_j s'(h_j + b_j) (y - f)

    All three are minus the gradient of the squared loss / 2, divided by the factor before the network's sum: N times it where that is 1 / N.

    Args:
        lr, lr_power: gamma = lr / d^lr_power.
        fresh: new samples at each step.
        steps: of all samples at once.
    References: Lee et al., 2024, arXiv 2406.01581, Figure 1b, where all parameters are trained at once (its conclusion).
    """

    def __init__(self, *, fresh: bool, steps: PositiveInt, **shared: Any) -> None:
        super().__init__(False, True, None, fresh, steps, **shared)

    def move(self, batch: Batch) -> tuple[Tensor | None, Tensor]:
        """The step's coefficients, as FirstLayerMethod.move; the neurons are replaced by those after the step."""
        neurons, count = self.neurons, batch.h.shape[-1]
        hidden = neurons.value(batch.h)
        error = batch.y - neurons.scale * (neurons.a * hidden).sum(-2, keepdim=True)
        g = neurons.slope(batch.h) * (neurons.a * error)
        a = neurons.a + self.lr * (hidden @ error.mT) / count
        b = None if neurons.b is None else neurons.b + self.lr * g.mean(-1, keepdim=True)
        self.neurons = replace(neurons, a=a, b=b)
        return None, self.lr * g / count
