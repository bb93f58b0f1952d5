"""What a method that trains a two-layer network on a two-layer teacher is. Its data are `relu_population.Teachers`, through an `Oracle`.

Shapes: K settings of hyper-parameters, S seeds, m neurons, d dimension; all advance in one batch.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from bench.tasks.teacher_recovery.oracle import Oracle


class Method(Protocol):
    """Built with its hyper-parameters, floats or tensors [K, 1]. `first` and `second` are called once each, in this order.

    Attributes:
        trains: is there a third stage, steps of both layers (`Training`)?
        state: what the method keeps between steps beside the network, tensors by name.
    """

    trains: bool
    state: dict[str, Tensor]

    def first(self, oracle: Oracle, signs: Tensor, rows: Tensor) -> Tensor:
        """Unit rows [S, m, d] after stage 1, from unit rows and signs [S, m] of the output weights."""

    def second(self, oracle: Oracle, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Output weights a [K or 1, S, m] and rows w [K or 1, S, m, d] after stage 2."""


class Training(Method, Protocol):
    """What a method with `trains` has too.

    Attributes:
        lr: step size, one number or [K, 1], from `begin` on.
    """

    lr: Tensor

    def begin(self, steps: int, device: torch.device) -> None:
        """Before stage 1: the third will have T = `steps` steps."""

    def decay(self, t: int) -> Tensor:
        """lam_t, the weight decay of step t = 0, 1, ..., one number or [K, 1]."""

    def update(self, oracle: Oracle, t: int, a: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
        """a [K, S, m] and w [K, S, m, d] after step t."""
