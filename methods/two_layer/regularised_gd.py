r"""Feature learning by gradient descent with weight decay (Zhou and Ge, 2024, arXiv 2406.01766), and what it is compared with.

A two-layer network sum_j a_j relu(w_j.x) + alpha + beta.x learns a two-layer teacher on Gaussian inputs. alpha and beta take their best
values throughout, which removes mean and linear part of both networks (bench.tasks.teacher_recovery.relu_population). Three stages:

1. One gradient step on W from a network of output 0, with weight decay 1 / step so that the start is erased: rows fall into the
   teachers' span.
2. The second layer alone, by ridge regression; then rows and output weights are balanced, |a_j| = ||w_j||.
3. Gradient descent on both layers of E (f - f*)^2 / 2 + (lam_t / 2)(||a||^2 + ||W||^2).

Shapes: K settings of hyper-parameters, S seeds, m neurons, d dimension; all advance in one batch. Hyper-parameters are floats, or
tensors [K, 1].
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from bench.errors import UserError
from bench.numerics import solve
from bench.tasks.teacher_recovery.oracle import Oracle
from bench.types import NonNegativeFloat, PositiveFloat


class FeatureRegression:
    r"""Stages 1 and 2 alone: features from one gradient step, or random ones (the kernel method), and ridge regression on them.

    w_j <- G_j / ||G_j|| with G_j = -grad_{w_j} L at f = 0; c = (K + ridge I)^{-1} k*; a_j = sign(c_j) |c_j|^{1/2}, w_j <- |c_j|^{1/2} w_j

    K_jl = E s(w_j.x) s(w_l.x) and k*_j = E f* s(w_j.x).

    Args:
        features: gradient_step, or random (the rows as they start).
        ridge: of the second stage.
    Attributes:
        state: what the method keeps between steps beside the network, by name.
    References: Zhou and Ge, 2024; Damian, Lee and Soltanolkotabi, 2022, for one step.
    """

    trains = False  # has a third stage

    def __init__(self, *, features: Literal["gradient_step", "random"], ridge: PositiveFloat) -> None:
        self.features, self.ridge = features, ridge
        self.state: dict[str, Tensor] = {}

    def first(self, oracle: Oracle, signs: Tensor, rows: Tensor) -> Tensor:
        """Unit rows [S, m, d] after stage 1, from unit rows and signs [S, m] of the output weights."""
        if self.features == "random":
            return rows
        step = signs[..., None] * self._teacher_gradient(oracle, rows)
        return step / step.norm(dim=-1, keepdim=True)

    def second(self, oracle: Oracle, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Balanced a [K, S, m] and w [K, S, m, d] after stage 2.

        Raises:
            UserError: a ridge that rounding hides, so that neurons in excess of the features' rank get arbitrary weights.
        """
        gram, target = self._regression(oracle, rows)
        ridge = torch.as_tensor(self.ridge, dtype=rows.dtype, device=rows.device).reshape(-1, 1, 1, 1)
        eye = torch.eye(gram.shape[-1], dtype=rows.dtype, device=rows.device)
        least = torch.finfo(rows.dtype).eps * float(gram.diagonal(dim1=-2, dim2=-1).sum(-1).max())
        if ridge.min() < least:
            raise UserError(
                f"method.ridge = {float(ridge.min()):g}: lost to rounding beside the features; at least {least:.1e}"
            )
        c = solve(gram + ridge * eye, target[..., None])[..., 0]
        root = c.abs().sqrt()
        return c.sign() * root, rows * root[..., None]

    def _teacher_gradient(self, oracle: Oracle, rows: Tensor) -> Tensor:
        return oracle.teacher_gradient(rows)

    def _regression(self, oracle: Oracle, rows: Tensor) -> tuple[Tensor, Tensor]:
        return oracle.regression(rows)


class RegularisedGD(FeatureRegression):
    r"""All three stages; in the third, weight decay falls as the gap does.

    (a, W) <- (a, W) - lr (grad L(a, W) + lam_t (a, W)),    lam_t = max(lam 2^{-halvings t / T}, floor)

    Decay may only fall once the neurons between the teachers have vanished, which takes lr sum_t lam_t of a few units.

    Args:
        features, ridge: stages 1 and 2, as FeatureRegression.
        lr: step size.
        lam: first weight decay; 0 with a floor of 0: plain gradient descent.
        halvings: of lam over the T steps; 0: fixed.
        floor: least weight decay.
    References: Zhou and Ge, 2024, the local analysis. The paper's own steps and schedule were not readable; these are this suite's.
    """

    trains = True
    lam: Tensor
    lr: Tensor
    halvings: Tensor
    floor: Tensor

    def __init__(
        self,
        *,
        lr: PositiveFloat,
        lam: NonNegativeFloat,
        halvings: NonNegativeFloat,
        floor: NonNegativeFloat,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        self._values = {"lr": lr, "lam": lam, "halvings": halvings, "floor": floor}

    def begin(self, steps: int, device: torch.device) -> None:
        """Stage 3 will have T = `steps` steps."""
        self.steps = steps
        for name, value in self._values.items():
            setattr(self, name, torch.as_tensor(value, dtype=torch.float64, device=device))

    def decay(self, t: int) -> Tensor:
        """lam_t, one number or [K, 1]."""
        return torch.maximum(self.lam * torch.exp2(-self.halvings * (t / self.steps)), self.floor)

    def update(self, oracle: Oracle, t: int, a: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
        """Step t of stage 3."""
        shrink, lr = 1 - self.lr * self.decay(t), self.lr
        by_a, by_w = self._gradients(oracle, t, a, w)
        return a * _per_neuron(shrink) - _per_neuron(lr) * by_a, w * _per_row(shrink) - _per_row(lr) * by_w

    def _gradients(self, oracle: Oracle, t: int, a: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
        return oracle.gradients(a, w)


def _per_neuron(value: Tensor) -> Tensor:
    """A hyper-parameter, one number or [K, 1], to combine with [K, S, m]."""
    return value[..., None]


def _per_row(value: Tensor) -> Tensor:
    """A hyper-parameter, one number or [K, 1], to combine with [K, S, m, d]."""
    return value[..., None, None]
