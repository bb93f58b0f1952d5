r"""Values from the gradient of a transport cost in the weights of the training points: what LAVA, SAVA and batch-wise LAVA share.

Of a batch of n training points against a batch of reference points, with the potential f of the training side, the calibrated gradient is

    v_i = f_i - sum_{k != i} f_k / (n - 1):

how the cost changes as the weight of point i grows and those of the others shrink alike. A high v is suspect; a value is -v.
Shapes: N training points, M reference points, K classes, n points of a training batch, L reference batches of m points.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from bench.tasks.valuation.protocol import Problem
from bench.types import Inner, NonNegativeFloat, PositiveFloat, PositiveInt
from methods.valuation import costs, flash
from methods.valuation.sinkhorn import Schedule, annealed, solve

MOST_UPDATES = 10_000  # of a list of eps
LARGEST = 1e150  # diameter
AT_ONCE = 1 << 27  # entries of the costs that are held together


def calibrated(f: Tensor) -> Tensor:
    """Calibrated gradients [L, n], float64, of potentials [L, n]; each row sums to 0."""
    f, n = f.double(), f.shape[-1]
    return (f - f.mean(-1, keepdim=True)) * (n / max(n - 1, 1))


class Transport:
    """Training batches one after another, each against all reference batches.

    Args:
        schedule: of eps: geomloss, the list of its `SamplesLoss`, about a dozen updates; converged: the same and on at the last eps, in double
            precision; or a list.
        epsilon: the last eps, in units of the cost; not of a list.
        scaling: between neighbours of the list; eps goes by its square.
        tolerance: of `converged`: the last move of a potential in units of epsilon.
        max_updates: of `converged`: updates at the last eps at most.
        feature_weight, label_weight: w_x and w_y of the cost (methods/valuation/costs.py).
        diameter: at which the list begins; None: of all features, both sides.
        label_epsilon: eps of the label distances, which have geomloss' list in any case.
        label_points: points of a class and side that label distances look at, drawn at random where there are more; None: all.
        backend: torch; flash: flash-sinkhorn, on CUDA, in single precision.
    """

    hold = True  # the costs of a batch, else they are computed again in each update

    def __init__(
        self,
        *,
        schedule: Literal["geomloss", "converged"] | list[PositiveFloat] = "geomloss",
        epsilon: PositiveFloat = 0.1,
        scaling: Inner = 0.5,
        tolerance: PositiveFloat = 1e-2,
        max_updates: PositiveInt = 10_000,
        feature_weight: NonNegativeFloat = 1.0,
        label_weight: NonNegativeFloat = 1.0,
        diameter: PositiveFloat | None = None,
        label_epsilon: PositiveFloat = 0.1,
        label_points: PositiveInt | None = 2000,
        backend: Literal["torch", "flash"] = "torch",
    ) -> None:
        if schedule == []:
            raise ValueError("schedule = []: geomloss, converged or at least one eps")
        if not feature_weight and not label_weight:
            raise ValueError("feature_weight = 0, label_weight = 0: every cost would be 0")
        if backend == "flash" and schedule == "converged":
            raise ValueError("backend = flash: has no schedule=converged; use backend=torch")
        self.schedule, self.epsilon, self.scaling = schedule, epsilon, scaling
        self.tolerance, self.max_updates = tolerance, max_updates
        self.feature_weight, self.label_weight, self.diameter = feature_weight, label_weight, diameter
        self.label_epsilon, self.label_points, self.backend = label_epsilon, label_points, backend
        self.notice: str | None = None

    # ---- what differs

    def split(self, problem: Problem) -> tuple[list[Tensor], list[Tensor]]:
        """Places of the training batches and of the reference batches."""
        raise NotImplementedError

    def keep(self, unit: int, where: Tensor, gradients: Tensor, transport: Tensor) -> None:
        """Calibrated gradients [L, n] of a batch at `where`, and its costs [L] to the reference batches."""
        raise NotImplementedError

    def distances(self, unit: int, j: int) -> Tensor:
        """W [K, K], finite, for a training and a reference batch."""
        return self.all_distances()

    # ---- the protocol

    def begin(self, problem: Problem) -> int:
        """Batches, the list of eps and what the reference side needs; the number of training batches.

        Raises:
            ValueError: "scaling = ...", so near 1 that the list would not end.
        """
        if self.backend == "flash":
            flash.check(problem.x.device)
        self.problem, self._global = problem, None  # type: Problem, Tensor | None
        dtype = torch.float64 if self.schedule == "converged" else problem.x.dtype
        self.diameter_used = self.diameter or costs.diameter(problem.x, problem.reference_x)
        self.used = self._schedule()
        self.notice = None
        self.stretches, self.references = self.split(problem)
        self.centre = problem.reference_x.to(dtype).mean(0)
        self.lengths = torch.tensor([len(where) for where in self.references], device=problem.x.device)
        self.places = pad_sequence(self.references, batch_first=True)  # [L, m], filled up with point 0
        self.filler = torch.arange(self.places.shape[1], device=problem.x.device) >= self.lengths[:, None]
        self.log_b = (
            (-self.lengths.to(dtype).log())[:, None].expand(self.places.shape).masked_fill(self.filler, -math.inf)
        )
        self.right: Tensor | None = None
        return len(self.stretches)

    def advance(self, unit: int) -> None:
        """A training batch against all reference batches."""
        where = self.stretches[unit]
        f, transport = self._flash(unit, where) if self.backend == "flash" else self._solved(unit, where)
        self.keep(unit, where, calibrated(f), transport)

    # ---- parts

    def _schedule(self) -> Schedule:
        """The list of eps, and whether there is more to it."""
        if isinstance(self.schedule, list):
            return Schedule(tuple(self.schedule))
        if self.diameter_used > LARGEST:
            raise ValueError(f"diameter = {self.diameter_used:g}: at most {LARGEST:g}, whose square is a number still")
        count = (math.log(self.epsilon) - 2 * math.log(self.diameter_used)) / (2 * math.log(self.scaling))
        if count > MOST_UPDATES:
            raise ValueError(
                f"scaling = {self.scaling}: {count:,.0f} updates, at most {MOST_UPDATES:,}; choose a smaller one"
            )
        eps = annealed(self.diameter_used, self.epsilon, self.scaling)
        return Schedule(eps, self.tolerance if self.schedule == "converged" else None, self.max_updates)

    def measured(self, where: Tensor | slice = slice(None), others: Tensor | slice = slice(None)) -> Tensor:
        """W of some training and some reference points, NaN where a class has none on its side."""
        p = self.problem
        if not self.label_weight:
            return p.x.new_zeros(p.num_classes, p.num_classes)
        schedule = Schedule(annealed(self.diameter_used, self.label_epsilon))
        sides = p.x[where], p.y[where], p.reference_x[others], p.reference_y[others]
        return costs.label_distances(*sides, p.num_classes, schedule=schedule, limit=self.label_points, seed=p.seed)

    def all_distances(self) -> Tensor:
        """W of all points, computed once; what has no cloud is as far as the farthest, and no pair of points reads it."""
        if self._global is None:
            self._global = costs.filled(self.measured())
        return self._global

    def _right(self, unit: int) -> Tensor:
        """The reference batches' side of the costs, [L, m, r]."""
        p, dtype = self.problem, self.centre.dtype
        x = p.reference_x[self.places].to(dtype) - self.centre
        sides = [
            costs.reference_side(x[j], p.reference_y[places], self.distances(unit, j), *self._weights())
            for j, places in enumerate(self.places)
        ]
        return torch.stack(sides)

    def _weights(self) -> tuple[float, float]:
        return self.feature_weight, self.label_weight

    def _solved(self, unit: int, where: Tensor) -> tuple[Tensor, Tensor]:
        """Potentials f [L, n] of a training batch, and the costs [L]."""
        p = self.problem
        if self.right is None or not self.same_distances:
            self.right = self._right(unit)
        x = p.x[where].to(self.centre.dtype) - self.centre
        left = costs.training_side(x, p.y[where], p.num_classes, self.feature_weight)[None]
        log_a = self.log_b.new_full((1, len(where)), -math.log(len(where)))
        together = max(AT_ONCE // (len(where) * self.places.shape[1]), 1)
        found, transport = [], []
        for first in range(0, len(self.places), together):
            part = slice(first, first + together)
            of_pairs = costs.FeatureCosts(left, self.right[part], self.hold)
            solved = solve(of_pairs, log_a.expand(of_pairs.shape[0], -1), self.log_b[part], self.used)
            if not solved.settled:
                self.notice = (
                    f"method.tolerance = {self.tolerance}: not met after {solved.updates} updates (method.max_updates)"
                )
            found.append(solved.f)
            g = solved.g.masked_fill(self.filler[part], 0.0).sum(1) / self.lengths[part]
            transport.append(solved.f.mean(1) + g)
        return torch.cat(found), torch.cat(transport).double()

    def _flash(self, unit: int, where: Tensor) -> tuple[Tensor, Tensor]:
        """The same by flash-sinkhorn, one reference batch after another."""
        p, found = self.problem, []
        for j, places in enumerate(self.references):
            sides = p.x[where] - self.centre, p.y[where], p.reference_x[places] - self.centre, p.reference_y[places]
            found.append(flash.potentials(*sides, self.distances(unit, j), self.used.eps, *self._weights()))
        return torch.stack([f for f, _ in found]), torch.stack([f.mean() + g.mean() for f, g in found]).double()

    same_distances = True  # `distances` does not depend on the training batch

    def state_dict(self) -> dict[str, Any]:
        """What the batches so far have given."""
        return dict(self.found)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        device = self.problem.x.device
        self.found = {name: value.to(device) for name, value in state.items()}
