"""What a "method" of the curvature task is: the coordinates in which one would descend. Its data are an `inference.bayes.BayesianModel`."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class Parameterisation(Protocol):
    """Coordinates [..., 2] of N(m, v), differentiable both ways."""

    def parameters(self, m: Tensor, v: Tensor) -> Tensor:
        """The coordinates of N(m, v)."""

    def moments(self, point: Tensor) -> tuple[Tensor, Tensor]:
        """(m, v) of coordinates."""

    def basis(self, m: Tensor, v: Tensor) -> Tensor:
        """Columns [..., 2, 2] of the basis in which `fisher` and `hessian` are given."""

    def fisher(self, m: Tensor, v: Tensor) -> Tensor:
        """The diagonal [..., 2] of the Fisher information."""

    def hessian(self, m: Tensor, v: Tensor, derivatives: list[Tensor], prior_precision: Tensor) -> Tensor:
        """The Hessian of -ELBO in closed form [..., 2, 2], from E f'', E f''', E f''''."""
