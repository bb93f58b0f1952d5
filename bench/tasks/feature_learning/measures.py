"""What is measured of a network: overlaps with the directions, and the keys of the second phase.

Shapes: P paths, N neurons, k directions.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Measures:
    """What counts as recovery, and how the second phase is carried out: the task's keys of these names."""

    aligned_at: float
    threshold: float
    sustain: float
    ridge_samples: int
    ridge_penalties: list[float]
    ridge_bias: float
    test_samples: int


def summary(cosines: Tensor, aligned_at: float) -> dict[str, Tensor]:
    """Overlap metrics [..., P] of the cosines [..., P, N, k]."""
    size = cosines.norm(dim=-1)
    found = {
        "overlap_mean": size.mean(-1),
        "overlap_max": size.amax(-1),
        "aligned": (size >= aligned_at).to(size.dtype).mean(-1),
    }
    largest = cosines.abs().amax(-2)
    if largest.shape[-1] > 1:
        found |= {f"overlap_{i + 1}": largest[..., i] for i in range(largest.shape[-1])}
    return found
