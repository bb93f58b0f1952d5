"""Bounded domains: what lies inside, where a path leaves it, and how it is mirrored there (Zheng et al., 2024, arXiv 2405.07839, Algorithm 1).

A step from x inside to y outside crosses the boundary at b. With the overshoot v = y - b and the outward unit normal n at b its mirror image is

    x' = b + v - 2 <v, n> n,

or b itself, where that is outside again (a corner, or an overshoot as large as the domain). Points have shape [..., d].
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

GRID, SECANTS = 32, 4  # of the search for a crossing
BOUNCES = 64  # of one path between flat faces; in a corner of angle a it meets at most pi / a of them
HAIR = 1e-10  # of a segment: so far before the boundary it ends


class Domain:
    """A bounded open set of R^d.

    Attributes:
        dim: d.
        low, high: a box that holds it, [d] each.
        diameter: the largest distance of two of its points.
        centre: a point inside, [d].
    """

    dim: int
    low: Tensor
    high: Tensor
    diameter: float
    centre: Tensor

    def inside(self, x: Tensor) -> Tensor:
        """Does x [..., d] belong to it? [...]; NaN does not."""
        raise NotImplementedError

    def boundary(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Where the segment from x inside to y outside first leaves it, and the outward unit normal there; [..., d] each."""
        raise NotImplementedError

    def reflect(self, x: Tensor, y: Tensor) -> Tensor:
        """y where it is inside, its mirror image or the boundary's point where it is not; x [..., d] is inside.

        What is NaN or infinite stays so: a chain that diverged is not hidden.
        """
        outside = ~self.inside(y)
        if y.is_cuda or torch.compiler.is_compiling():  # no waiting for the device, no shapes that depend on the data
            return torch.where((outside & y.isfinite().all(-1))[..., None], self._mirrored(x, y), y)
        left = outside.flatten().nonzero()[:, 0]
        if len(left) == 0:
            return y
        flat = y.reshape(-1, self.dim)
        there = flat.index_select(0, left)
        image = self._mirrored(x.reshape(-1, self.dim).index_select(0, left), there)
        return flat.index_copy(0, left, image + 0 * there).view_as(y)  # 0 times what is not finite is NaN

    def _mirrored(self, x: Tensor, y: Tensor) -> Tensor:
        b, n = self.boundary(x, y)
        image = mirror(y, b, n)
        there, here = self.inside(torch.stack([image, b]))[..., None]
        return torch.where(there, image, torch.where(here, b, x))  # rounding may put b outside

    def uniform(self, count: int, generator: torch.Generator) -> Tensor:
        """Independent uniform points [count, d], by rejection from the box."""
        found: list[Tensor] = []
        while sum(map(len, found)) < count:
            drawn = torch.rand(2 * count, self.dim, generator=generator, dtype=torch.float64)
            drawn = self.low + (self.high - self.low) * drawn
            found.append(drawn[self.inside(drawn)])
        return torch.cat(found)[:count]

    def to(self, device: torch.device | str) -> Domain:
        """With its tensors on a device."""
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(self, name, value.to(device))
        return self


def mirror(y: Tensor, b: Tensor, n: Tensor) -> Tensor:
    """b + v - 2 <v, n> n with v = y - b: the overshoot keeps its length."""
    v = y - b
    return b + v - 2 * (v * n).sum(-1, keepdim=True) * n


