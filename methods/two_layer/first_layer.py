"""Bases of the methods that learn the first layer, see bench.tasks.feature_learning.protocol.

Shapes: G settings of hyper-parameters, C paths (independent runs, of several dimensions d), N neurons, B samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from bench.tasks.feature_learning.index_models import Target
from bench.tasks.feature_learning.protocol import Batch
from bench.tasks.feature_learning.two_layer import Neurons
from bench.types import NonNegativeFloat, PositiveFloat, PositiveInt


class FirstLayerMethod:
    """Base of the methods that move W and leave a and b alone.

    The step size of a neuron is gamma = lr / d^lr_power in mean-field units: minus the gradient by w_j of the squared loss / 2, times N / a
    where it has a, is sum_b g_jb x_b / B with g = `Neurons.signal`.

    Attributes:
        sphere: rows are projected to the unit sphere after each step, and gradients to its tangent space.
        squared: the squared loss, in which neurons interact; False: the correlation loss, -f y.
        batch_size: B; None: all n samples at once.
        fresh: new samples at every step; False: the same n samples throughout.
        steps: number of steps of all n samples; None where batches are smaller.
        evaluations: gradients of single data that a step takes, divided by B.
    """

    evaluations = 1

    def __init__(
        self,
        sphere: bool,
        squared: bool,
        batch_size: int | None = 1,
        fresh: bool = True,
        steps: int | None = None,
        own: Mapping[str, tuple[float | Tensor, float]] | None = None,
        *,
        lr: PositiveFloat,
        lr_power: NonNegativeFloat,
    ) -> None:
        """Hyper-parameters are floats, or tensors [K, 1]; `begin` makes an attribute of each, [G or 1, C, 1, 1].

        Args:
            own: the subclass's: (value, the power of d that divides it).
            lr, lr_power: gamma = lr / d^lr_power.

        Raises:
            ValueError: steps without a whole batch, or a whole batch without; the same samples in small batches.
        """
        if (batch_size is None) != (steps is not None):
            raise ValueError(
                f"batch_size = {batch_size}, steps = {steps}: steps are counted for batches of all samples, and only for them"
            )
        if not fresh and batch_size is not None:
            raise ValueError(f"fresh = False: needs batch_size = null, all samples at once, not {batch_size}")
        self.sphere, self.squared = sphere, squared
        self.batch_size, self.fresh, self.steps = batch_size, fresh, steps
        self._values = {"lr": (lr, lr_power), **(own or {})}

    def begin(self, neurons: Neurons, target: Target, dims: Tensor) -> None:
        """Before the first step, and again whenever paths have left: the paths' neurons and their d [C, 1, 1]."""
        self.neurons, self.target, self.dims = neurons, target, dims
        for name, (value, power) in self._values.items():
            value = torch.as_tensor(value, dtype=dims.dtype, device=dims.device)
            setattr(self, name, value.reshape(-1, 1, 1, 1) / dims**power)

    def move(self, batch: Batch) -> tuple[Tensor | None, Tensor]:
        """(alpha [G, C, N, 1], beta [G, C, N, B]); projection to the sphere, where `sphere`, is the caller's.

        alpha = None: that of one step, in the tangent space 1 - sum_b beta_b h_b on the sphere and 1 off it.
        """
        raise NotImplementedError

    def tangent(self, beta: Tensor, h: Tensor) -> Tensor | float:
        """alpha of the step (I - w w^T) sum_b beta_b x_b on the sphere; 1 off it."""
        return 1 - (beta * h).sum(-1, keepdim=True) if self.sphere else 1.0

    def exponent(self, information: int, generative: int) -> float | None:
        """The power of d in the samples that theory asks for, logarithms left out; None: no such theorem."""
        return None

    def signal(self, h: Tensor, y: Tensor) -> Tensor:
        """g / B of the method's loss, [G, C, N, B]."""
        g = self.neurons.signal(h, y, self.squared)
        return g if self.batch_size == 1 else g / h.shape[-1]


class GradientMethod(FirstLayerMethod):
    """Base of the methods that step along gradients of a loss, on or off the sphere.

    Args:
        geometry: sphere; free: no projection of gradients or rows.
        loss: correlation (-f y: a is small, f is nearly 0), squared (all neurons' steps change f).
        batch_size: B; null: all n samples at once.
    """

    def __init__(
        self,
        fresh: bool = True,
        steps: int | None = None,
        own: Mapping[str, tuple[float | Tensor, float]] | None = None,
        *,
        geometry: Literal["sphere", "free"],
        loss: Literal["correlation", "squared"],
        batch_size: PositiveInt | None,
        **shared: Any,
    ) -> None:
        super().__init__(geometry == "sphere", loss == "squared", batch_size, fresh, steps, own, **shared)
