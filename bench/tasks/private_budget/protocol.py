"""What a "method" of private budgets is: one of private generation, of which no step is asked (`bench.tasks.generation.protocol`)."""

from __future__ import annotations

from typing import Protocol

from torch import nn

from bench.tasks.generation.protocol import Problem


class Method(Protocol):
    """A method that opens a ledger in `begin` and needs no values of the private examples for it, whose tensors have shapes alone (device meta)."""

    trainable_parameters: int  # after `begin`

    def begin(self, problem: Problem) -> int:
        """The number of steps; opens the ledger."""

    def network(self) -> nn.Module:
        """The network to train; what is trained has `requires_grad`."""
