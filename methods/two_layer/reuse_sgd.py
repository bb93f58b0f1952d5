"""SGD that uses each sample twice (Lee, Oko, Suzuki and Wu, 2024, arXiv 2406.01581), its one-map form, and extragradient descent."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bench.tasks.feature_learning.protocol import Batch
from bench.types import PositiveInt, Probability
from methods.two_layer.feature_sgd import FeatureSGD
from methods.two_layer.first_layer import GradientMethod


class ReuseSGD(GradientMethod):
    r"""Two gradient steps on the same samples, then interpolation and projection: Algorithm 1, the first phase.

    w' = w + eta (I - w w^T) grad,  w'' = w' + eta (I - w' w'^T) grad',  w <- w'' - xi (w'' - w), normalised

    grad and grad' are those of the same samples at w and at w'. The first step moves the preactivations by O(1), so the second gradient
    sees nonlinear functions of the label; xi near 1 keeps the net move small.

    Args:
        lr, lr_power, geometry, loss, batch_size: as GradientMethod's, with eta for gamma; lr_power is 1 for B = 1.
        interpolation: xi; the net move is 1 - xi of both steps.
        anneal_from: part of the run from which on 1 - xi falls linearly to 0 (strong recovery); 1: never.
    References: Lee et al., 2024, Algorithm 1; constants and the schedule of xi are choices made here.
    """

    evaluations = 2

    def __init__(
        self, *, interpolation: Probability, anneal_from: Probability, batch_size: PositiveInt, **shared: Any
    ) -> None:
        super().__init__(own={"interpolation": (interpolation, 0.0)}, batch_size=batch_size, **shared)
        self.anneal_from = anneal_from

    def move(self, batch: Batch) -> tuple[Tensor | None, Tensor]:
        """The step's coefficients, as FirstLayerMethod.move."""
        beta = self.lr * self.signal(batch.h, batch.y)
        alpha = self.tangent(beta, batch.h)
        moved = alpha * batch.h + batch.inner(beta)
        second = self.lr * self.signal(moved, batch.y)
        back = self.tangent(second, moved)
        kept = 1 - self.interpolation
        if self.anneal_from < 1:
            kept = kept * ((1 - batch.progress) / (1 - self.anneal_from)).clamp(max=1)
        return 1 + kept * (alpha * back - 1), kept * (back * beta + second)

    def exponent(self, information: int, generative: int) -> float:
        return max(generative - 1.0, 1.0)


class LookaheadSGD(FeatureSGD):
    r"""A gradient step with the gradient taken where an inner step on the same sample leads: one map of (y, <w, x>).

    w <- w + gamma psi (I - w w^T) x, normalised;    psi = g(h + eta r g(h))  [+ g(h)],    h = <w, x>

    r = ||x||^2 - h^2 on the sphere, ||x||^2 off it: the inner step's change of h. With the first gradient kept it is the limit xi -> 1 of
    `ReuseSGD` with gamma = (1 - xi) eta. Without, it is extragradient descent for eta > 0 and sharpness-aware minimisation for eta < 0.
    Samples of a batch take their inner steps each on its own.

    Args:
        lr, lr_power, geometry, loss, batch_size, fresh, steps: as FeatureSGD's, which it is for inner_lr = 0 without keep_first.
        inner_lr: eta = inner_lr / d; negative: SAM, uphill.
        keep_first: add g(h).
    References:
        Arnaboldi et al., 2024, arXiv 2405.15459, and their code: EgD and SAM off the sphere, squared loss, no biases.
        Tsiolis, Mousavi-Hosseini and Erdogdu, 2025, arXiv 2510.21020, for batch reuse as one map.
    """

    evaluations = 2

    def __init__(self, *, inner_lr: float, keep_first: bool, **shared: Any) -> None:
        super().__init__({"inner_lr": (inner_lr, 1.0)}, **shared)
        self.keep_first = keep_first

    def move(self, batch: Batch) -> tuple[Tensor | None, Tensor]:
        """The step's coefficients, as FirstLayerMethod.move."""
        h = batch.h
        g = self.neurons.signal(h, batch.y, self.squared)
        r = batch.r - h * h if self.sphere else batch.r
        psi = self.neurons.signal(torch.addcmul(h, self.inner_lr * r, g), batch.y, self.squared)
        if self.keep_first:
            psi = psi + g
        return None, (self.lr if self.batch_size == 1 else self.lr / h.shape[-1]) * psi

    def exponent(self, information: int, generative: int) -> float | None:
        return max(generative - 1.0, 1.0) if self.fresh else None
