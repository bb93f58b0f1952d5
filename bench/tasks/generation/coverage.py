"""How much of one sample lies among another: precision and recall, density and coverage, by balls around points that reach to the k-th neighbour.

Balls are closed and distances Euclidean, in float64. References: Kynkaanniemi et al., 2019, arXiv 1904.06991, eq. 1-3; Naeem et al., 2020,
arXiv 2002.09797, eq. 2-5.
"""

from __future__ import annotations

import torch
from torch import Tensor

NEIGHBOURS = 5  # k of Naeem et al.
ROWS = 1024  # of a table of distances at a time


def precision_recall(real: Tensor, fake: Tensor, k: int = NEIGHBOURS) -> dict[str, float]:
    """`precision`: the share of fake points [M, d] inside the ball of some real point [N, d]; `recall`: the share of real points inside that of some
    fake one.

    Raises:
        ValueError: no more than k points on a side.
    """
    real, fake = real.double(), fake.double()
    within_real, within_fake = _inside(real, fake, k)[0], _inside(fake, real, k)[0]
    return {
        "precision": (within_real > 0).double().mean().item(),
        "recall": (within_fake > 0).double().mean().item(),
    }


def density_coverage(real: Tensor, fake: Tensor, k: int = NEIGHBOURS) -> dict[str, float]:
    """`density`: how many real balls a fake point lies in, divided by k, on average; `coverage`: the share of real balls with a fake point inside.

    Where both samples [N, d] and [M, d] are of one continuous distribution the density is 1 in expectation, and the coverage
    1 - prod_{j=1..k} (N - j) / (N + M - j), whatever the distribution (their Lemmas 1 and 2).

    Raises:
        ValueError: no more than k points on a side.
    """
    within, reached = _inside(real.double(), fake.double(), k)
    return {"density": (within.double().mean() / k).item(), "coverage": reached.double().mean().item()}


def _inside(centres: Tensor, points: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Balls of `centres` [N, d] to their k-th other centre: in how many of them each of `points` lies [M], and whether each ball has one inside [N]."""
    if len(centres) <= k:
        raise ValueError(f"{len(centres)} points; more than {k} are needed for the distance to the neighbour {k}")
    within = torch.zeros(len(points), dtype=torch.long, device=points.device)
    reached = []
    for some in centres.split(ROWS):
        radii = _distances(some, centres).topk(k + 1, largest=False).values[:, -1:]  # the nearest is itself
        hits = _distances(some, points) <= radii
        within += hits.sum(0)
        reached.append(hits.any(1))
    return within, torch.cat(reached)


def _distances(one: Tensor, other: Tensor) -> Tensor:
    """From differences, without the cancellation of a matrix product: a point is at distance 0 of its copy."""
    return torch.cdist(one, other, compute_mode="donot_use_mm_for_euclid_dist")
