"""Natural gradient variational inference with a Gaussian (Wu and Gardner, 2024, arXiv 2406.01870), and two variants of its update."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.numerics import cholesky
from bench.tasks.inference.gaussian import Gaussian
from bench.types import NonNegativeFloat, PositiveFloat
from methods.variational.base import GaussianMethod, per_matrix, per_vector


class NGVI(GaussianMethod):
    r"""Stochastic natural gradient VI in the natural parameters eta = (S^-1 m, -S^-1 / 2).

    eta_{t+1} = eta_t - rate_t grad_omega (-ELBO)(omega_t),    omega = (m, S + m m^T) the expectation parameters

    With P = S^-1 and h = P m this is P <- (1 - rate) P + rate H and h <- (1 - rate) h + rate (H m - g): the state is (h, P), and the new
    mean uses the new P. It is mirror descent on omega with the divergence KL(q || q_t). For a conjugate model eta_{t+1} is the average
    (1 - rate) eta_t + rate eta_hat of the old one and the minibatch's exact answer. A step to a P that is not positive definite
    (possible where H is not) is not taken; one to a P that is not finite is, and ends in NaN.

    Args:
        lr: gamma_0, in (0, 1] for averages; lr = 1, decay = 1/2: gamma_t = 2/(t+2). lr = 1, decay = 1: the plain average, 1/(t+1).
        decay: gamma_t = lr / (1 + decay t).
        cap: largest gamma; gamma_0 = 1 forgets the start, which is too much for noisy Hessians of a non-conjugate model.
    References:
        Wu and Gardner, 2024. Khan and Rue, 2023, The Bayesian learning rule, for the update in (m, P).
    Known limits:
        The O(1/T) theorem needs a conjugate model; else -ELBO is not convex in omega.
    """

    def __init__(self, *, lr: PositiveFloat = 1.0, decay: NonNegativeFloat = 0.5, cap: PositiveFloat = 1.0) -> None:
        super().__init__({"cap": cap}, lr=lr, decay=decay)

    def rate(self, t: int) -> Tensor:
        return torch.minimum(super().rate(t), self.cap)

    def _initial(self, q: Gaussian) -> dict[str, Tensor]:
        precision = q.precision
        return {
            "precision": precision,
            "h": (precision @ q.mean[..., None])[..., 0],
            "mean": q.mean.clone(),
            "factor": cholesky(precision),
        }

    @property
    def q(self) -> Gaussian:
        return Gaussian.from_precision(self.state["mean"], self.state["factor"])

    def update(self, t: int, g: Tensor, hessian: Tensor) -> Tensor:
        gamma, mean = self.rate(t), self.state["mean"]
        precision, h = self._natural(per_vector(gamma), per_matrix(gamma), mean, g, hessian)
        precision = (precision + precision.mT) / 2
        factor, failure = torch.linalg.cholesky_ex(precision)
        overflown = ~torch.isfinite(precision).all(-1).all(-1)
        lost = (failure != 0) & ~overflown
        factor = factor.masked_fill(overflown[..., None, None], torch.nan)
        new = {"precision": precision, "h": h, "factor": factor}
        new["mean"] = torch.cholesky_solve(h[..., None], factor)[..., 0]
        for name, value in new.items():
            kept = lost.reshape(*lost.shape, *(1,) * (value.dim() - lost.dim()))
            self.state[name] = torch.where(kept, self.state[name], value)
        return lost

    def _natural(self, gamma: Tensor, wide: Tensor, mean: Tensor, g: Tensor, hessian: Tensor) -> tuple[Tensor, Tensor]:
        """The next P and h; `gamma` and `wide` multiply vectors and matrices."""
        precision = torch.lerp(self.state["precision"], hessian.expand_as(self.state["precision"]), wide)
        return precision, torch.lerp(self.state["h"], (hessian @ mean[..., None])[..., 0] - g, gamma)


class SafeNGVI(NGVI):
    r"""NGVI with a second-order term that keeps the precision positive definite whatever H is.

    P <- P - gamma G + (gamma^2 / 2) G S G = (P + (P - gamma G) S (P - gamma G)) / 2,    G = P - H;    m <- m - gamma S_{t+1} g

    Args: as NGVI.
    References: Lin, Schmidt and Khan, 2020, Handling the positive-definite constraint in the Bayesian learning rule. An extra.
    """

    def _natural(self, gamma: Tensor, wide: Tensor, mean: Tensor, g: Tensor, hessian: Tensor) -> tuple[Tensor, Tensor]:
        moved = torch.lerp(self.state["precision"], hessian.expand_as(self.state["precision"]), wide)
        half = torch.linalg.solve_triangular(self.state["factor"], moved, upper=False)
        precision = (self.state["precision"] + half.mT @ half) / 2
        return precision, (precision @ mean[..., None])[..., 0] - gamma * g


class SquareRootNGVI(GaussianMethod):
    r"""Natural gradient VI on a Cholesky factor C of the covariance, S = C C^T.

    C <- C - rho C trilhalf(C^T H C - I),    m <- m - rho C C^T g,    trilhalf: the lower triangle with its diagonal halved

    S is positive semi-definite by construction. The step is a first-order one in log C, so rho has to stay below about
    2 / lambda_max(C^T H C): from a wide start that asks for small first steps.

    Args:
        lr, decay: rho_t = lr / (1 + decay t).
    References: Kumar et al., 2025 (SR-VN), later than the paper. An extra.
    """

    def _initial(self, q: Gaussian) -> dict[str, Tensor]:
        return {"mean": q.mean.clone(), "scale": cholesky(q.covariance)}

    @property
    def q(self) -> Gaussian:
        return Gaussian(self.state["mean"], self.state["scale"])

    def update(self, t: int, g: Tensor, hessian: Tensor) -> None:
        rho, scale = self.rate(t), self.state["scale"]
        inner = scale.mT @ hessian @ scale
        inner.diagonal(dim1=-2, dim2=-1).sub_(1)
        half = inner.tril()
        half.diagonal(dim1=-2, dim2=-1).div_(2)
        step = (scale @ (scale.mT @ g[..., None]))[..., 0]
        self.state["mean"] = self.state["mean"] - per_vector(rho) * step
        self.state["scale"] = scale - per_matrix(rho) * (scale @ half)
