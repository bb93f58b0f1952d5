"""Linear algebra of batches in which some matrices have no answer: NaN stands in their place, so that one of them ends none of the others."""

from __future__ import annotations

import torch
from torch import Tensor


def cholesky(matrix: Tensor) -> Tensor:
    """The lower factors [..., d, d]; NaN where a matrix is not positive definite to rounding, or not finite."""
    return _kept(*torch.linalg.cholesky_ex(matrix))


def solve(matrix: Tensor, right: Tensor) -> Tensor:
    """Solutions of matrix @ x = right, shapes as torch.linalg.solve; NaN where a matrix is singular."""
    return _kept(*torch.linalg.solve_ex(matrix, right))


def eigvalsh(matrix: Tensor) -> Tensor:
    """Eigenvalues of symmetric matrices [..., d], ascending; NaN where a matrix is not finite."""
    bad = ~torch.isfinite(matrix).all(-1).all(-1)
    if not bad.any():
        return torch.linalg.eigvalsh(matrix)
    found = torch.linalg.eigvalsh(torch.where(bad[..., None, None], 0.0, matrix))
    return torch.where(bad[..., None], torch.nan, found)


def _kept(found: Tensor, failed: Tensor) -> Tensor:
    if not failed.any():
        return found
    return torch.where((failed != 0).reshape(*failed.shape, *(1,) * (found.dim() - failed.dim())), torch.nan, found)
