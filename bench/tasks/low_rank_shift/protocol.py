"""What a "method" of low-rank shifts is: one of private generation that trains a denoiser (`bench.tasks.generation.protocol`)."""

from __future__ import annotations

from typing import Protocol

from torch import nn

from bench.tasks.generation.protocol import Problem


class Method(Protocol):
    """A method whose denoiser is asked for before and after its steps. It is given one with `matrix`, whose layer is `net.map`."""

    trainable_parameters: int  # after `begin`

    def begin(self, problem: Problem) -> int:
        """The number of steps; opens the ledger."""

    def advance(self, step: int) -> dict[str, float]:
        """One step; they come in order, 0, 1, ...; `gradient_evaluations` of it."""

    def network(self) -> nn.Module:
        """The denoiser after the steps so far."""
