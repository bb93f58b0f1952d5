"""Parameterisations of a one-dimensional Gaussian N(m, v): the coordinates in which a method descends. Torch alone; works under torch.func."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class ExpectationParameters:
    r"""omega = (E z, E z^2) = (m, m^2 + v): in these coordinates natural gradient descent is mirror descent (Wu and Gardner, 2024).

    The Hessian of -ELBO at (m, v), in the basis (1, 2 m), (0, 1), is [[1 / v, a], [a, b + 1 / (2 v^2)]] with a = E f''' / 2,
    b = E f'''' / 4 for the negative log-likelihood f; a Gaussian prior is linear in omega and adds nothing.
    """

    @staticmethod
    def parameters(m: Tensor, v: Tensor) -> Tensor:
        """omega [..., 2]."""
        return torch.stack([m, m.square() + v], -1)

    @staticmethod
    def moments(omega: Tensor) -> tuple[Tensor, Tensor]:
        """(m, v)."""
        return omega[..., 0], omega[..., 1] - omega[..., 0].square()

    @staticmethod
    def basis(m: Tensor, v: Tensor) -> Tensor:
        """Columns (1, 2 m) and (0, 1), [..., 2, 2]."""
        zero, one = torch.zeros_like(m), torch.ones_like(m)
        return torch.stack([torch.stack([one, zero], -1), torch.stack([2 * m, one], -1)], -2)

    @staticmethod
    def fisher(m: Tensor, v: Tensor) -> Tensor:
        """Fisher information in the basis, its diagonal [..., 2]: the Hessian of the negative entropy A*."""
        return torch.stack([1 / v, 1 / (2 * v.square())], -1)

    @staticmethod
    def hessian(m: Tensor, v: Tensor, derivatives: Sequence[Tensor], prior_precision: Tensor) -> Tensor:
        """The closed form in the basis, [..., 2, 2], from E f'', E f''', E f''''."""
        _, third, fourth = derivatives
        return _symmetric(1 / v, third / 2, fourth / 4 + 1 / (2 * v.square()))


class MeanScale:
    r"""(m, sigma), v = sigma^2, the coordinates of black-box VI: -ELBO is convex in them where f is convex.

    The Hessian is [[E f'' + p, sigma E f'''], [sigma E f''', E f'' + v E f'''' + p + 1 / v]], p the precision of the prior.
    """

    @staticmethod
    def parameters(m: Tensor, v: Tensor) -> Tensor:
        """(m, sigma) [..., 2]."""
        return torch.stack([m, v.sqrt()], -1)

    @staticmethod
    def moments(point: Tensor) -> tuple[Tensor, Tensor]:
        """(m, v)."""
        return point[..., 0], point[..., 1].square()

    @staticmethod
    def basis(m: Tensor, v: Tensor) -> Tensor:
        """The identity, [..., 2, 2]."""
        return torch.eye(2, dtype=m.dtype, device=m.device).expand(*m.shape, 2, 2)

    @staticmethod
    def fisher(m: Tensor, v: Tensor) -> Tensor:
        """Fisher information, its diagonal [..., 2]."""
        return torch.stack([1 / v, 2 / v], -1)

    @staticmethod
    def hessian(m: Tensor, v: Tensor, derivatives: Sequence[Tensor], prior_precision: Tensor) -> Tensor:
        """The closed form, [..., 2, 2], from E f'', E f''', E f''''."""
        second, third, fourth = derivatives
        return _symmetric(second + prior_precision, v.sqrt() * third, second + v * fourth + prior_precision + 1 / v)


def _symmetric(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    return torch.stack([torch.stack([a, b], -1), torch.stack([b, c], -1)], -2)
