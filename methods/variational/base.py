"""What a Gaussian variational method is: it turns estimates of a gradient and a Hessian into a next q. Torch alone.

Shapes: K settings of hyper-parameters, S seeds, d dimension; all advance in one batch. Hyper-parameters are floats, or tensors [K, 1].
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from bench.tasks.inference.gaussian import Gaussian
from bench.types import NonNegativeFloat, PositiveFloat


class GaussianMethod:
    r"""Base of the methods: q_t = N(m_t, S_t) is moved to decrease -ELBO(q) = E_q[-log p(y, z)] - entropy(q).

    With g = E_q grad and H = E_q Hess of -log p(y, z), or estimates of them, the derivatives of -ELBO are g by m and (H - S^-1) / 2 by S.
    The step size is rate_t = lr / (1 + decay t), t = 0, 1, ...: constant for decay = 0, and for lr = 1 it is 2/(t+2) with decay = 1/2
    and 1/(t+1) with decay = 1.

    Attributes:
        state: what the method keeps between steps, by name; enough to go on from.
    """

    lr: Tensor
    decay: Tensor

    def __init__(
        self, own: Mapping[str, float | Tensor] | None = None, *, lr: PositiveFloat, decay: NonNegativeFloat = 0.0
    ) -> None:
        """Hyper-parameters, `own` those of the subclass; `begin` makes an attribute of each."""
        self._values = {"lr": lr, "decay": decay, **(own or {})}
        self.state: dict[str, Tensor] = {}

    def begin(self, q: Gaussian) -> None:
        """Start from q, mean [K, S, d] and scale [K, S, d, d]."""
        for name, value in self._values.items():
            setattr(self, name, torch.as_tensor(value, dtype=q.mean.dtype, device=q.mean.device))
        self.state = self._initial(q)

    def rate(self, t: int) -> Tensor:
        """The step size of step t, one number or [K, 1]."""
        return self.lr / (1 + self.decay * t)

    @property
    def q(self) -> Gaussian:
        """The current q."""
        raise NotImplementedError

    def update(self, t: int, g: Tensor, hessian: Tensor) -> Tensor | None:
        """Step t with estimates g [K, S, d] and H [K, S, d, d] at the current q (K may be left out of H).

        Returns:
            Where the step would have lost positive-definiteness and was not taken, [K, S]; None: such steps do not exist.
        """
        raise NotImplementedError

    def _initial(self, q: Gaussian) -> dict[str, Tensor]:
        raise NotImplementedError


def per_vector(value: Tensor) -> Tensor:
    """A hyper-parameter, one number or [K, 1], to combine with vectors [K, S, d]."""
    return value[..., None]


def per_matrix(value: Tensor) -> Tensor:
    """A hyper-parameter, one number or [K, 1], to combine with matrices [K, S, d, d]."""
    return value[..., None, None]
