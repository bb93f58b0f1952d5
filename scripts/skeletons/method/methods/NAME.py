"""FILL IN: what TITLE does, in a sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from bench.types import Decay, PositiveFloat


class TITLE(torch.optim.Optimizer):
    r"""FILL IN: the method in one line, and its formula in the paper's symbols. This one is gradient descent with heavy-ball momentum.

    v_t = momentum v_{t-1} + g(x_t),    x_{t+1} = x_t - lr v_t

    Args:
        params: parameters to optimise, x.
        lr: step size.
        momentum: weight of the last step's v.
    References: FILL IN: authors, year, where, number of the algorithm.
    """

    def __init__(self, params: Iterable[Tensor], *, lr: PositiveFloat, momentum: Decay = 0.9) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor]) -> Tensor:
        """One step; returns the minibatch's loss at x_t.

        Args:
            closure: fills the gradients and returns the loss; called again it is of the same minibatch.
        """
        with torch.enable_grad():
            loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                v = self.state[p].setdefault("velocity", torch.zeros_like(p))
                v.mul_(group["momentum"]).add_(p.grad)  # FILL IN: the method's own step
                p.sub_(group["lr"] * v)
        return loss
