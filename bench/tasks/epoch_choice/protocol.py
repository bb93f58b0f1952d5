"""What a "method" of the choice of an epoch is: a rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Method(Protocol):
    """Chooses after the last epoch."""

    def choose(self, validation: Sequence[float], test: Sequence[float]) -> int:
        """The place, from 0, of the epoch whose network is reported, by the accuracies on validation and on test images after each epoch."""
