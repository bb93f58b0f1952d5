"""When has a path found its directions? The samples at the start of a sustained stay above a threshold.

Shapes: G settings, P = seeds x replicates paths, N neurons, k directions, S steps.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor


class HittingTimes:
    """Of every setting and path of one dimension, looked for block by block.

    Args:
        shape: G, P.
        replicates: paths of a seed, side by side.
        threshold: of the mean overlap of the neurons.
        stay: samples for which it must stay there.

    Attributes:
        below: samples when the overlap was last below, [G, P].
        hit: the hitting time [G, P], infinite where there was none yet.
    """

    def __init__(
        self, shape: tuple[int, int], replicates: int, threshold: float, stay: float, device: torch.device
    ) -> None:
        self._replicates, self._threshold, self._stay = replicates, threshold, stay
        self.below = torch.zeros(shape, dtype=torch.float64, device=device)
        self.hit = torch.full(shape, math.inf, dtype=torch.float64, device=device)

    def watch(self, cosines: Tensor, before: int, size: int) -> None:
        """Look at the steps of a block.

        Args:
            cosines: after each step, [S, G, P, N, k]. before: samples seen when the block began. size: samples a step.
        """
        level = cosines.norm(dim=-1).mean(-1)
        seen = before + size * torch.arange(1, len(level) + 1, device=level.device, dtype=torch.float64)[:, None, None]
        above = level >= self._threshold
        below = torch.cat([self.below[None], torch.where(above, 0.0, seen)]).cummax(0).values[1:]
        stayed = above & (seen - below - size >= self._stay)
        self.hit = torch.minimum(self.hit, torch.where(stayed, below + size, math.inf).amin(0))
        self.below = below[-1]

    def of_seeds(self) -> Tensor:
        """Median over the replicates of each seed, the lower one of two; infinite where fewer than half have hit; [G, seeds]."""
        return self.hit.reshape(len(self.hit), -1, self._replicates).median(-1).values

    def decided(self, stop: Literal["never", "all", "any"]) -> bool:
        """Do the hitting times stand: of each seed by all settings, or by any of them (which is the best one's)?"""
        if stop == "never":
            return False
        found = torch.isfinite(self.of_seeds())
        return bool(found.all() if stop == "all" else found.any(0).all())
