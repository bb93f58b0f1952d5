"""What a method that tunes a network may rely on: its attention and its classes have names, whatever the network is."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn


class Denoiser(Protocol):
    """A network that predicts noise (bench.models.unet has one).

    Attributes:
        net: the module with all parameters.
        projections: names of the attention's layers to queries, keys and values; the one out is `to_out.0`.
        class_layer: name in `net` of the layer whose weight embeds the classes; None: the network is unconditional.
    """

    net: nn.Module

    @property
    def projections(self) -> tuple[str, ...]: ...

    @property
    def class_layer(self) -> str | None: ...

    def __call__(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor: ...

    def attention_blocks(self) -> dict[str, nn.Module]:
        """By name in `net`, in the order in which the network goes through them, with all that is in them."""

    def renew_classes(self, generator: torch.Generator) -> None:
        """Draw the classes' embeddings anew."""

    def requires_grad_(self, requires_grad: bool = True) -> Denoiser:
        """Of every parameter."""
