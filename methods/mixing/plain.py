"""Baselines that mix nothing: softer labels, blanked squares.

References: Szegedy et al., 2016, arXiv 1512.00567, section 7 (label smoothing); DeVries and Taylor, 2017, arXiv 1708.04552 (Cutout).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from bench.errors import UserError
from methods.mixing.composed import Composed, Criterion, Network, Parts
from methods.mixing.pairs import one_hot

if TYPE_CHECKING:
    from bench.types import PositiveInt, Probability


class LabelSmoothing(Composed):
    """The minibatch as it is, labels (1 - smoothing) y + smoothing / C.

    Args: as Composed's, and
        smoothing: the share of a label that all classes divide among them.
    """

    def __init__(
        self, params: Any, model: nn.Module | None = None, mean: Tensor | None = None, std: Tensor | None = None,
        num_examples: int = 1, seed: int = 0, total_steps: int | None = None,
        *, smoothing: Probability = 0.1, **shared: Any,
    ) -> None:  # fmt: skip
        if not 0 <= smoothing <= 1:
            raise ValueError(f"smoothing = {smoothing}: from 0 to 1")
        self.smoothing = smoothing
        super().__init__(params, model, mean, std, num_examples, seed, total_steps, **shared)

    def losses(self, network: Network, x: Tensor, y: Tensor, loss: Criterion, generator: torch.Generator) -> Parts:
        """One part, of all images."""
        logits = network(x)
        classes = logits.shape[1]
        targets = (1 - self.smoothing) * one_hot(y, classes) + self.smoothing / classes
        yield self._criterion(loss)(logits, targets), len(y)


class Cutout(Composed):
    """Of each image a square is set to the mean, 0 after normalisation; its centre is uniform over the pixels, and it may reach beyond.

    Args: as Composed's, and
        size: side of the square in pixels (8 for CIFAR-100, 16 for CIFAR-10 in the paper).
    """

    def __init__(
        self, params: Any, model: nn.Module | None = None, mean: Tensor | None = None, std: Tensor | None = None,
        num_examples: int = 1, seed: int = 0, total_steps: int | None = None,
        *, size: PositiveInt = 8, **shared: Any,
    ) -> None:  # fmt: skip
        if size < 1:
            raise ValueError(f"size = {size}: at least one pixel")
        self.size = size
        super().__init__(params, model, mean, std, num_examples, seed, total_steps, **shared)

    def losses(self, network: Network, x: Tensor, y: Tensor, loss: Criterion, generator: torch.Generator) -> Parts:
        """One part, of all images."""
        if self.size > min(x.shape[-2:]):
            raise UserError(
                f"method.size = {self.size}: more than the images' {min(x.shape[-2:])} pixels; at most that"
            )
        logits = network(blanked(x, self.size, generator))
        targets = one_hot(y, logits.shape[1]) if self.loss == "bce" else y
        yield self._criterion(loss)(logits, targets), len(y)


def blanked(x: Tensor, size: int, generator: torch.Generator | None = None) -> Tensor:
    """x [B, C, H, W] with a square of `size` pixels a side set to 0 in each image, clipped at the border."""
    inside = []
    for n in x.shape[-2:]:
        centre = torch.randint(n, (len(x), 1), generator=generator, device=x.device)
        place = torch.arange(n, device=x.device) - centre + size // 2
        inside.append((place >= 0) & (place < size))
    return x.masked_fill((inside[0][:, :, None] & inside[1][:, None, :])[:, None], 0.0)
