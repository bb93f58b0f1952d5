"""The Frechet distance between two normal distributions that are fitted to features (Heusel et al., 2017; Dowson and Landau, 1982)."""

from __future__ import annotations

import torch
from torch import Tensor


def moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean [d] and covariance [d, d] (divided by N - 1) of features [N, d], float64.

    Raises:
        ValueError: fewer than two rows.
    """
    if len(features) < 2:
        raise ValueError(f"{len(features)} row of features; a covariance needs two")
    x = features.double()
    mean = x.mean(0)
    centred = x - mean
    return mean, centred.T @ centred / (len(x) - 1)


def frechet_distance(mean1: Tensor, cov1: Tensor, mean2: Tensor, cov2: Tensor) -> float:
    """|m1 - m2|^2 + tr C1 + tr C2 - 2 tr (C1 C2)^(1/2), the squared 2-Wasserstein distance of N(m1, C1) and N(m2, C2); float64.

    tr (C1 C2)^(1/2) is the sum of the singular values of C1^(1/2) C2^(1/2), whose factors come from eigenvalues, so that singular covariances (fewer
    rows than features) need no added diagonal. Equal arguments give exactly 0.

    Args:
        mean1, mean2: [d].
        cov1, cov2: [d, d], symmetric and positive semidefinite.
    """
    mean1, cov1, mean2, cov2 = (value.double() for value in (mean1, cov1, mean2, cov2))
    if torch.equal(mean1, mean2) and torch.equal(cov1, cov2):
        return 0.0
    shared = torch.linalg.svdvals(_root(cov1) @ _root(cov2)).sum()
    squared = (mean1 - mean2).square().sum() + cov1.trace() + cov2.trace() - 2 * shared
    return max(float(squared), 0.0)


def frechet_of(real: Tensor, fake: Tensor) -> float:
    """The distance between the fits to two sets of features [N, d] and [M, d]."""
    return frechet_distance(*moments(real), *moments(fake))


def _root(covariance: Tensor) -> Tensor:
    """The symmetric square root; eigenvalues that rounding made negative count as 0."""
    values, vectors = torch.linalg.eigh(covariance)
    return (vectors * values.clamp_min(0).sqrt()) @ vectors.T
