"""Descent along doubly stochastic gradients (Kim et al., 2024, arXiv 2406.00920): x_{t+1} = x_t - gamma_t g_t, and Adam.

Shapes: G step sizes, P paths (independent repetitions), d dimension of x.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor

from bench.types import Decay, PositiveFloat
from methods.noisy.base import DoublyStochastic


class DoublySGD(DoublyStochastic):
    """SGD with doubly stochastic gradients.

    >>> method = DoublySGD(64, lr=0.01, batch_size=4, mc_samples=2, sampling="reshuffling")
    >>> index = method.minibatches([0], first=0, count=16, paths=1)         # [16, 1, 4], an epoch: every component once
    >>> eta = method.noise([0], first=0, count=16, paths=1, dim=3)          # [16, 1, 1, 2, 3], shared by the 4 components
    >>> x = method.begin(torch.ones(1, 1, 3), torch.tensor([0.01]))
    >>> for t in range(16):
    ...     x = method.update(x, (x + eta[t].mean(-2)).squeeze(-2), t)      # here every f_i(x; eta) is |x + eta|^2 / 2

    Args: as DoublyStochastic's, and
        schedule: constant; two_stage: gamma until its O(1 / t) part (2 t + 1) / ((t + 1)^2 mu) is smaller (Gower et al., 2019, Theorem 3.2).

    Raises:
        ValueError: as DoublyStochastic, or a schedule that needs a mu which is not known.
    References: Kim, Ko, Ma & Gardner, 2024; random reshuffling: Mishchenko, Khaled & Richtarik, 2020.
    Known limits: RR is of use where subsampling noise dominates; the Monte Carlo part of the noise is untouched.
    """

    def __init__(
        self,
        num_components: int,
        smoothness: float | None = None,
        strong_convexity: float | None = None,
        *,
        schedule: Literal["constant", "two_stage"] = "constant",
        **shared: Any,
    ) -> None:
        super().__init__(num_components, smoothness, strong_convexity, **shared)
        self.schedule = schedule
        if schedule == "two_stage" and strong_convexity is None:
            raise ValueError("schedule = 'two_stage': needs a strongly convex objective; use schedule=constant")

    def step_sizes(self, t: int) -> Tensor:
        """gamma_t [G, 1, 1] of step t = 0, 1, ..."""
        if self.schedule == "constant":
            return self._lrs
        return self._lrs.clamp(max=(2 * t + 1) / ((t + 1) ** 2 * self.mu))  # type: ignore[operator]

    def update(self, x: Tensor, g: Tensor, t: int) -> Tensor:
        """x_{t+1} from x_t and g_t [G, P, d]."""
        return self._project(torch.addcmul(x, g, self.step_sizes(t), value=-1))


class DoublyAdam(DoublyStochastic):
    """Adam on doubly stochastic gradients with polynomial averaging: xbar_t = (1 - w_t) xbar_{t-1} + w_t x_t, w_t = (c + 1) / (c + t).

    Args: as DoublyStochastic's, and
        beta1, beta2, eps: Adam's.
        averaging: c, the power that later iterates count more with; None: the last iterate.
    References: Kingma & Ba, 2015; averaging: Shamir & Zhang, 2013, as in the subsampling tutorial of AdvancedVI.jl.
    """

    def __init__(
        self,
        num_components: int,
        smoothness: float | None = None,
        strong_convexity: float | None = None,
        *,
        lr: PositiveFloat = 0.01,
        beta1: Decay = 0.9,
        beta2: Decay = 0.999,
        eps: PositiveFloat = 1e-8,
        averaging: PositiveFloat | None = 8.0,
        **shared: Any,
    ) -> None:
        if not (0 <= beta1 < 1 and 0 <= beta2 < 1):
            raise ValueError(f"beta1, beta2 = {beta1}, {beta2}: at least 0 and below 1")
        super().__init__(num_components, smoothness, strong_convexity, lr=lr, **shared)
        self.betas, self.eps, self.averaging = (beta1, beta2), eps, averaging

    def begin(self, x: Tensor, lrs: Tensor, project: Callable[[Tensor], Tensor] = lambda x: x) -> Tensor:
        super().begin(x, lrs, project)
        self._first, self._second, self._average = torch.zeros_like(x), torch.zeros_like(x), x.clone()
        return x

    def update(self, x: Tensor, g: Tensor, t: int) -> Tensor:
        beta1, beta2 = self.betas
        self._first.lerp_(g, 1 - beta1)
        self._second.lerp_(g.square(), 1 - beta2)
        scale = math.sqrt(1 - beta2 ** (t + 1))
        direction = self._first / (1 - beta1 ** (t + 1)) / (self._second.sqrt() / scale + self.eps)
        x = self._project(torch.addcmul(x, direction, self._lrs, value=-1))
        if self.averaging is not None:
            self._average.lerp_(x, (self.averaging + 1) / (self.averaging + t + 1))
        return x

    def answer(self, x: Tensor) -> Tensor:
        return x if self.averaging is None else self._average

    def state_dict(self) -> dict[str, Any]:
        return {"first": self._first, "second": self._second, "average": self._average}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._first, self._second, self._average = state["first"], state["second"], state["average"]
