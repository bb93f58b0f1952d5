"""Signs as votes: what sign(0) is, random signs whose mean is a number, and how a worker turns its estimate into one bit a coordinate.

Shapes: the last axis holds the coordinates of one tensor [..., d]; leading axes are anything (workers, seeds).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Ties = Literal["zero", "random", "plus"]  # what sign(0) and a vote without a majority are: 0, a fair coin, +1
Uniform = Callable[[], Tensor]  # numbers in [0, 1) of the shape of what is turned into signs; drawn when called
Largest = Callable[[Tensor], Tensor]  # of each worker's number, [..., 1], the largest over all workers


def sign(v: Tensor, ties: Ties, uniform: Uniform) -> Tensor:
    """Elementwise sign; at 0 it is 0 ("zero"), -1 or +1 with probability 1/2 each ("random"), or +1 ("plus")."""
    found = torch.sign(v)
    if ties == "zero":
        return found
    instead = torch.where(uniform() < 0.5, 1.0, -1.0).to(v) if ties == "random" else torch.ones_like(v)
    return torch.where(v == 0, instead, found)


def stochastic_sign(v: Tensor, radius: Tensor | float, uniform: Uniform) -> Tensor:
    """S_R(v): +1 with probability (1 + v / R) / 2, else -1, independently; E S_R(v) = v / R where |v| <= R, and beyond that v is clipped.

    E ||R S_R(v) - v||^2 = d R^2 - ||v||^2. Where R = 0, and so v = 0, it is a fair coin.

    Args:
        radius: R, a number or [..., 1].
    """
    r = torch.as_tensor(radius, dtype=v.dtype, device=v.device).clamp(min=torch.finfo(v.dtype).tiny)
    return torch.where(uniform() < 0.5 + v / (2 * r), 1.0, -1.0).to(v)


def ball(v: Tensor, radius: float) -> Tensor:
    """The nearest point of the Euclidean ball ||v||_2 <= radius."""
    return v * (radius / v.norm(dim=-1, keepdim=True)).clamp(max=1.0)


def box(v: Tensor, radius: float) -> Tensor:
    """The nearest point of the box ||v||_inf <= radius."""
    return v.clamp(-radius, radius)


@dataclass(frozen=True)
class Radius:
    """R of a tensor: a fixed number, or at each step the largest over all workers of the share `quantile` of |v|'s coordinates.

    quantile = 1 is max_j ||v_j||_inf, at which no coordinate is clipped; below 1 a coordinate beyond R is.
    """

    fixed: float | None = None
    quantile: float = 1.0

    def of(self, v: Tensor, largest: Largest) -> Tensor | float:
        """R, a number or [..., 1]; `largest` is asked for only where R is not fixed."""
        if self.fixed is not None:
            return self.fixed
        sizes = v.abs()
        exact = self.quantile == 1
        return largest(
            sizes.amax(-1, keepdim=True) if exact else torch.quantile(sizes, self.quantile, dim=-1, keepdim=True)
        )

    @property
    def floats(self) -> int:
        """Numbers a tensor that workers tell each other for it."""
        return int(self.fixed is None)


# ---- from an estimate to a message: `levels` values a coordinate, `floats` numbers a tensor up, `returned` numbers down


@dataclass(frozen=True)
class Signs:
    """sign(v)."""

    ties: Ties
    floats = returned = 0

    @property
    def levels(self) -> int:
        return 3 if self.ties == "zero" else 2

    def __call__(self, v: Tensor, largest: Largest, uniform: Uniform) -> Tensor:
        return sign(v, self.ties, uniform)


@dataclass(frozen=True)
class StochasticSigns:
    """S_R(v), with one R for all workers."""

    radius: Radius
    levels = 2

    @property
    def floats(self) -> int:
        return self.radius.floats

    @property
    def returned(self) -> int:
        return self.radius.floats

    def __call__(self, v: Tensor, largest: Largest, uniform: Uniform) -> Tensor:
        return stochastic_sign(v, self.radius.of(v, largest), uniform)


@dataclass(frozen=True)
class NormalisedSigns:
    """S_R(v) with R = ||v||_2 of each worker's own (SSDM): its mean is v / ||v||_2."""

    levels, floats, returned = 2, 0, 0

    def __call__(self, v: Tensor, largest: Largest, uniform: Uniform) -> Tensor:
        return stochastic_sign(v, v.norm(dim=-1, keepdim=True), uniform)


@dataclass(frozen=True)
class ScaledSigns:
    """Q(v) = R S_R(v) with R = ||v||_inf of each worker's own: E Q(v) = v, E ||Q(v) - v||^2 <= (d - 1) ||v||^2."""

    levels, floats, returned = 2, 1, 0

    def __call__(self, v: Tensor, largest: Largest, uniform: Uniform) -> Tensor:
        own = v.abs().amax(-1, keepdim=True)
        return own * stochastic_sign(v, own, uniform)
