"""What a classification method is, and what a probe of its network is given. Its data are `images.LabelledImages`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor, nn

if TYPE_CHECKING:
    from bench.tasks.classification.augment import Augmenter
    from bench.tasks.classification.batches import Batches
    from bench.tasks.classification.images import LabelledImages

Losses = Iterable[tuple[Tensor, int]]


class Method(Protocol):
    """A torch optimizer whose `step` takes a closure; built with the model's parameters.

    One whose constructor takes `buffers` is given the model's buffers too, and so with `num_examples` (training images), `seed` (the run's),
    `total_steps` (of the run), `model` (the network), `mean` and `std` (of its
    input (x / 255 - mean) / std from an image x, [1, C, 1, 1] each). One that has `snapshot(full_closure, num_components)` is
    called with it at each epoch's start: `full_closure()` leaves in the parameters' gradients the mean over all minibatches of the epoch.

    Attributes:
        param_groups: as in torch; schedules change `lr` there.
        skipped_steps: where a method has it, the number of steps that it skipped for a NaN or infinite gradient.
        collects: where a method has it, it samples: at an epoch's end True if the network is one of those whose probabilities on held-out images
            the task averages.
        swap_rates: where a method has several chains, the share of exchanges made of each pair of neighbours.
        losses: where a method has it, `losses(network, x, y, loss, generator)` forms the minibatch's loss from x [B, C, H, W] and y [B]:
            parts (loss [], images) that add up to it, each followed by its backward pass before the next is asked for, with the number of
            images whose gradient it took. `network(x)` gives logits [B, K], `loss(logits, targets)` the mean cross-entropy of labels [B] or
            probabilities [B, K]. The generator starts anew at each call for a minibatch: the same draws at both points of a step.
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


@dataclass(frozen=True)
class Trained:
    """A network at the end of its training, for a probe: in training mode, and so it is left."""

    model: nn.Module
    data: LabelledImages
    images: Augmenter
    batches: Batches
    method: Any
    seed: int
    autocast: Callable[[], AbstractContextManager[Any]]
