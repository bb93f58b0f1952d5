"""What a method of NAME has, and what its data are."""

from __future__ import annotations

from typing import Protocol


class Method(Protocol):
    """FILL IN: what a method does; any class with these members is one."""

    def weight(self, step: int) -> float:
        """The weight of the sample of this step, in [0, 1]."""


class Stream(Protocol):
    """FILL IN: what the data are.

    Attributes:
        mean: what is to be found; methods are not shown it.
    """

    mean: float

    def sample(self, step: int) -> float:
        """The number of this step."""
