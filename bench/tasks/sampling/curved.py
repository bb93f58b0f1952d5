"""Domains with a curved boundary in the plane, and the shapes of the paper's figures by name (arXiv 2405.07839, section 4.2; released code)."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from bench.tasks.sampling.domains import Ball, Box, Domain, Polygon, first_exit

TINY = 1e-300  # keeps 0 / 0 from being NaN


class LevelSet(Domain):
    """{level < 0}, left where a search along the segment says, with a normal in closed form."""

    def level(self, x: Tensor) -> Tensor:
        """Negative inside and positive outside, [...] of points [..., d]."""
        raise NotImplementedError

    def normal(self, b: Tensor) -> Tensor:
        """The outward unit normal [..., d] at points b [..., d] of the boundary."""
        raise NotImplementedError

    def inside(self, x: Tensor) -> Tensor:
        return self.level(x) < 0

    def boundary(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        b = first_exit(self.level, x, y)
        return b, self.normal(b)


class Flower(LevelSet):
    """|x| < R(theta) with R = radius / 3.5 (3 + sin(petals theta)): star-shaped, with concave stretches between the petals.

    Args:
        released: with the normals of the released code, whose derivative of sin is sin.
    """

    def __init__(self, radius: float, petals: int = 5, released: bool = False) -> None:
        self.scale, self.petals, self.dim, self.released = radius / 3.5, petals, 2, released
        self.factors = np.polynomial.chebyshev.cheb2poly([0] * petals + [1])[petals % 2 :: 2].tolist()[::-1]
        self.tip = math.cos(math.pi / (2 * petals)), math.sin(math.pi / (2 * petals))
        self.high = torch.full((2,), 4 * self.scale, dtype=torch.float64)
        self.low, self.centre = -self.high, torch.zeros(2, dtype=torch.float64)
        self.right = torch.tensor([1.0, -1.0], dtype=torch.float64)
        rim = self.outline(2000)
        self.diameter = float(torch.cdist(rim, rim).max())

    def level(self, x: Tensor) -> Tensor:
        """|x| - R(theta): negative inside."""
        r, sine = self._polar(x, True)
        return r.sub_(sine, alpha=self.scale).sub_(3 * self.scale)

    def normal(self, b: Tensor) -> Tensor:
        """The gradient of the level, e_r - R'(theta) / r e_theta, made a unit vector."""
        r, slope = self._polar(b, self.released)
        turn = slope / r * (self.scale * self.petals)
        return (b + turn[..., None] * self.right * b.flip(-1)) / (r * (1 + turn * turn).sqrt())[..., None]

    def _polar(self, x: Tensor, sine: bool) -> tuple[Tensor, Tensor]:
        """|x| and the sine or cosine of petals theta, [...] each.

        Compiled without angles, which cost more there: cos(petals theta) is the Chebyshev polynomial of cos(theta), to about petals^2
        rounding errors; the sine is the same of the angle to the first petal's tip.
        """
        a, b = x.unbind(-1)
        if not torch.compiler.is_compiling():
            phase = torch.atan2(b, a).mul_(self.petals)
            return torch.hypot(a, b), phase.sin_() if sine else phase.cos_()
        r = (a * a + b * b + TINY).sqrt()
        u = (self.tip[0] * a + self.tip[1] * b if sine else a) / r
        square, value = u * u, self.factors[0]
        for factor in self.factors[1:]:
            value = value * square + factor
        return r, value * u if self.petals % 2 else value

    def outline(self, points: int) -> Tensor:
        """[points + 1, 2], closed."""
        t = torch.linspace(0, 2 * math.pi, points + 1, dtype=torch.float64)
        return (self.scale * (3 + (self.petals * t).sin()))[:, None] * torch.stack([t.cos(), t.sin()], 1)


