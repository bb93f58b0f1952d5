"""The lower reference: the network that public data gave, of which the private data changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import nn

if TYPE_CHECKING:
    from bench.tasks.generation.protocol import Problem


class PublicOnly:
    """No step and no release: epsilon is 0. Class k of the private data is drawn as class k of the public data."""

    pretrained = True
    trainable_parameters = 0

    def begin(self, problem: Problem) -> int:
        """0 steps."""
        self._network = problem.denoiser
        return 0

    def advance(self, step: int) -> dict[str, float]:
        """There is no step to take."""
        raise AssertionError(f"step {step} of a method without steps")

    def network(self) -> nn.Module:
        """The pre-trained denoiser."""
        return self._network

    def state_dict(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing."""
