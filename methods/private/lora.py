r"""DP-LoRA: low-rank adapters of a denoiser's attention, trained by DP-SGD (Tsai et al., 2024, arXiv 2406.01355)."""

from __future__ import annotations

from typing import Any, Literal

from torch import nn

from bench.libraries import peft
from bench.seeding import generator
from bench.tasks.generation.denoiser import Denoiser
from bench.types import PositiveInt
from methods.private.base import Tuning

OUT = "to_out.0"  # the attention's output projection
CLASSES = 61  # stream of renewed embeddings
Targets = Literal["attention", "qkv"] | list[str]


class LoRA(Tuning):
    r"""h = W x + B A x in each targeted layer, W frozen; A ~ N(0, 1 / r^2), B = 0, so that training starts from the pre-trained network exactly.

    What is trained, phi, is all A and B and, where the network is conditional, the classes' embeddings whole; biases stay as they are (the
    released code also trains those of targeted layers). The steps on phi are those of `Tuning`. With epsilon: null this is LoRA without privacy.

    Args:
        rank: r of A [r, in] and B [out, r]; the adapters' scale is 1 (alpha = r).
        targets: attention, the projections to queries, keys and values and the one out; qkv, without the one out; or names of layers: those that
            are a name or end in it after a dot.
        unmatched: of a target that is no layer's name: refuse it, or ignore it as peft does. (`to_out.Linear` of the released configurations.)
        classes: kept, the public classes' embeddings are gone on from; renewed, drawn anew.
        shared: of `Tuning`.
    """

    def __init__(
        self,
        *,
        rank: PositiveInt,
        targets: Targets = "attention",
        unmatched: Literal["refuse", "ignore"] = "refuse",
        classes: Literal["kept", "renewed"] = "kept",
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        self.rank, self.targets, self.unmatched, self.classes = rank, targets, unmatched, classes

    def adapt(self, denoiser: Denoiser) -> Denoiser:  # type: ignore[override]
        """The denoiser with adapters, changed in place.

        Raises:
            ValueError: a target matches no layer.
        """
        if self.classes == "renewed":
            denoiser.renew_classes(generator(self.problem.seed, "init", CLASSES))
        return adapted(denoiser, self.rank, self.targets, self.unmatched)


def adapted(denoiser: Denoiser, rank: int, targets: Targets = "attention", unmatched: str = "refuse") -> Denoiser:
    """The denoiser with peft's adapters in its targeted layers: they and the classes' embeddings have `requires_grad`, nothing else has.

    Raises:
        ValueError: a target matches no layer and is not ignored, or none does.
    """
    names = {"attention": [*denoiser.projections, OUT], "qkv": [*denoiser.projections]}
    chosen = targets if isinstance(targets, list) else names[targets]
    found = matches(denoiser, chosen)
    if not chosen:
        raise ValueError("targets = []: names no layer; attention, qkv, or names of layers")
    lost = [name for name in chosen if not found[name]]
    if lost and (unmatched == "refuse" or not any(found.values())):
        known = ", ".join(names["attention"])
        raise ValueError(f"targets: '{lost[0]}' matches no module; those of attention are {known}")
    config = peft().LoraConfig(
        r=rank, lora_alpha=rank, target_modules=chosen, lora_dropout=0.0, init_lora_weights="gaussian"
    )
    peft().inject_adapter_in_model(config, denoiser.net)
    train_classes(denoiser)
    return denoiser


def matches(denoiser: Denoiser, targets: list[str]) -> dict[str, int]:
    """How many linear layers each target names, by peft's rule: its whole name or what follows a dot in it."""
    layers = [name for name, module in denoiser.net.named_modules() if isinstance(module, nn.Linear)]
    return {target: sum(f".{name}".endswith(f".{target}") for name in layers) for target in targets}


def train_classes(denoiser: Denoiser) -> None:
    """Let the classes' embeddings be trained, where there are any."""
    if denoiser.class_layer is not None:
        denoiser.net.get_submodule(denoiser.class_layer).weight.requires_grad_(True)
