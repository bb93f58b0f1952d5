"""Private sets of which the sizes alone are known."""

from __future__ import annotations

from bench.tasks.private_budget.shape import PrivateShape
from bench.types import NonNegativeInt, PositiveInt


def private_shape(
    *, examples: PositiveInt, channels: PositiveInt, size: PositiveInt, classes: NonNegativeInt
) -> PrivateShape:
    """`examples` private examples of shape (channels, size, size) as the denoiser sees them, with `classes` classes of it (0: unconditional)."""
    return PrivateShape(examples, channels, size, classes)
