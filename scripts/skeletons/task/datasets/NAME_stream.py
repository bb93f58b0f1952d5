"""FILL IN: what the data are. Here: normal numbers around 3."""

from __future__ import annotations

import torch

from bench.seeding import generator
from bench.types import PositiveFloat


class NormalStream:
    """A stream of normal numbers with mean 3.

    Args:
        root: not used.
        seed: of the numbers.
        deviation: standard deviation of a number.
    """

    mean = 3.0

    def __init__(self, root: str, seed: int, *, deviation: PositiveFloat = 1.0) -> None:
        self.seed, self.deviation = seed, deviation

    def sample(self, step: int) -> float:
        """The number of this step."""
        drawn = torch.randn(1, generator=generator(self.seed, "data", step), dtype=torch.float64)
        return self.mean + self.deviation * drawn.item()
