"""Multi-index models: the targets of Arnaboldi et al., 2024, arXiv 2405.15459, and of Dandi et al., 2024, arXiv 2402.03220."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from bench.tasks.feature_learning.hermite import hermite
from bench.tasks.feature_learning.index_models import IndexModel, Target, dimensions, gaussian_points
from bench.types import NonNegativeFloat, PositiveInt

Polynomial = dict[tuple[int, ...], float]
POLYNOMIALS: dict[str, Polynomial] = {
    "z1+z1z2": {(1, 0): 1.0, (1, 1): 1.0},
    "z1+he3_z2": {(1, 0): 1.0, (0, 3): 1.0},
    "z1+z1he3_z2": {(1, 0): 1.0, (1, 3): 1.0},
    "z1z2z3": {(1, 1, 1): 1.0},
}
OTHERS: dict[str, tuple[int, Callable[[Tensor], Tensor], float]] = {  # k, g and its variance
    "sign_z1z2": (2, lambda z: z.prod(-1).sign(), 1.0),
    "5sign_z1z2z3": (3, lambda z: 5 * z.prod(-1).sign(), 25.0),
    "he4_z1+5sign_z1z2z3": (3, lambda z: hermite(4, z[..., 0]) + 5 * z.prod(-1).sign(), 49.0),
    "he2_z1+5sign_z1z2z3": (3, lambda z: hermite(2, z[..., 0]) + 5 * z.prod(-1).sign(), 27.0),
    "tanh_z1+he3_z2": (2, lambda z: torch.tanh(z[..., 0] + hermite(3, z[..., 1])), 0.0),
}


def multi_index(
    *,
    d: PositiveInt | list[PositiveInt],
    target: Literal[
        "z1+z1z2",
        "z1+he3_z2",
        "z1+z1he3_z2",
        "z1z2z3",
        "sign_z1z2",
        "5sign_z1z2z3",
        "he4_z1+5sign_z1z2z3",
        "he2_z1+5sign_z1z2z3",
        "tanh_z1+he3_z2",
    ] = "z1+he3_z2",
    normalised: bool = False,
    noise: NonNegativeFloat = 0.0,
    rotated: bool = True,
) -> IndexModel:
    """y = g(<theta_1, x>, ..., <theta_k, x>) + noise, x ~ N(0, I_d), orthonormal random theta.

    Args:
        d: dimension, or several that advance side by side.
        target: g; he_k is the probabilists' He_k, sign_z1z2z3 the sign of the product, tanh_z1+he3_z2 is tanh(z1 + He_3(z2)).
        normalised: divide g by its standard deviation.
        noise: standard deviation of Gaussian label noise.
        rotated: False: theta are the first axes.
    """
    polynomial = POLYNOMIALS.get(target)
    if polynomial is not None:
        made = _polynomial(polynomial)
    else:
        k, value, variance = OTHERS[target]
        made = Target(k, value, variance or float(value(gaussian_points(k)).var()))
    dims = dimensions(d, made.k)
    if normalised:
        made = _scaled(made, 1 / math.sqrt(made.variance))
    return IndexModel(made, dims, noise, rotated)


def _polynomial(c: Polynomial) -> Target:
    def value(z: Tensor) -> Tensor:
        terms = [
            factor * math.prod(hermite(n, z[..., i]) for i, n in enumerate(powers)) for powers, factor in c.items()
        ]
        return sum(terms)

    variance = sum(factor**2 * math.prod(map(math.factorial, powers)) for powers, factor in c.items())
    return Target(len(next(iter(c))), value, variance, hermite=c)


def _scaled(target: Target, factor: float) -> Target:
    hermite_terms = None if target.hermite is None else {n: factor * c for n, c in target.hermite.items()}
    return Target(target.k, lambda z: factor * target.value(z), target.variance * factor**2, hermite=hermite_terms)
