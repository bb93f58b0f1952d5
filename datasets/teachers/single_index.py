"""Single-index and multi-index models with Gaussian inputs."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from bench.tasks.feature_learning.hermite import (
    generative_exponent,
    hermite,
    information_exponent,
    label_power,
    monomials,
)
from bench.tasks.feature_learning.index_models import IndexModel, Target, dimensions
from bench.types import NonNegativeFloat, PositiveInt

COMBINATIONS = {  # of He_0, He_1, ...
    "he2+he3": [0.0, 0.0, 1.0, 1.0],
    "he2+he4": [0.0, 0.0, 1.0, 0.0, 1.0],
    "he3+he4": [0.0, 0.0, 0.0, 1.0, 1.0],
    "he3-0.15he5": [0.0, 0.0, 0.0, 1.0, 0.0, -0.15],
}
RELU_MEAN, RELU_VARIANCE = 1 / math.sqrt(2 * math.pi), 0.5 - 1 / (2 * math.pi)


def single_index(
    *,
    d: PositiveInt | list[PositiveInt],
    link: Literal[
        "he1",
        "he2",
        "he3",
        "he4",
        "he5",
        "he6",
        "he2+he3",
        "he2+he4",
        "he3+he4",
        "he3-0.15he5",
        "relu",
        "hermite",
        "polynomial",
    ] = "he3",
    coefficients: list[float] | None = None,
    normalised: bool = True,
    noise: NonNegativeFloat = 0.0,
    rotated: bool = True,
) -> IndexModel:
    """y = s(<theta, x>) + noise, x ~ N(0, I_d), theta a random unit vector.

    Args:
        d: dimension, or several that advance side by side.
        link: s: He_k (probabilists'), sums of them, relu, or a combination given by `coefficients`.
        coefficients: of He_0, He_1, ... for hermite, of 1, z, z^2, ... for polynomial.
        normalised: scale and shift s to mean 0 and variance 1.
        noise: standard deviation of Gaussian label noise.
        rotated: False: theta is the first axis.

    Raises:
        ValueError: coefficients missing, superfluous, or of a constant; d = 1; a dimension twice.
    """
    dims = dimensions(d, 1)
    if link in ("hermite", "polynomial") and not coefficients:
        raise ValueError(f"coefficients = {coefficients}: link '{link}' needs a list of them, constant first")
    if link not in ("hermite", "polynomial") and coefficients is not None:
        raise ValueError(f"coefficients = {coefficients}: only for link hermite or polynomial; '{link}' has none")
    target = _relu(normalised) if link == "relu" else _polynomial(_hermite_coefficients(link, coefficients), normalised)
    return IndexModel(target, dims, noise, rotated)


def _hermite_coefficients(link: str, coefficients: list[float] | None) -> list[float]:
    """s as a combination of He_0, He_1, ..."""
    if link == "hermite":
        return list(coefficients or [])
    if link == "polynomial":
        import numpy as np

        return [float(c) for c in np.polynomial.hermite_e.poly2herme(coefficients)]
    if link in COMBINATIONS:
        return COMBINATIONS[link]
    return [0.0] * int(link[2:]) + [1.0]


def _polynomial(c: list[float], normalised: bool) -> Target:
    variance = sum(math.factorial(k) * value**2 for k, value in enumerate(c) if k)
    if variance == 0:
        raise ValueError(f"coefficients = {c}: a constant has nothing to learn")
    if normalised:
        c, variance = [0.0, *(value / math.sqrt(variance) for value in c[1:])], 1.0
    powers = [0.0] * len(c)
    for k, value in enumerate(c):
        for power, factor in enumerate(monomials(k)):
            powers[power] += value * factor

    def link(z: Tensor) -> Tensor:
        total = torch.full_like(z, powers[-1])
        for power in reversed(powers[:-1]):
            total = total * z + power
        return total

    return Target(
        k=1,
        value=lambda z: link(z[..., 0]),
        variance=variance,
        slope=lambda z: sum(k * value * hermite(k - 1, z) for k, value in enumerate(c) if k and value),
        hermite={(k,): value for k, value in enumerate(c) if value},
        monomials=powers,
        information_exponent=information_exponent(link),
        generative_exponent=generative_exponent(link),
        label_power=label_power(link),
    )


def _relu(normalised: bool) -> Target:
    factor, offset, variance = 1.0, 0.0, RELU_VARIANCE
    if normalised:
        factor, variance = 1 / math.sqrt(RELU_VARIANCE), 1.0
        offset = -factor * RELU_MEAN
    return Target(
        k=1,
        value=lambda z: factor * torch.relu(z[..., 0]) + offset,
        variance=variance,
        slope=lambda z: factor * (z > 0).to(z.dtype),
        relu=(factor, offset),
        information_exponent=information_exponent(torch.relu),
        generative_exponent=generative_exponent(torch.relu),
    )
