"""SGD that uses each sample twice (Lee, Oko, Suzuki and Wu, 2024, arXiv 2406.01581), its one-map form, and extragradient descent."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from bench.tasks.feature_learning.protocol import Batch
from bench.types import NonNegativeFloat, PositiveFloat, PositiveInt, Probability
from methods.two_layer.feature_sgd import FeatureSGD
from methods.two_layer.first_layer import GradientMethod


class ReuseSGD(GradientMethod):
    r"""Two gradient steps on the same samples, then interpolation and normalisation: Algorithm 1, the first phase.

    w' = w + eta P grad,  w'' = w' + eta P grad',  w <- w'' - xi (w'' - w), normalised;    P = I - w w^T for both steps

    grad and grad' are those of the same samples at w and at w', which is not normalised. The first step moves the preactivations, so the
    second gradient sees nonlinear functions of the label; xi near 1 keeps the net move small. This is weak recovery. Strong recovery is
    xi = 0 with a smaller eta and no second step: online SGD. (The theorem prints xi = 1, which would undo every step; its proof has 0.)
    The algorithm has no biases (model.bias = none); its second phase is the task's. A step counts as two gradients in strong recovery too,
    which does not need the second.

    Args:
        lr, lr_power, geometry, loss, batch_size: as GradientMethod's, with eta for gamma; lr_power is 1 for B = 1.
        interpolation: xi of weak recovery; the net move is 1 - xi of both steps.
        projection: frozen: P at w for both steps, as printed; renewed: the second step has P at w'.
        weak_until: part of the run after which weak recovery ends and strong recovery begins; 1: never.
        strong_lr: eta of strong recovery, divided by d^lr_power.
    References: Lee et al., 2024, Algorithm 1; Theorem 1 and Lemma 16 (weak), Theorem 2 and Lemma 19 (strong). Constants are choices made here.
    """

    evaluations = 2

    def __init__(
        self,
        *,
        interpolation: Probability,
        projection: Literal["frozen", "renewed"],
        weak_until: Probability,
        strong_lr: PositiveFloat,
        lr_power: NonNegativeFloat,
        batch_size: PositiveInt,
        **shared: Any,
    ) -> None:
        own = {"interpolation": (interpolation, 0.0), "strong_lr": (strong_lr, lr_power)}
        super().__init__(own=own, lr_power=lr_power, batch_size=batch_size, **shared)
        self.renewed, self.weak_until = projection == "renewed", weak_until

    def move(self, batch: Batch) -> tuple[Tensor | None, Tensor]:
        """The step's coefficients, as FirstLayerMethod.move."""
        g = self.signal(batch.h, batch.y)
        beta = self.lr * g
        alpha = self.tangent(beta, batch.h)
        moved = alpha * batch.h + batch.inner(beta)
        second, kept = self.lr * self.signal(moved, batch.y), 1 - self.interpolation
        strong = batch.progress >= self.weak_until
        if not self.renewed:
            return None, torch.where(strong, self.strong_lr * g, kept * (beta + second))
        back = self.tangent(second, moved)
        beta = torch.where(strong, self.strong_lr * g, kept * (back * beta + second))
        return torch.where(strong, self.tangent(beta, batch.h), 1 + kept * (alpha * back - 1)), beta

    def exponent(self, information: int, generative: int) -> float:
        return max(generative - 1.0, 1.0)


class LookaheadSGD(FeatureSGD):
    r"""A gradient step with the gradient taken where an inner step on the same sample leads: one map of (y, <w, x>).

    w <- w + gamma psi (I - w w^T) x, normalised;    psi = g(h + eta r g(h))  [+ g(h)],    h = <w, x>

    r = ||x||^2 - h^2 on the sphere, ||x||^2 off it: the inner step's change of h. With the first gradient kept and B = 1 it is the weak
    recovery of `ReuseSGD` exactly, gamma = (1 - xi) eta. Without, it is extragradient descent for eta > 0 and sharpness-aware minimisation
    for eta < 0. Samples of a batch take their inner steps each on its own.

    Args:
        lr, lr_power, geometry, loss, batch_size, fresh, steps: as FeatureSGD's, which it is for inner_lr = 0 without keep_first.
        inner_lr: eta = inner_lr / d; negative: SAM, uphill.
        keep_first: add g(h).
    References:
        Lee et al., 2024, appendix B.3: batch reuse as one map (its eta xi is eta (1 - xi) by its own update).
        Arnaboldi et al., 2024, arXiv 2405.15459, and their code: EgD and SAM off the sphere, squared loss, no biases.
        Tsiolis, Mousavi-Hosseini and Erdogdu, 2025, arXiv 2510.21020, the same map and its inner step's size.
    """

    evaluations = 2

    def __init__(self, *, inner_lr: float, keep_first: bool, **shared: Any) -> None:
        super().__init__({"inner_lr": (inner_lr, 1.0)}, **shared)
        self.keep_first, self.reuses = keep_first, bool(torch.as_tensor(inner_lr).any())

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
        return super().exponent(generative if self.reuses else information, generative)
