"""How well a two-layer network fits a Gaussian index model: closed forms where they exist, a ridge second layer on fresh samples.

Shapes: C paths, N neurons, k directions, B samples, d dimension.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from bench.numerics import solve
from bench.tasks.feature_learning.index_models import Target
from bench.tasks.feature_learning.two_layer import Neurons
from bench.tasks.teacher_recovery.relu_population import directions, kernel

ORDERS = 40  # of relu's coefficients


@cache
def relu_coefficients(orders: int = ORDERS) -> list[float]:
    """E relu(z) He_k(z), k = 0, 1, ...: 1 / sqrt(2 pi), 1/2, then (-1)^(k/2 - 1) (k - 3)!! / sqrt(2 pi) for even k and 0 for odd k."""
    found = [1 / math.sqrt(2 * math.pi), 0.5]
    for k in range(2, orders):
        double_factorial = math.prod(range(k - 3, 0, -2))
        found.append(0.0 if k % 2 else (-1) ** (k // 2 - 1) * double_factorial / math.sqrt(2 * math.pi))
    return found


def relu_kernel(cosine: Tensor) -> Tensor:
    """E relu(u.x) relu(v.x) for unit u, v at this cosine t: k(t), and what it leaves out, the orders 0 and 1, 1 / (2 pi) + t / 4.

    Source: Cho and Saul, 2009, the arc-cosine kernel of order 1, halved.
    """
    return kernel(cosine) + 1 / (2 * math.pi) + cosine / 4


def population_loss(w: Tensor, theta: Tensor, neurons: Neurons, target: Target, noise: float) -> Tensor | None:
    """1/2 E (f - y)^2 [..., C] of relu networks without biases, for polynomial targets and relu links; None where there is no closed form.

    E relu(u.x) prod_i He_{n_i}(z_i) = E relu(z) He_k(z) prod_i <u, theta_i>^{n_i} for unit u and k = sum_i n_i.

    Args:
        w: rows [..., C, N, d]. theta: directions [C, k, d]. neurons: of the paths.
    """
    plain = neurons.b is None and neurons.link is None and neurons.powers is None
    if not plain or (target.hermite is None and target.relu is None):
        return None
    u, norms = directions(w)
    p = neurons.a[..., 0] * norms * neurons.scale  # [..., C, N]
    m = u @ theta.mT
    own = torch.einsum("...i,...ij,...j->...", p, relu_kernel(u @ u.mT), p)
    if target.relu is not None:
        factor, offset = target.relu
        cross = factor * relu_kernel(m[..., 0]) + offset * relu_coefficients()[0]
    else:
        cross = sum(
            c * relu_coefficients()[sum(n)] * math.prod(m[..., i] ** e for i, e in enumerate(n))
            for n, c in target.hermite.items()  # type: ignore[union-attr]
        )
    return (own - 2 * (p * cross).sum(-1) + _second_moment(target) + noise**2) / 2


def _second_moment(target: Target) -> float:
    """E g^2."""
    if target.hermite is not None:
        return sum(c**2 * math.prod(map(math.factorial, n)) for n, c in target.hermite.items())
    factor, offset = target.relu  # type: ignore[misc]
    return factor**2 / 2 + 2 * factor * offset * relu_coefficients()[0] + offset**2


def network_error(w: Tensor, neurons: Neurons, x: Tensor, y: Tensor) -> Tensor:
    """E (f - y)^2 [..., C] over samples x [C, B, d], y [C, B]."""
    return (neurons.output(w @ x.mT)[..., 0, :] - y).square().mean(-1)


def ridge_error(
    w: Tensor, neurons: Neurons, fit: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], penalties: Sequence[float]
) -> Tensor:
    """E (f - y)^2 [C] after the second phase: the neurons on the directions w, a second layer by ridge regression.

    The penalty is the one of the smallest error on the last fifth of the samples; then all of them are used.

    Args:
        w: rows [C, N, d], used at unit norm. neurons: with the new biases; their second layer is not used.
        fit, test: x [C, B, d] and y [C, B], fresh ones.
        penalties: lambda in (1/B) sum (f - y)^2 + lambda ||a||^2.
    """
    u = torch.nn.functional.normalize(w, dim=-1)
    phi, seen = (neurons.value(u @ x.mT).mT for x, _ in (fit, test))  # [C, B, N]
    y, wanted = fit[1][..., None], test[1][..., None]
    cut = phi.shape[1] * 4 // 5
    held_out = torch.stack(
        [
            (phi[:, cut:] @ _ridge(phi[:, :cut], y[:, :cut], penalty) - y[:, cut:]).square().mean((1, 2))
            for penalty in penalties
        ]
    )
    chosen = held_out.argmin(0)  # [C]
    a = torch.stack([_ridge(phi, y, penalty) for penalty in penalties])[chosen, torch.arange(len(w), device=w.device)]
    return (seen @ a - wanted).square().mean((1, 2))


def _ridge(phi: Tensor, y: Tensor, penalty: float) -> Tensor:
    eye = torch.eye(phi.shape[-1], dtype=phi.dtype, device=phi.device)
    return solve(phi.mT @ phi / phi.shape[-2] + penalty * eye, phi.mT @ y / phi.shape[-2])
