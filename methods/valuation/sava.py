r"""SAVA (Kessler, Le and Nguyen, 2025, arXiv 2406.01130, Algorithm 1) and batch-wise LAVA: batches of both sides instead of the whole sets.

With the cost C_kl between training batch k and reference batch l and the calibrated gradient v^{kl} (methods/valuation/transport.py),

    pi = argmin <pi, C> over plans between the uniform weights of batches,   s_i = sum_l pi_kl v^{kl}_i / sum_l pi_kl   for i in batch k.

No more than the costs of one training batch are held. Gradients are centred in their batch, so batches have to be alike: see `order`.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from bench.tasks.valuation.protocol import Problem
from bench.types import AtLeastTwo, PositiveFloat, PositiveInt
from methods.valuation.arrays import values_of
from methods.valuation.batches import Order, batches, notice, ordered
from methods.valuation.costs import filled
from methods.valuation.released import batch_cost
from methods.valuation.sinkhorn import coupling
from methods.valuation.transport import Transport


class Batched(Transport):
    """Training batches against reference batches, with the keys of `Transport`; a unit is a training batch.

    Args:
        batch_size: points of a training batch at most; N points are split into as few batches as that allows, of near-equal sizes.
        reference_batch_size: of a reference batch; None: the same.
        label_distances: global: of all points; first_pair: of the first pair of batches (classes that are missing there: of all points), as
            the released code keeps them; per_pair: of each pair.
        order: stratified: shuffled so that each batch has the classes in the shares of the whole; as_given.
    """

    def __init__(
        self,
        *,
        batch_size: AtLeastTwo = 1024,
        reference_batch_size: PositiveInt | None = None,
        label_distances: Literal["global", "first_pair", "per_pair"] = "global",
        order: Order = "stratified",
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        self.batch_size, self.reference_batch_size = batch_size, reference_batch_size or batch_size
        self.label_distances, self.order = label_distances, order
        self.same_distances = label_distances != "per_pair"

    def split(self, problem: Problem) -> tuple[list[Tensor], list[Tensor]]:
        p, sides = problem, []
        for side, (y, size) in enumerate(((p.y, self.batch_size), (p.reference_y, self.reference_batch_size)), 1):
            stretches = batches(ordered(y, self.order, p.seed, side), size)
            if self.order == "as_given":
                self.notice = self.notice or notice(y, stretches, p.num_classes, ("training", "reference")[side - 1])
            sides.append(stretches)
        self.found = self.nothing(len(p.x), *map(len, sides))
        return sides[0], sides[1]

    def distances(self, unit: int, j: int) -> Tensor:
        if self.label_distances == "global":
            return self.all_distances()
        if self.label_distances == "per_pair":
            return filled(self.measured(self.stretches[unit], self.references[j]))
        if self._global is None:
            first = self.measured(self.stretches[0], self.references[0])
            self._global = filled(first, self.measured() if first.isnan().any() else None)
        return self._global

    def nothing(self, count: int, units: int, others: int) -> dict[str, Tensor]:
        """What is found before the first of so many units, for N points and L reference batches."""
        return {"value": torch.zeros(count, dtype=torch.float64, device=self.problem.x.device)}

    def values(self) -> Tensor:
        """[N], float64: high is worth having."""
        return -self.found["value"]


class SAVA(Batched):
    """The values of Algorithm 1, with the keys of `Batched` and `Transport`.

    Args:
        outer: ot: reference batches weigh by the plan between batches, for which all gradients are kept, N L numbers; uniform: alike;
            released: by a plan of the released code's costs between batches (methods/valuation/released.py), which takes images.
        outer_epsilon: of that plan, whose costs are divided by the largest.
    """

    def __init__(
        self, *, outer: Literal["ot", "uniform", "released"] = "ot", outer_epsilon: PositiveFloat = 1e-2, **shared: Any
    ) -> None:
        super().__init__(**shared)
        self.outer, self.outer_epsilon = outer, outer_epsilon

    def begin(self, problem: Problem) -> int:
        """As `Transport.begin`.

        Raises:
            ValueError: "outer = released: ...", of points that are no images.
        """
        if self.outer == "released" and (problem.raw_x is None or problem.reference_raw_x is None):
            raise ValueError(
                "outer = released: weighs batches by their pixels, and these points are features; use ot or uniform"
            )
        return super().begin(problem)

    def nothing(self, count: int, units: int, others: int) -> dict[str, Tensor]:
        if self.outer == "uniform":
            return super().nothing(count, units, others)
        made = self.problem.x.new_zeros
        return {"gradients": made(count, others), "costs": made(units, others, dtype=torch.float64)}

    def keep(self, unit: int, where: Tensor, gradients: Tensor, transport: Tensor) -> None:
        if self.outer == "uniform":
            self.found["value"][where] = gradients.mean(0)
        else:
            self.found["gradients"][where] = gradients.T.to(self.found["gradients"])
            self.found["costs"][unit] = self._released(unit, where) if self.outer == "released" else transport

    def _released(self, unit: int, where: Tensor) -> Tensor:
        """The released code's costs [L] of a training batch."""
        p, ours = self.problem, (self.problem.x[where], self.problem.raw_x[where], self.problem.y[where])  # type: ignore[index]
        found = []
        for j, places in enumerate(self.references):
            theirs = p.reference_x[places], p.reference_raw_x[places], p.reference_y[places]  # type: ignore[index]
            found.append(batch_cost(ours, theirs, self.distances(unit, j), self._weights()))
        return torch.stack(found)

    def weights(self) -> Tensor:
        """How much each reference batch counts for each training batch, rows [K, L] that sum to 1."""
        costs = self.found["costs"]
        plan = coupling(costs / costs.abs().max().clamp_min(1e-300), self.outer_epsilon)
        return plan / plan.sum(1, keepdim=True)

    def values(self) -> Tensor:
        """[N], float64: high is worth having."""
        if self.outer == "uniform":
            return super().values()
        found = torch.empty(len(self.problem.x), dtype=torch.float64, device=self.problem.x.device)
        for where, weights in zip(self.stretches, self.weights()):
            found[where] = self.found["gradients"][where].double() @ weights
        return -found


class BatchwiseLAVA(Batched):
    """The mean over reference batches, no plan, with the keys of `Batched` and `Transport`.

    Args:
        squash: tanh: of (tanh v + 1) / 2 over its sum in the batch, as the released code has it, where most gradients end as 0 or 1;
            mean: of v itself.
    """

    def __init__(self, *, squash: Literal["tanh", "mean"] = "tanh", **shared: Any) -> None:
        super().__init__(**shared)
        self.squash = squash

    def keep(self, unit: int, where: Tensor, gradients: Tensor, transport: Tensor) -> None:
        if self.squash == "tanh":
            votes = (gradients.to(self.problem.x).tanh() + 1) / 2
            gradients = votes / votes.sum(1, keepdim=True)
        self.found["value"][where] = gradients.mean(0).double()


def sava_values(features: Any, labels: Any, reference_features: Any, reference_labels: Any, **keys: Any) -> Tensor:
    """A value for each row of your own features [N, d]: high is worth having. Returns [N], float64.

    Args:
        features, labels, reference_features, reference_labels: [N, d], [N], [M, d], [M]; numpy arrays or tensors; labels are integers or words.
        keys: of `SAVA`, and `seed` of its shuffling. A batch of one point gives it the value 0: there is nothing in it to compare with.

    Raises:
        ValueError: one line about an array or a key that does not fit, or values that are not finite.
    """
    arrays = features, labels, reference_features, reference_labels
    return values_of(SAVA, "sava_values", arrays, {"seed": 0, **keys})