class Box(Domain):
    """low < x < high in each coordinate; a path is folded at the faces as often as it crosses them, so its mirror image is never outside."""

    def __init__(self, low: Tensor, high: Tensor) -> None:
        self.low, self.high, self.dim = low, high, len(low)
        self.centre = (low + high) / 2
        self.diameter = float((high - low).norm())

    def inside(self, x: Tensor) -> Tensor:
        return ((x > self.low) & (x < self.high)).all(-1)

    def boundary(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        step = y - x
        face = torch.where(step > 0, self.high, self.low)
        when = torch.where(step == 0, math.inf, (face - x) / step)
        first, axis = when.min(-1, keepdim=True)
        normal = torch.zeros_like(y).scatter(-1, axis, step.gather(-1, axis).sign())
        return x + (first - HAIR).clamp(0, 1) * step, normal

    def reflect(self, x: Tensor, y: Tensor) -> Tensor:
        side = self.high - self.low
        folded = (y - self.low).remainder(2 * side)
        folded = self.low + torch.minimum(folded, 2 * side - folded)
        image = torch.where((y > self.low) & (y < self.high), y, folded)
        return torch.where(
            self.inside(image)[..., None] | ~image.isfinite().all(-1, keepdim=True), image, x
        )  # rounding


class Ball(Domain):
    """|x - centre| < radius."""

    def __init__(self, centre: Tensor, radius: float) -> None:
        self.centre, self.radius, self.dim = centre, radius, len(centre)
        self.low, self.high = centre - radius, centre + radius
        self.diameter = 2 * radius

    def inside(self, x: Tensor) -> Tensor:
        return (x - self.centre).square().sum(-1) < self.radius**2

    def boundary(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        start, step = x - self.centre, y - x
        a, b = step.square().sum(-1, keepdim=True), (start * step).sum(-1, keepdim=True)
        c = (start.square().sum(-1, keepdim=True) - self.radius**2).clamp(max=0)
        s = (-b + (b * b - a * c).sqrt()) / a
        at = start + (s - HAIR).clamp(0, 1) * step
        return self.centre + at, at / at.norm(dim=-1, keepdim=True)


class HalfSpaces(Domain):
    """A x < c for m rows A [m, d], c [m]: a convex polyhedron, not necessarily bounded.

    A path is mirrored at the face that it meets first, its image again at the next one, until it ends inside: the map of (x, y - x) is that of
    a billiard, which preserves volume, so with isotropic normal steps the uniform law is invariant in the corners too.
    """

    def __init__(self, a: Tensor, c: Tensor, centre: Tensor) -> None:
        norms = a.norm(dim=1)
        self.a, self.c, self.centre, self.dim = a / norms[:, None], c / norms, centre, a.shape[1]
        self.low, self.high = torch.full_like(centre, -math.inf), torch.full_like(centre, math.inf)
        self.diameter = math.inf

    def inside(self, x: Tensor) -> Tensor:
        return (x @ self.a.mT < self.c).all(-1)

    def boundary(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        room, speed = self.c - x @ self.a.mT, (y - x) @ self.a.mT
        when = torch.where(speed > 0, room.clamp(min=0) / speed, math.inf)
        first, face = when.min(-1)
        return x + (first - HAIR).clamp(0, 1)[..., None] * (y - x), self.a[face]

    def _mirrored(self, x: Tensor, y: Tensor) -> Tensor:
        start = x
        for _ in range(BOUNCES):
            out = (~self.inside(y) & y.isfinite().all(-1))[..., None]  # what diverged would never end inside
            if (not y.is_cuda or torch.compiler.is_compiling()) and not out.any():  # not to be compiled: runs as it is
                break
            b, n = self.boundary(x, y)
            x, y = torch.where(out, b, x), torch.where(out, mirror(y, b, n), y)
        there, here = self.inside(torch.stack([y, x]))[..., None]
        return torch.where(there, y, torch.where(here, x, start))


class Polygon(Domain):
    """The inside of a closed polygon with vertices [n, 2] in order, convex or not, whose edges do not cross."""

    def __init__(self, vertices: Tensor) -> None:
        check_polygon(vertices)
        if _area(vertices) < 0:
            vertices = vertices.flip(0)  # counter-clockwise: the outward normal is to the right of an edge
        self.vertices, self.dim = vertices, 2
        self.edges = vertices.roll(-1, 0) - vertices
        self.normals = torch.stack([self.edges[:, 1], -self.edges[:, 0]], 1) / self.edges.norm(dim=1, keepdim=True)
        self.low, self.high = vertices.amin(0), vertices.amax(0)
        self.diameter = float(torch.cdist(vertices, vertices).max())
        self.centre = self._centre()

    def inside(self, x: Tensor) -> Tensor:
        """By the number of edges that a ray from x to the right crosses."""
        x0, x1 = x[..., 0, None], x[..., 1, None]
        below = self.vertices[:, 1] > x1
        straddles = below != (self.vertices.roll(-1, 0)[:, 1] > x1)
        at = self.vertices[:, 0] + (x1 - self.vertices[:, 1]) * self.edges[:, 0] / self.edges[:, 1]
        return (straddles & (x0 < at)).sum(-1) % 2 == 1

    def boundary(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """At the first edge that the segment meets on its way out."""
        step, gap = (y - x)[..., None, :], self.vertices - x[..., None, :]  # [..., 1, 2], [..., n, 2]
        across = _cross(step, self.edges)
        when, where = _cross(gap, self.edges) / across, _cross(gap, step) / across
        leaves = (step * self.normals).sum(-1) > 0
        slack = 1e-12
        met = leaves & (when >= -slack) & (when <= 1) & (where >= -slack) & (where <= 1 + slack)
        first, edge = torch.where(met, when, 1.0).min(-1)
        first, edge = first.clamp(min=0), torch.where(met.any(-1), edge, leaves.int().argmax(-1))
        return x + (first - HAIR).clamp(min=0)[..., None] * (y - x), self.normals[edge]

    def _centre(self) -> Tensor:
        """The centre of area, or where that is outside the point of a grid that is farthest from all edges."""
        following = self.vertices.roll(-1, 0)
        weights = _cross(self.vertices, following)[:, None]
        centre = ((self.vertices + following) * weights).sum(0) / (3 * weights.sum())
        if self.inside(centre):
            return centre
        steps = torch.linspace(0, 1, 101, dtype=self.low.dtype)
        grid = self.low + (self.high - self.low) * torch.cartesian_prod(steps, steps)
        grid = grid[self.inside(grid)]
        if len(grid) == 0:
            raise ValueError("domain: a polygon too thin for a point to be found inside")
        along = ((grid[:, None] - self.vertices) * self.edges).sum(-1) / self.edges.square().sum(-1)
        near = self.vertices + along.clamp(0, 1)[..., None] * self.edges
        return grid[(grid[:, None] - near).norm(dim=-1).amin(1).argmax()]

    def outline(self, points: int) -> Tensor:
        """The vertices, closed."""
        return torch.cat([self.vertices, self.vertices[:1]])


def check_polygon(vertices: Tensor) -> None:
    """At least three vertices of which no two in a row coincide, finite, edges that neither cross nor touch, and an area.

    Raises:
        ValueError: what is not so.
    """
    n = len(vertices)
    if vertices.dim() != 2 or vertices.shape[1] != 2 or n < 3:
        raise ValueError(f"domain: at least 3 vertices of 2 coordinates each, found shape {list(vertices.shape)}")
    if not vertices.isfinite().all():
        raise ValueError("domain: a vertex is NaN or infinite")
    edges = vertices.roll(-1, 0) - vertices
    if (edges == 0).all(1).any():
        raise ValueError("domain: two vertices in a row coincide; leave one out (the polygon closes by itself)")
    gap = vertices[None] - vertices[:, None]
    across = _cross(edges[:, None], edges[None])
    s, t = _cross(gap, edges[None]) / across, _cross(gap, edges[:, None]) / across
    apart = (torch.arange(n)[:, None] - torch.arange(n)).remainder(n)
    crossing = (across != 0) & (s >= 0) & (s <= 1) & (t >= 0) & (t <= 1) & (apart > 1) & (apart < n - 1)
    if crossing.any():
        first, second = (int(k) for k in crossing.nonzero()[0])
        raise ValueError(
            f"domain: edges {first} and {second} cross or touch; list the vertices in order along the boundary, each once"
        )
    if abs(_area(vertices)) < 1e-12 * float(edges.norm(dim=1).max()) ** 2:
        raise ValueError("domain: the vertices lie on a line")


def _cross(a: Tensor, b: Tensor) -> Tensor:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def _area(vertices: Tensor) -> float:
    return float(_cross(vertices, vertices.roll(-1, 0)).sum() / 2)


POINTS = torch.arange(GRID + 1, dtype=torch.float64)[:, None] / GRID  # 0, 1 / GRID, ..., 1


@cache
def _grid(dtype: torch.dtype, device: torch.device) -> Tensor:
    return POINTS.to(device, dtype)


def first_exit(level: Callable[[Tensor], Tensor], x: Tensor, y: Tensor) -> Tensor:
    """Where the segment from x to y first leaves {level < 0}, [..., d], a hair inside.

    The first of GRID equal parts with its end outside brackets the crossing, secants finish to rounding. A path that leaves and returns
    within one part goes unseen.
    """
    step, grid = y - x, POINTS.to(x) if torch.compiler.is_compiling() else _grid(x.dtype, x.device)
    values = level(torch.addcmul(x.unsqueeze(-2), grid, step.unsqueeze(-2)))  # [..., GRID + 1]
    high = torch.where(values[..., 1:-1] < 0, 1.0, grid[1:-1, 0]).amin(-1, keepdim=True)
    low = high - 1 / GRID
    before, after = low, high
    if torch.compiler.is_compiling():  # computing again takes less than looking up
        a, b = (level(torch.addcmul(x, s, step)).unsqueeze(-1) for s in (low, high))
    else:
        last = (high * GRID).long()
        a, b = values.gather(-1, last - 1), values.gather(-1, last)
    for _ in range(SECANTS):
        gap = b - a
        gap = torch.where(gap == 0, math.inf, gap)  # converged: stay
        s = torch.addcdiv(after, (after - before).mul_(b), gap, value=-1)
        before, a = after, b
        after, b = s, level(torch.addcmul(x, s, step)).unsqueeze(-1)
    return torch.addcmul(x, torch.clamp(after, low, high).sub_(HAIR).clamp_(min=0), step)
