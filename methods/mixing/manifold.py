"""Manifold mixup: features of a layer are mixed, drawn anew for each minibatch; layer 0 is the input.

Layer l is the output of stage l of the network: `stages` finds them in residual and plain networks. In one concatenated pass the layers
below are computed once, on N images, and those above on K N features.

References: Verma et al., 2019, arXiv 1806.05236; Shen et al., 2024, arXiv 2406.01417 (K interpolations of a pair's features).
"""

from __future__ import annotations

import sys
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from bench.errors import UserError
from methods.mixing.composed import Network
from methods.mixing.interpolated import MultiMix
from methods.mixing.pairs import mix

if TYPE_CHECKING:
    from bench.types import NonNegativeInt


def stages(model: nn.Module) -> list[nn.Module]:
    """Modules whose outputs are the ends of the network's stages: `layer1`, `layer2`, ... where it has them; else of its `blocks`, or of
    itself, if they are a row of modules, the last residual block of each width; without such blocks each max-pooling; else each ReLU.

    Raises:
        ValueError: no such structure.
    """
    named = [
        getattr(model, f"layer{n}") for n in range(1, 10) if isinstance(getattr(model, f"layer{n}", None), nn.Module)
    ]
    if named:
        return named
    body = getattr(model, "blocks", model)
    row = list(body) if isinstance(body, nn.Sequential) else []
    residual = [m for m in row if isinstance(getattr(m, "conv2", None), nn.Conv2d)]
    if residual:
        return [a for a, b in pairwise([*residual, None]) if b is None or a.conv2.out_channels != b.conv2.out_channels]  # type: ignore[misc, union-attr]
    for kind in (nn.MaxPool2d, nn.ReLU):
        if found := [m for m in row if isinstance(m, kind)]:
            return found  # type: ignore[return-value]
    raise ValueError("layers: this network has no stages that are known; name its modules layer1, layer2, ...")


def _guard_hooks() -> None:
    """torch.compile is to look for hooks: by default a network compiled without any serves for one like it that has some."""
    dynamo = sys.modules.get("torch._dynamo")
    if dynamo is not None and dynamo.config.skip_nnmodule_hook_guards:
        dynamo.reset()
        dynamo.config.skip_nnmodule_hook_guards = False


class Place:
    """A hook on a module that mixes its output where it is told to, else leaves it; there from the start, so that a compiled network has it.

    Attributes:
        order, weights: partners [N] and lambda [k, N] of the next pass; None: nothing is mixed.
        ran: did the module run since they were set?
    """

    def __init__(self, module: nn.Module) -> None:
        self.order: Tensor | None = None
        self.weights: Tensor | None = None
        self.ran = False
        module.register_forward_hook(self)
        _guard_hooks()

    def __call__(self, module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        if self.order is None:
            return output
        self.ran = True
        return mix(output, self.order, self.weights)  # type: ignore[arg-type]

    def run(self, network: Network, x: Tensor, order: Tensor, weights: Tensor) -> Tensor:
        """Logits of x with the module's output mixed.

        Raises:
            UserError: the network did not run the module.
        """
        self.order, self.weights, self.ran = order, weights, False
        try:
            logits = network(x)
        finally:
            self.order = self.weights = None
        if not self.ran:
            raise UserError("method.layers: the network did not run the module whose output is to be mixed")
        return logits


class ManifoldMix(MultiMix):
    """K interpolations of the features of a layer that is drawn uniformly out of `layers`.

    Args: as MultiMix's, and
        layers: 0 is the input, l the output of stage l.
    """

    def __init__(
        self, params: Any, model: nn.Module | None = None, mean: Tensor | None = None, std: Tensor | None = None,
        num_examples: int = 1, seed: int = 0, total_steps: int | None = None,
        *,
        layers: list[NonNegativeInt],
        **shared: Any,
    ) -> None:  # fmt: skip
        if not layers:
            raise ValueError("layers = []: at least one layer")
        self.layers = list(layers)
        known = stages(model) if model is not None and max(layers) else []
        if model is not None and max(layers) > len(known):
            raise ValueError(f"layers = {layers}: 0 is the input, and this network has stages up to {len(known)}")
        super().__init__(params, model, mean, std, num_examples, seed, total_steps, **shared)
        self.places = {layer: Place(known[layer - 1]) for layer in self.layers if layer and known}

    def _plan(self, x: Tensor, order: Tensor, weights: Tensor, generator: torch.Generator) -> Any:
        place = torch.randint(len(self.layers), (), generator=generator, device=x.device)
        return self.layers[int(place)], weights

    def _forward(self, network: Network, x: Tensor, order: Tensor, plan: Any, ks: slice) -> tuple[Tensor, Tensor]:
        layer, weights = plan[0], plan[1][ks]
        if layer == 0:
            return network(mix(x, order, weights)), weights
        return self.places[layer].run(network, x, order, weights), weights
