"""What a classification method is. Its data are `images.LabelledImages`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from torch import Tensor


class Method(Protocol):
    """A torch optimizer whose `step` takes a closure; built with the model's parameters.

    One whose constructor takes `buffers` is given the model's buffers too, and so with `num_examples` (training images), `seed` (the run's) and
    `total_steps` (of the run). One that has `snapshot(full_closure, num_components)` is
    called with it at each epoch's start: `full_closure()` leaves in the parameters' gradients the mean over all minibatches of the epoch.

    Attributes:
        param_groups: as in torch; schedules change `lr` there.
        skipped_steps: where a method has it, the number of steps that it skipped for a NaN or infinite gradient.
        collects: where a method has it, it samples: at an epoch's end True if the network is one of those whose probabilities on held-out images
            the task averages.
        swap_rates: where a method has several chains, the share of exchanges made of each pair of neighbours.
    """

    param_groups: list[dict[str, Any]]

    def step(self, closure: Callable[[], Tensor]) -> Tensor:
        """A step on one minibatch; returns its loss [].

        `closure()` recomputes loss [] and gradients at the current parameters and may be called again: same images, same crops, same
        dropout mask. Every call is counted.
        """

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Called before each gradient is computed."""

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint holds beside the parameters."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The inverse of `state_dict`, before the first step of a resumed run."""
