"""Probabilists' Hermite polynomials He_k, Gauss-Hermite quadrature, and the exponents of a link function. Float64.

He_0 = 1, He_1 = z, He_{k+1} = z He_k - k He_{k-1};    E He_j(z) He_k(z) = k! [j = k] for z ~ N(0, 1).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from scipy.special import roots_hermitenorm
from torch import Tensor

Link = Callable[[Tensor], Tensor]
NODES = 400  # of the quadrature: exact for polynomials up to degree 799
TOLERANCE = 1e-4  # below it a coefficient of a link of unit variance is zero: above the quadrature's error for links with kinks or poles
POWERS = 12  # of a label that are tried
CANCELLED = 1e-9  # part of the sum of sizes below which a sum is zero up to rounding
FREQUENCIES = torch.linspace(0.1, 3.0, 30, dtype=torch.float64)


def hermite(k: int, z: Tensor) -> Tensor:
    """He_k(z), of the shape of z."""
    before, value = torch.zeros_like(z), torch.ones_like(z)
    for j in range(k):
        before, value = value, z * value - j * before
    return value


def monomials(k: int) -> list[float]:
    """The coefficients of He_k by powers of z, constant first."""
    return [float(c) for c in np.polynomial.hermite_e.herme2poly([0.0] * k + [1.0])]


@cache
def quadrature(nodes: int = NODES) -> tuple[Tensor, Tensor]:
    """Nodes and weights [nodes] with sum_i w_i f(z_i) = E f(z), z ~ N(0, 1)."""
    z, w = roots_hermitenorm(nodes)
    return torch.from_numpy(z), torch.from_numpy(w / w.sum())


def coefficient(link: Link, k: int) -> float:
    """E[link(z) He_k(z)]; the link's expansion is the sum of these times He_k / k!."""
    z, w = quadrature()
    return float((w * link(z) * hermite(k, z)).sum())


def moments(link: Link) -> tuple[float, float]:
    """Mean and standard deviation of link(z), by quadrature."""
    z, w = quadrature()
    mean = float((w * link(z)).sum())
    return mean, math.sqrt(float((w * (link(z) - mean).square()).sum()))


def information_exponent(link: Link, largest: int = 8) -> int | None:
    """The smallest k >= 1 with E[link(z) He_k(z)] != 0; None: none up to `largest`.

    Source: Ben Arous, Gheissari and Jagannath, 2021, arXiv 2003.10409.
    """
    scale = math.hypot(*moments(link)) or 1.0
    for k in range(1, largest + 1):
        if abs(coefficient(link, k)) > TOLERANCE * scale * math.sqrt(math.factorial(k)):
            return k
    return None


def generative_exponent(link: Link, largest: int = 8) -> int | None:
    """The smallest information exponent of T(link(z)) over square-integrable T; None: none up to `largest`.

    It is the smallest k with E[He_k(z) | link(z)] != 0, that is with E[exp(i omega link(z)) He_k(z)] != 0 for some omega. Of these a grid is
    tried, at labels of unit variance; exponents of label noise change none of it.
    Source: Damian, Pillaud-Vivien, Lee and Bruna, 2024, arXiv 2403.05529.
    """
    z, w = quadrature()
    mean, deviation = moments(link)
    if deviation == 0:
        return None
    angles = FREQUENCIES[:, None] * (link(z) - mean) / deviation
    for k in range(1, largest + 1):
        basis = w * hermite(k, z) / math.sqrt(math.factorial(k))
        if max(float((wave(angles) * basis).sum(-1).abs().max()) for wave in (torch.cos, torch.sin)) > TOLERANCE:
            return k
    return None


def label_power(link: Link) -> tuple[int, int] | None:
    """(i, k): the smallest power i for which g^i has an information exponent k of at most 2, or of 1 where g is not even.

    g is a polynomial and no constant, of a degree for which the quadrature of g^i is exact; None: no power up to `POWERS`.
    Source: Lee, Oko, Suzuki and Wu, 2024, arXiv 2406.01581, Proposition 6.
    """
    z, w = quadrature()
    value = link(z)
    odd = _nonzero(w * (value - link(-z)).abs(), w * value.abs())
    for i in range(1, POWERS + 1):
        for k in (1,) if odd else (1, 2):
            terms = w * value**i * hermite(k, z)
            if _nonzero(terms, terms.abs()):
                return i, k
    return None


def _nonzero(terms: Tensor, sizes: Tensor) -> bool:
    """Is the sum more than what rounding leaves of it?"""
    return bool(terms.sum().abs() > CANCELLED * sizes.sum())
