"""Mixing rules with K interpolations a pair, in K passes or in one: the input's (mixup, multi-mix) and CutMix's.

The loss of a minibatch is (1 / K) sum_k of the mean loss of its pairs under lambda_k; pairs, boxes and lambda are functions of the generator.

References: Shen et al., 2024, arXiv 2406.01417; Zhang et al., 2018, arXiv 1710.09412; Yun et al., 2019, arXiv 1905.04899.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from bench.errors import UserError
from methods.mixing.composed import Composed, Criterion, Network, Parts, need_images
from methods.mixing.cutmix import draw_boxes, paste
from methods.mixing.pairs import check_law, draw_order, draw_weights, mix, one_hot

if TYPE_CHECKING:
    from bench.types import PositiveFloat, UpTo1000


class MultiMix(Composed):
    """K points of the segment between two images; K = 1 is mixup. Subclasses mix something else.

    Args:
        params, model, mean, std, num_examples, seed, total_steps: as Composed's.
        k: K, interpolations of a pair.
        alpha: lambda ~ Beta(alpha, alpha).
        shared_lambda: one lambda_k for all pairs of the minibatch; False: each pair has its own.
        stratified: one lambda in each of K equally likely intervals.
        batch_norm: passes (K passes of N images, gradients added up: statistics are of N images, and running ones take K updates) or
            concatenated (one pass of K N images).
    """

    def __init__(
        self, params: Any, model: nn.Module | None = None, mean: Tensor | None = None, std: Tensor | None = None,
        num_examples: int = 1, seed: int = 0, total_steps: int | None = None,
        *,
        k: UpTo1000 = 5,
        alpha: PositiveFloat = 1.0,
        shared_lambda: bool = False,
        stratified: bool = False,
        batch_norm: Literal["passes", "concatenated"] = "passes",
        **shared: Any,
    ) -> None:  # fmt: skip
        if batch_norm not in ("passes", "concatenated"):
            raise ValueError(f"batch_norm = '{batch_norm}': passes or concatenated")
        check_law(k, alpha)
        self.k, self.alpha, self.shared_lambda, self.stratified = k, alpha, shared_lambda, stratified
        self.batch_norm = batch_norm
        super().__init__(params, model, mean, std, num_examples, seed, total_steps, **shared)

    def losses(self, network: Network, x: Tensor, y: Tensor, loss: Criterion, generator: torch.Generator) -> Parts:
        """K parts, or one."""
        n, criterion = len(y), self._criterion(loss)
        if n < 2:
            raise UserError("method: mixes pairs, and a minibatch has one image; task.batch_size of at least 2")
        order, plan = self._drawn(network, x, y, loss, generator)
        extra = self._extra(n)
        for ks in self._turns():
            logits, own = self._forward(network, x, order, plan, ks)
            targets = mix(one_hot(y, logits.shape[1]), order, own)
            yield criterion(logits, targets) * (len(own) / self.k), len(own) * n + extra
            extra = 0

    def _turns(self) -> list[slice]:
        """The interpolations of each pass."""
        if self.batch_norm == "concatenated":
            return [slice(0, self.k)]
        return [slice(k, k + 1) for k in range(self.k)]

    def _drawn(
        self, network: Network, x: Tensor, y: Tensor, loss: Criterion, generator: torch.Generator
    ) -> tuple[Tensor, Any]:
        """The partners [N], one permutation for all K, and what else is drawn for the minibatch."""
        order = draw_order(len(y), generator, x.device)
        return order, self._plan(x, order, self._weights(len(y), x.device, generator), generator)

    def _weights(self, pairs: int, device: torch.device, generator: torch.Generator) -> Tensor:
        """lambda [K, N]."""
        keys = {"shared": self.shared_lambda, "stratified": self.stratified, "generator": generator, "device": device}  # type: dict[str, Any]
        return draw_weights(pairs, self.k, self.alpha, **keys)

    def _plan(self, x: Tensor, order: Tensor, weights: Tensor, generator: torch.Generator) -> Any:
        """What `_forward` needs of all K."""
        return weights

    def _forward(self, network: Network, x: Tensor, order: Tensor, plan: Any, ks: slice) -> tuple[Tensor, Tensor]:
        """Logits [k N, C] of some of the K interpolations, and the weight [k, N] of each image's own label."""
        return network(mix(x, order, plan[ks])), plan[ks]

    def _extra(self, n: int) -> int:
        """Images of whose gradients a minibatch needs more than those of its losses."""
        return 0


class CutMix(MultiMix):
    """K boxes a pair, each with its lambda and place; the label's weight is the exact share of pixels kept.

    Args: as MultiMix's; `shared_lambda` shares the box too.
    """

    def _plan(self, x: Tensor, order: Tensor, weights: Tensor, generator: torch.Generator) -> Any:
        need_images(x, "CutMix")
        return draw_boxes(weights, *x.shape[-2:], shared=self.shared_lambda, generator=generator)

    def _forward(self, network: Network, x: Tensor, order: Tensor, plan: Any, ks: slice) -> tuple[Tensor, Tensor]:
        where = plan.at(ks)
        return network(paste(x, order, where)), where.kept
