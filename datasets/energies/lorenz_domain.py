"""The constraints on a Lorenz system's coefficients, and three ways to bring a step back inside them.

Coefficients Xi [5, 3] of the library (x, y, z, xy, xz) are a point of R^15 in row order. The system's parameters are read off four of them:

    sigma = (Xi[1, 0] - Xi[0, 0]) / 2,     rho = Xi[0, 1],     beta = -Xi[2, 2],

and they must satisfy sigma > 0, beta > 0, rho > 1 and sigma > beta + 1 (the first follows from the others). See Zheng et al., 2024, arXiv 2405.07839,
section 4.1, for the experiment.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bench.tasks.sampling.domains import HalfSpaces

TERMS, STATES = 5, 3
DIM = TERMS * STATES
SIGMA, RHO, BETA = 10.0, 28.0, 8 / 3  # the true parameters


def coefficients(sigma: Tensor | float, rho: Tensor | float, beta: Tensor | float) -> Tensor:
    """The Lorenz system with these parameters, [..., 15]."""
    sigma, rho, beta = torch.broadcast_tensors(*(torch.as_tensor(v, dtype=torch.float64) for v in (sigma, rho, beta)))
    xi = torch.zeros(*sigma.shape, TERMS, STATES, dtype=torch.float64, device=sigma.device)
    xi[..., 0, 0], xi[..., 1, 0] = -sigma, sigma  # dx/dt = sigma (y - x)
    xi[..., 0, 1], xi[..., 1, 1], xi[..., 4, 1] = rho, -1.0, -1.0  # dy/dt = x (rho - z) - y
    xi[..., 2, 2], xi[..., 3, 2] = -beta, 1.0  # dz/dt = x y - beta z
    return xi.flatten(-2)


def parameters() -> dict[str, Tensor]:
    """Rows [15] that give sigma, rho and beta of a point."""
    rows = torch.zeros(3, TERMS, STATES, dtype=torch.float64)
    rows[0, 1, 0], rows[0, 0, 0] = 0.5, -0.5
    rows[1, 0, 1], rows[2, 2, 2] = 1.0, -1.0
    return dict(zip(("sigma", "rho", "beta"), rows.flatten(1)))


class Normal(HalfSpaces):
    """Steps are mirrored at the four faces as they lie in R^15, orthogonally: the noise is isotropic there, so the uniform law is invariant."""

    def __init__(self) -> None:
        sigma, rho, beta = parameters().values()
        rows = torch.stack([-sigma, -beta, -rho, beta - sigma])
        super().__init__(rows, rows.new_tensor([0.0, 0.0, -1.0, -1.0]), coefficients(SIGMA, RHO, BETA))


class InParameters(Normal):
    """Steps are mirrored as the released code does it, orthogonally in the space of (sigma, rho, beta), and the rest of the point is kept.

    |sigma| and |beta|; 2 - rho where rho < 1; 2 - sigma where that leaves sigma < 1; and (beta + 1, sigma - 1) for (sigma, beta) where
    sigma <= beta + 1. sigma being half a difference, noise moves it less than beta, so the last mirror is oblique in R^15: it pushes along
    the face towards larger sigma, and neither the uniform law nor exp(-U) restricted to the constraints is invariant.
    """

    def __init__(self) -> None:
        super().__init__()
        self.rows = torch.stack(list(parameters().values()))
        # the shortest change of a point that adds 1 to a parameter
        self.directions = self.rows / self.rows.square().sum(1, keepdim=True)

    def _mirrored(self, x: Tensor, y: Tensor) -> Tensor:
        found = y @ self.rows.mT
        return y + (self._allowed(found) - found) @ self.directions

    def _allowed(self, found: Tensor) -> Tensor:
        """The mirror image of parameters [..., 3]."""
        sigma, rho, beta = found.unbind(-1)
        sigma, beta, rho = sigma.abs(), beta.abs(), torch.where(rho < 1, 2 - rho, rho)
        sigma = torch.where(sigma < 1, 2 - sigma, sigma)
        across = sigma <= beta + 1
        return torch.stack([torch.where(across, beta + 1, sigma), rho, torch.where(across, sigma - 1, beta)], -1)


class Reset(InParameters):
    """As released, for the audit: mirrored as above, and after each step all else is put to the true system's values, so that three are free."""

    def reflect(self, x: Tensor, y: Tensor) -> Tensor:
        return coefficients(*self._allowed(y @ self.rows.mT).unbind(-1))


MIRRORS = {"normal": Normal, "parameters": InParameters, "reset": Reset}
