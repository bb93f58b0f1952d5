"""FILL IN: the method. Here: the mean of what was seen."""

from __future__ import annotations

from bench.types import Fraction


class Mean:
    """An average with weights step^-power.

    Args:
        power: 1 is the plain mean; below it late samples count more.
    """

    def __init__(self, *, power: Fraction = 1.0) -> None:
        self.power = power

    def weight(self, step: int) -> float:
        """The weight of the sample of this step."""
        return step**-self.power
