"""What a "method" of mixed images is: one of classification, of which `losses` alone is asked (`bench.tasks.classification.protocol`)."""

from __future__ import annotations

from typing import Protocol


class Method(Protocol):
    """An optimizer; one without `losses` trains on the images as they are.

    Attributes:
        losses: where a method has it, `losses(network, x, y, loss, generator)` forms the minibatch's loss, as classification asks for it. Each
            pass through the network is followed by its call of `loss`; row k B + i of a pass is an interpolation of pair i.
    """

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Called before the loss is formed, and after."""
