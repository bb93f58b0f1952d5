"""DP-LoRA as its released code runs it, by reading: stock Opacus takes each noised copy of an image for an example (EzzzLi/DP-LORA 2a66690)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from torch import Tensor

from methods.private.dpsgd import norms
from methods.private.lora import LoRA
from methods.private.per_example import per_example

if TYPE_CHECKING:
    from bench.tasks.generation.protocol import Problem


class ReleasedLoRA(LoRA):
    r"""LoRA whose K copies of an image are clipped one by one and summed.

        S = sum_i sum_k g_ik min(1, C / ||g_ik||) + sigma C xi,     g_ik the gradient of the loss of copy k

    sigma is calibrated as if an image moved the sum by at most C, and it moves it by up to K C. The ledger is told what is done, a clip of K C and
    a noise multiplier of sigma / K, and so refuses to state the epsilon that was aimed at. The keys are those of `LoRA`.
    """

    def begin(self, problem: Problem) -> int:
        """As `Tuning.begin`, on other terms."""

        def ledger(**terms: Any) -> Any:
            copies = self.noise_multiplicity
            told = {"clip": copies * terms["clip"], "noise_multiplier": terms["noise_multiplier"] / copies}
            return problem.ledger(**terms | told)

        return super().begin(replace(problem, ledger=ledger))

    def _parts(self, batch: Tensor, step: int) -> Iterator[tuple[Tensor, list[Tensor]]]:
        """Of each example the sum of its copies' clipped gradients, whose norm is at most K C."""
        copies = self.noise_multiplicity
        with per_example(self.adapted) as gradients:
            for rows, losses in self._losses(batch, step):
                (copies * losses).sum().backward()
                apart = gradients.take(copies * len(rows))
                factor = (self.clip / norms(apart)).clamp(max=1)
                clipped = (g * factor.view(-1, *[1] * (g.ndim - 1)) for g in apart)
                yield rows, [g.unflatten(0, (len(rows), copies)).sum(1) for g in clipped]
