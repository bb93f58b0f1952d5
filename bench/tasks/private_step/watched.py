"""A ledger and a schedule through which single steps of a method are looked at. Nothing that they hand out is private."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from bench.tasks.generation.diffusion import Network, Schedule
from bench.tasks.generation.ledger import Ledger


class WatchedLedger(Ledger):
    """A ledger whose batches can be chosen, and which keeps the last sums that noise was added to. It never runs out, and states no epsilon.

    Attributes:
        chosen: the batch of every step, indices [b]; None: a Poisson batch, as of any ledger.
        sums: clipped sums before noise, in the parameters' shapes.
    """

    def __init__(self, **terms: Any) -> None:
        super().__init__(**terms)
        self.chosen: Tensor | None = None
        self.sums: list[Tensor] = []

    @property
    def left(self) -> int:
        return 1

    def batch(self, step: int) -> Tensor:
        if self.chosen is not None:
            self._drawn[step] = self.chosen
        return super().batch(step)

    def noise(self, step: int, like: Sequence[Tensor], rows: Tensor | None = None) -> list[Tensor]:
        self.sums = [part.clone() for part in like]
        return super().noise(step, like, rows)


class Tied:
    """A schedule under which draws of time and noise can belong to an image: the same whatever else is in its batch, and at every step.

    Args:
        schedule: what is done with them.
        t: times [N, K] and noise [N, K, C, S, S] of each image.
    """

    def __init__(self, schedule: Schedule, t: Tensor, noise: Tensor) -> None:
        self.schedule, self.t, self.noise = schedule, t, noise
        self.alphas_bar = schedule.alphas_bar
        self.rows: Tensor | None = None

    def tie(self, rows: Tensor | None) -> None:
        """The batch of the next step, whose draws are its images' own; None: the draws are those of the method."""
        self.rows = rows

    def loss_per_example(self, denoiser: Network, x0: Tensor, y: Tensor | None, t: Tensor, noise: Tensor) -> Tensor:
        """As of the schedule. A method goes through its batch in order, part by part."""
        if self.rows is not None:
            own, self.rows = self.rows[: len(x0)], self.rows[len(x0) :]
            t, noise = self.t[own, : t.shape[1]], self.noise[own, : t.shape[1]]
        return self.schedule.loss_per_example(denoiser, x0, y, t, noise)


def flat(tensors: Sequence[Tensor]) -> Tensor:
    """All numbers in one vector, float64."""
    return torch.cat([one.detach().double().flatten() for one in tensors])
