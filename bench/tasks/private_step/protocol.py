"""What a "method" of private steps is: one of private generation that trains a denoiser (`bench.tasks.generation.protocol`)."""

from __future__ import annotations

from typing import Any, Protocol

from torch import nn

from bench.tasks.generation.protocol import Problem


class Method(Protocol):
    """A method whose steps each make one release, and of whose network what is trained has `requires_grad`.

    clip: C, the largest norm that one image is said to add to a sum.
    """

    trainable_parameters: int  # after `begin`
    clip: float

    def begin(self, problem: Problem) -> int:
        """The number of steps; opens the ledger."""

    def advance(self, step: int) -> dict[str, float]:
        """One step; `gradient_norm` of the gradient that it released."""

    def network(self) -> nn.Module:
        """What denoises after the steps so far."""

    def state_dict(self) -> dict[str, Any]:
        """What the steps so far have changed."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
