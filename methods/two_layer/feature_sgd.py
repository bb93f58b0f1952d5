"""Learning the first layer with each sample used once: SGD, and SGD on a smoothed loss. Also gradient descent on all samples."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from bench.tasks.feature_learning.index_models import Target
from bench.tasks.feature_learning.protocol import Batch
from bench.tasks.feature_learning.two_layer import Neurons
from bench.types import NonNegativeFloat, PositiveInt, Probability
from methods.two_layer.first_layer import FirstLayerMethod, GradientMethod


class FeatureSGD(GradientMethod):
    r"""Gradient steps on the rows of the first layer.

    w_j <- w_j + gamma (1/B) sum_b g_j(x_b) (I - w_j w_j^T) x_b, normalised;    g_j(x) = a_j s'(<w_j, x> + b_j) y

    With the squared loss y is replaced by y - f(x); off the sphere there is neither projection nor normalisation. With fresh samples it is
    online SGD; with fresh = False, full-batch gradient descent.

    Args:
        lr, lr_power, geometry, loss, batch_size: as GradientMethod's; lr_power is 1 for SGD with B = 1, 0 for all samples at once.
        own: a subclass's hyper-parameters.
        fresh: new samples at each step.
        steps: with all samples at once.
    References:
        Ben Arous, Gheissari and Jagannath, 2021, arXiv 2003.10409, for the sphere. Dandi et al., 2024, arXiv 2402.03220, for many steps on
        all samples, off the sphere.
    """

    def __init__(
        self,
        own: Mapping[str, tuple[float | Tensor, float]] | None = None,
        *,
        fresh: bool,
        steps: PositiveInt | None,
        **shared: Any,
    ) -> None:
        super().__init__(fresh, steps, own, **shared)

    def move(self, batch: Batch) -> tuple[Tensor | None, Tensor]:
        """The step's coefficients, as FirstLayerMethod.move."""
        return None, self.lr * self.signal(batch.h, batch.y)

    def exponent(self, information: int, generative: int) -> float | None:
        return max(information - 1.0, 1.0) if self.fresh else None


class SmoothedSGD(FirstLayerMethod):
    r"""Online SGD on the correlation loss averaged over a sphere around w, with a matched polynomial activation s.

    l_lambda(w) = E_z l((w + lambda z) / sqrt(1 + lambda^2)),    z uniform on the unit sphere orthogonal to w

    <z, x> = sqrt(||x||^2 - u^2) t with u = <w, x> and E t^{2j} = prod_{i<j} (2i + 1) / (d - 1 + 2i), so for a polynomial s the average is
    one of u and ||x||^2, and its derivative by u is the step's coefficient. lambda = 0 is online SGD.

    Args:
        lr: eta = lr (1 + lambda^2)^2 / d^lr_power.
        lr_power: 1.5 for He_3, k / 2 for an information exponent k.
        smoothing: lambda = smoothing d^(1/4).
        smooth_until: part of the run after which lambda = 0, to converge once the direction is found.
    References: Damian, Nichani, Ge and Lee, 2023, arXiv 2305.10633; the closed form for a polynomial is derived here.
    """

    def __init__(self, *, smoothing: NonNegativeFloat, smooth_until: Probability, **shared: Any) -> None:
        super().__init__(True, False, own={"smoothing": (smoothing, -0.25)}, **shared)
        self.smooth_until, self.smooths = smooth_until, bool(torch.as_tensor(smoothing).any())

    def begin(self, neurons: Neurons, target: Target, dims: Tensor) -> None:
        if target.monomials is None:
            raise ValueError("smoothing needs a polynomial link in one direction")
        if neurons.link is None or neurons.b is not None:
            raise ValueError("smoothing needs matched neurons; set model.activation=link and model.bias=none")
        super().begin(neurons, target, dims)

    def move(self, batch: Batch) -> tuple[Tensor | None, Tensor]:
        """The step's coefficients, as FirstLayerMethod.move."""
        lam2 = self.smoothing**2 * (batch.progress < self.smooth_until)
        rate = self.lr * (1 + lam2) ** 2
        slope = smoothed_slope(self.target.monomials, batch.h, batch.r, lam2, self.dims)  # type: ignore[arg-type]
        return None, rate * self.neurons.a * batch.y * slope

    def exponent(self, information: int, generative: int) -> float:
        return max(information / 2 if self.smooths else information - 1.0, 1.0)


def smoothed_slope(powers: list[float], u: Tensor, r: Tensor, lam2: Tensor, d: Tensor) -> Tensor:
    """d/du E_t p((u + lambda sqrt(r - u^2) t) / sqrt(1 + lambda^2)) for the polynomial p of these coefficients by powers, constant first.

    Args:
        u, r: <w, x> and ||x||^2. lam2: lambda^2. d: dimension; t is a coordinate of a uniform point of the unit sphere in R^(d-1).
    """
    total, rest = torch.zeros_like(u), r - u * u
    for m, c in enumerate(powers):
        if not c or not m:
            continue
        scale, moment = (1 + lam2) ** (-m / 2), 1.0
        for j in range(m // 2 + 1):
            factor = c * math.comb(m, 2 * j) * scale * lam2**j * moment
            lower = m - 2 * j  # of u^lower rest^j
            change = lower * u ** (lower - 1) * rest**j if lower else torch.zeros_like(u)
            if j:
                change = change - 2 * j * u ** (lower + 1) * rest ** (j - 1)
            total = total + factor * change
            moment = moment * (2 * j + 1) / (d - 1 + 2 * j)
    return total
