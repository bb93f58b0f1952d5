"""First-order baselines: torch's own optimizers with the suite's argument names and a theory step size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from methods.sign.base import check_ranges

if TYPE_CHECKING:
    from bench.types import Decay, NonNegativeFloat, PositiveFloat


class SGD(torch.optim.SGD):
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
        check_ranges({"lr": lr, "weight_decay": weight_decay})
        super().__init__(params, lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay, fused=True)

    @staticmethod
    def theory(horizon: int, dim: int, num_components: int | None) -> dict[str, float]:
        """lr = T^(-1/2) up to a constant."""
        return {"lr": horizon**-0.5}


class AdamW(torch.optim.AdamW):
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
        check_ranges({"lr": lr, "weight_decay": weight_decay})
        super().__init__(params, lr=lr, betas=(beta1, beta2), weight_decay=weight_decay, fused=True)

    @staticmethod
    def theory(horizon: int, dim: int, num_components: int | None) -> dict[str, float]:
        """lr = T^(-1/2) up to a constant."""
        return {"lr": horizon**-0.5}
