"""First-order baselines: torch's own optimizers with the suite's argument names and a theory step size."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from methods.sign.guarded import Guarded, check_ranges, dense

if TYPE_CHECKING:
    from bench.types import Decay, NonNegativeFloat, PositiveFloat


class FusedOptimizer(Guarded):
    """Torch's fused step, skipped if a gradient is NaN or infinite: not taken on a CPU, told by `found_inf` on a GPU.

    Under a GradScaler it is the scaler that skips.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:  # type: ignore[override]
        """As torch's."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        active = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        grads = dense(self, [p.grad for p in active])
        scaled = "found_inf" in self.__dict__
        bad = False if scaled else self._bad(grads, lambda: self._starts(active))
        if bad is not True:
            self._fused_step(None if bad is False else bad)
        return loss

    def _starts(self, active: list[Tensor]) -> bool:
        """Would the step create state? Then it has to be known whether it is skipped."""
        return any(p not in self.state for p in active)

    def _fused_step(self, bad: Tensor | None) -> None:
        step = super().step.__func__  # type: ignore[attr-defined]
        step = step.__wrapped__ if getattr(step, "hooked", False) else step  # this step runs the hooks
        if bad is None:
            step(self)
            return
        self.found_inf = bad
        try:
            step(self)
        finally:
            del self.found_inf


class SGD(FusedOptimizer, torch.optim.SGD):
    """SGD with heavy-ball or Nesterov momentum and L2 regularisation (torch.optim.SGD, fused).

    Args:
        params: parameters to optimise.
        lr: step size.
        momentum: weight of the old velocity.
        nesterov: Nesterov's form; needs momentum > 0.
        weight_decay: coefficient of the L2 term, added to the gradient.
    """

    def __init__(
        self,
        params: Any,
        *,
        lr: PositiveFloat,
        momentum: NonNegativeFloat = 0.9,
        nesterov: bool = False,
        weight_decay: NonNegativeFloat = 0.0,
    ) -> None:
        check_ranges({"lr": lr, "weight_decay": weight_decay, "momentum": momentum})
        super().__init__(params, lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay, fused=True)

    @staticmethod
    def theory(horizon: int, dim: int, num_components: int | None) -> dict[str, float]:
        """lr = T^(-1/2) up to a constant."""
        return {"lr": horizon**-0.5}

    def _starts(self, active: list[Tensor]) -> bool:
        return any(group["momentum"] for group in self.param_groups) and super()._starts(active)

    def _fused_step(self, bad: Tensor | None) -> None:
        for group in self.param_groups:  # torch's fused step takes a velocity of all parameters or of none
            active = [p for p in group["params"] if p.grad is not None] if group["momentum"] else []
            late = [p for p in active if p not in self.state]
            for p in late if len(late) < len(active) else ():
                self.state[p]["momentum_buffer"] = torch.zeros_like(p)
        super()._fused_step(bad)


class AdamW(FusedOptimizer, torch.optim.AdamW):
    """Adam with decoupled weight decay (torch.optim.AdamW, fused).

    Args:
        params: parameters to optimise.
        lr: step size.
        beta1: weight of the old first moment.
        beta2: weight of the old second moment.
        weight_decay: decoupled weight decay.
    """

    def __init__(
        self,
        params: Any,
        *,
        lr: PositiveFloat,
        beta1: Decay = 0.9,
        beta2: Decay = 0.999,
        weight_decay: NonNegativeFloat = 0.0,
    ) -> None:
        check_ranges({"lr": lr, "weight_decay": weight_decay, "betas": (beta1, beta2)})
        super().__init__(params, lr=lr, betas=(beta1, beta2), weight_decay=weight_decay, fused=True)

    @staticmethod
    def theory(horizon: int, dim: int, num_components: int | None) -> dict[str, float]:
        """lr = T^(-1/2) up to a constant."""
        return {"lr": horizon**-0.5}
