"""Multivariate normal distributions in batches: square roots of the covariance, Kullback-Leibler divergence. Float64, any leading dimensions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Gaussian:
    """N(mean, C C^T).

    Attributes:
        mean: m [..., d].
        scale: C [..., d, d], triangular with a diagonal that has no zero.
        upper: is C upper triangular (the inverse transpose of a Cholesky factor of the precision) rather than lower?
    """

    mean: Tensor
    scale: Tensor
    upper: bool = False

    @staticmethod
    def from_precision(mean: Tensor, factor: Tensor) -> Gaussian:
        """From the Cholesky factor L of the precision P = L L^T: C = L^-T."""
        identity = torch.eye(mean.shape[-1], dtype=mean.dtype, device=mean.device)
        return Gaussian(mean, torch.linalg.solve_triangular(factor, identity, upper=False).mT, upper=True)

    @property
    def covariance(self) -> Tensor:
        """S = C C^T, [..., d, d]."""
        return self.scale @ self.scale.mT

    @property
    def precision(self) -> Tensor:
        """S^-1, [..., d, d]."""
        inverse = self.whiten(torch.eye(self.mean.shape[-1], dtype=self.mean.dtype, device=self.mean.device))
        return inverse.mT @ inverse

    def whiten(self, columns: Tensor) -> Tensor:
        """C^-1 columns, for [..., d, k]."""
        return torch.linalg.solve_triangular(self.scale, columns, upper=self.upper)

    def whiten_transposed(self, vectors: Tensor) -> Tensor:
        """C^-T u for vectors u [..., d]: the gradient of -log q at m + C u."""
        return torch.linalg.solve_triangular(self.scale.mT, vectors[..., None], upper=not self.upper)[..., 0]

    def log_det(self) -> Tensor:
        """log det C, half of that of the covariance, [...]."""
        return self.scale.diagonal(dim1=-2, dim2=-1).abs().log().sum(-1)


def kl(q: Gaussian, p: Gaussian) -> Tensor:
    """KL(q || p), [...], in nats; leading dimensions broadcast. Rounding leaves about 1e-15 d, of either sign."""
    spread = p.whiten(q.scale).square().sum((-2, -1))
    distance = p.whiten((q.mean - p.mean)[..., None]).square().sum((-2, -1))
    return (spread + distance - q.mean.shape[-1]) / 2 + p.log_det() - q.log_det()
