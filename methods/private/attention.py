r"""DP-LDM: private tuning of attention alone (Liu et al., 2024, arXiv 2305.15759)."""

from __future__ import annotations

from typing import Any, Literal

from bench.seeding import generator
from bench.tasks.generation.denoiser import Denoiser
from bench.types import PositiveInt
from methods.private.base import Tuning
from methods.private.lora import CLASSES, train_classes


class AttentionOnly(Tuning):
    """All parameters of the attention blocks (norms, projections, what else a spatial transformer has) and the classes' embeddings, by DP-SGD.

    The paper draws one copy of noise an example, noise_multiplicity = 1.

    Args:
        first_block: the first attention block that is trained, counted from 1 in the order in which the network goes through them.
        classes: kept, the public classes' embeddings are gone on from; renewed, drawn anew.
        shared: of `Tuning`.
    """

    def __init__(
        self, *, first_block: PositiveInt = 1, classes: Literal["kept", "renewed"] = "kept", **shared: Any
    ) -> None:
        super().__init__(**shared)
        self.first_block, self.classes = first_block, classes

    def adapt(self, denoiser: Denoiser) -> Denoiser:  # type: ignore[override]
        """The denoiser, of which attention has `requires_grad`.

        Raises:
            ValueError: the network has fewer attention blocks than `first_block`.
        """
        if self.classes == "renewed":
            denoiser.renew_classes(generator(self.problem.seed, "init", CLASSES))
        blocks = [*denoiser.attention_blocks().values()]
        if self.first_block > len(blocks):
            raise ValueError(f"first_block = {self.first_block}: the network has {len(blocks)} attention blocks")
        denoiser.requires_grad_(False)
        for block in blocks[self.first_block - 1 :]:
            block.requires_grad_(True)
        train_classes(denoiser)
        return denoiser