class Heart(LevelSet):
    """Inside (16 sin^3 t, 13 cos t - 5 cos 2t - 2 cos 3t - cos 4t) times radius / 10.

    With w = 1 - |x / 16|^(2/3) = cos^2 t the two heights at x are E +- O, E = 4 - 2w - 8w^2 and O^2 = w (19 - 8w)^2, so a point at height y
    is inside where (y - E)^2 < O^2: exact, and smooth across the curve.
    """

    def __init__(self, radius: float) -> None:
        self.scale, self.dim = radius / 10, 2
        rim = self.outline(4000)
        self.low, self.high = rim.amin(0), rim.amax(0)
        self.centre = torch.zeros(2, dtype=torch.float64)
        self.diameter = float(torch.cdist(rim[::4], rim[::4]).max())

    def _parts(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """w, y - E and 19 - 8w of points [..., 2]."""
        u, v = x[..., 0] / self.scale, x[..., 1] / self.scale
        w = 1 - (u.abs() / 16).pow(2 / 3)
        return w, v - (4 - (2 + 8 * w) * w), 19 - 8 * w

    def level(self, x: Tensor) -> Tensor:
        """(y - E)^2 - O^2: negative inside."""
        w, gap, odd = self._parts(x)
        return gap**2 - w * odd**2

    def normal(self, b: Tensor) -> Tensor:
        """The gradient of the level, made a unit vector: horizontal next to the two cusps on the axis."""
        w, gap, odd = self._parts(b)
        by_w = gap * (4 + 32 * w) - odd**2 + 16 * w * odd
        u = b[..., 0] / self.scale
        root = (u.abs() / 16).pow(1 / 3)  # dw/du = -sign(u) / (24 root); both parts times root, which is 0 on the axis
        n = torch.stack([-u.sign() * by_w / 24, 2 * gap * root], -1)
        length = n.norm(dim=-1, keepdim=True)
        tip = torch.stack([torch.zeros_like(gap), gap.sign()], -1)
        return torch.where(length > 0, n / length, tip)

    def outline(self, points: int) -> Tensor:
        """[points + 1, 2], closed."""
        t = torch.linspace(0, 2 * math.pi, points + 1, dtype=torch.float64)
        height = 13 * t.cos() - 5 * (2 * t).cos() - 2 * (3 * t).cos() - (4 * t).cos()
        return self.scale * torch.stack([16 * t.sin() ** 3, height], 1)


def circle_points(turns: Tensor) -> Tensor:
    """(sin, cos) of 2 pi times the turns, [n, 2]."""
    return torch.stack([(2 * math.pi * turns).sin(), (2 * math.pi * turns).cos()], 1)


def octagon(radius: float) -> Polygon:
    """A regular octagon with a vertex above its centre."""
    return Polygon(radius * circle_points(torch.arange(8, dtype=torch.float64) / 8))


def cross(radius: float) -> Polygon:
    """A plus sign: half the width of an arm is sin(pi / 10), its length sin(2 pi / 5), times the radius."""
    w, a = math.sin(math.pi / 10), math.sin(2 * math.pi / 5)
    corners = [(w, a), (w, w), (a, w), (a, -w), (w, -w), (w, -a)]
    corners += [(-x, -y) for x, y in corners]
    return Polygon(radius * torch.tensor(corners, dtype=torch.float64))


def star(radius: float) -> Polygon:
    """Five points at turns 0.05 + i / 5, and between two of them 0.618 p_i + 0.382 p_{i+2}."""
    turns = 0.05 + torch.arange(5, dtype=torch.float64) / 5
    outer = torch.stack([(2 * math.pi * turns).cos(), (2 * math.pi * turns).sin()], 1)
    inner = 0.618 * outer + 0.382 * outer.roll(-2, 0)
    return Polygon(radius * torch.stack([outer, inner], 1).flatten(0, 1))


def square(radius: float) -> Box:
    """|x_i| < radius in the plane."""
    side = torch.full((2,), radius, dtype=torch.float64)
    return Box(-side, side)


def disc(radius: float) -> Ball:
    """|x| < radius in the plane."""
    return Ball(torch.zeros(2, dtype=torch.float64), radius)


SHAPES = {  # name: how it is made, and the radius in the paper's figures
    "flower": (Flower, 2.0),
    "heart": (Heart, 1.5),
    "octagon": (octagon, 2.0),
    "cross": (cross, 2.0),
    "star": (star, 2.5),
    "box": (square, 2.0),
    "ball": (disc, 2.0),
}
