"""Stochastic gradient VI on the mean and a Cholesky factor of the covariance (black-box VI): proximal SGD, projected SGD, Adam.

q = N(m, C C^T), C lower triangular with a positive diagonal. -ELBO is convex in (m, C) where -log p(y, z) is convex in z (Challis and
Barber, 2013; Domke, 2020). Its gradients are g by m, tril(H C) by C for the energy, and -1 / C_ii by C_ii for the entropy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from bench.numerics import cholesky
from bench.tasks.inference.gaussian import Gaussian
from bench.types import Decay, PositiveFloat
from methods.variational.base import GaussianMethod, per_matrix, per_vector


class _CholeskyMethod(GaussianMethod):
    """State: m and C."""

    def _initial(self, q: Gaussian) -> dict[str, Tensor]:
        return {"mean": q.mean.clone(), "scale": cholesky(q.covariance)}

    @property
    def q(self) -> Gaussian:
        return Gaussian(self.state["mean"], self.state["scale"])

    def _energy_gradient(self, hessian: Tensor) -> Tensor:
        if hessian.dim() == 3:  # the same for all settings: one matrix product a seed
            return torch.einsum("sij,ksjl->ksil", hessian, self.state["scale"]).tril()
        return (hessian @ self.state["scale"]).tril_()


class ProximalSGD(_CholeskyMethod):
    r"""Proximal stochastic gradient descent: a gradient step on the energy, the exact proximal operator of the entropy.

    m <- m - lr g,    C <- prox(C - lr tril(H C)),    prox on the diagonal: c <- (c + sqrt(c^2 + 4 lr)) / 2

    Args:
        lr, decay: step size lr / (1 + decay t); of the order of one over the largest eigenvalue of H.
    References: Domke, 2020, Provable smoothness guarantees for black-box variational inference.
    """

    def update(self, t: int, g: Tensor, hessian: Tensor) -> None:
        rate = self.rate(t)
        self.state["mean"] = self.state["mean"] - per_vector(rate) * g
        scale = self.state["scale"] - per_matrix(rate) * self._energy_gradient(hessian)
        entropy_prox_(scale.diagonal(dim1=-2, dim2=-1), per_vector(rate))
        self.state["scale"] = scale


def entropy_prox_(diagonal: Tensor, rate: Tensor) -> Tensor:
    """argmin_x (x - c)^2 / (2 rate) - log x = (c + sqrt(c^2 + 4 rate)) / 2 for each entry c, in place."""
    return diagonal.add_((diagonal.square() + 4 * rate).sqrt_()).div_(2)


class ProjectedSGD(_CholeskyMethod):
    r"""Projected stochastic gradient descent: a gradient step on -ELBO, then the diagonal of C is cut from below.

    m <- m - lr g,    C <- C - lr (tril(H C) - diag(1 / C_ii)),    C_ii <- max(C_ii, floor)

    Args:
        lr, decay: step size lr / (1 + decay t).
        floor: smallest diagonal entry; on the set C_ii >= floor the entropy's gradient is bounded and smooth.
    References: Domke, 2020; Domke, Garrigos and Gower, 2023.
    """

    def __init__(self, *, floor: PositiveFloat = 1e-3, **shared: Any) -> None:
        super().__init__({"floor": floor}, **shared)

    def update(self, t: int, g: Tensor, hessian: Tensor) -> None:
        rate, scale = self.rate(t), self.state["scale"]
        gradient = minus_elbo_gradient(scale, self._energy_gradient(hessian))
        self.state["mean"] = self.state["mean"] - per_vector(rate) * g
        scale = scale - per_matrix(rate) * gradient
        scale.diagonal(dim1=-2, dim2=-1).clamp_(min=per_vector(self.floor))
        self.state["scale"] = scale


def minus_elbo_gradient(scale: Tensor, energy: Tensor) -> Tensor:
    """The gradient of -ELBO by C from that of the energy: the entropy's -1 / C_ii is added to `energy` in place."""
    energy.diagonal(dim1=-2, dim2=-1).sub_(scale.diagonal(dim1=-2, dim2=-1).reciprocal())
    return energy


class AdamVI(_CholeskyMethod):
    r"""Adam on (m, C) with the gradient of -ELBO; the diagonal of C is cut from below.

    Args:
        lr, decay: step size lr / (1 + decay t), in the units of m and C.
        beta1, beta2: decay of the first and second moments.
        eps: added to the root of the second moment.
        floor: smallest diagonal entry of C.
    References: Kingma and Ba, 2015. The usual choice in black-box VI packages.
    """

    def __init__(
        self,
        *,
        beta1: Decay = 0.9,
        beta2: Decay = 0.999,
        eps: PositiveFloat = 1e-8,
        floor: PositiveFloat = 1e-3,
        **shared: Any,
    ) -> None:
        for name, beta in (("beta1", beta1), ("beta2", beta2)):
            if (largest := float(torch.as_tensor(beta).max())) >= 1:
                raise ValueError(f"{name} = {largest}: below 1")
        super().__init__({"beta1": beta1, "beta2": beta2, "eps": eps, "floor": floor}, **shared)

    def _initial(self, q: Gaussian) -> dict[str, Tensor]:
        state = super()._initial(q)
        moments = {f"{k}_{name}": torch.zeros_like(v) for name, v in state.items() for k in ("first", "second")}
        return state | moments

    def update(self, t: int, g: Tensor, hessian: Tensor) -> None:
        gradient = minus_elbo_gradient(self.state["scale"], self._energy_gradient(hessian))
        self._adam("mean", t, g, per_vector)
        self._adam("scale", t, gradient, per_matrix)
        self.state["scale"].diagonal(dim1=-2, dim2=-1).clamp_(min=per_vector(self.floor))

    def _adam(self, name: str, t: int, gradient: Tensor, per: Callable[[Tensor], Tensor]) -> None:
        first, second = self.state[f"first_{name}"], self.state[f"second_{name}"]
        first.lerp_(gradient, per(1 - self.beta1))
        second.mul_(per(self.beta2)).addcmul_(gradient, gradient * per(1 - self.beta2))
        spread = (second / per(1 - self.beta2 ** (t + 1))).sqrt_().add_(per(self.eps))
        step = per(self.rate(t) / (1 - self.beta1 ** (t + 1))) * first
        self.state[name] = torch.addcdiv(self.state[name], step, spread, value=-1)
