"""Domains: exact inside tests, boundary points and normals against independent geometry, and mirrors that leave the uniform law as it is."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from matplotlib.path import Path as Outline
from scipy import stats
from torch import Tensor

from bench.tasks.sampling.curved import SHAPES, Flower, Heart
from bench.tasks.sampling.domains import Ball, Box, HalfSpaces, Polygon, first_exit, mirror

DOUBLE = {"dtype": torch.float64}
PLANE = {name: make(radius) for name, (make, radius) in SHAPES.items()}
CURVED = [name for name in PLANE if name not in ("box", "ball")]
SPACE = {
    "box in 5-D": Box(-torch.ones(5, **DOUBLE), torch.arange(1.0, 6.0, **DOUBLE)),
    "ball in 4-D": Ball(torch.ones(4, **DOUBLE), 1.5),
    "wedge": HalfSpaces(
        torch.tensor([[1.0, 0], [-1, 2]], **DOUBLE), torch.tensor([1.0, 3], **DOUBLE), torch.zeros(2, **DOUBLE)
    ),
}
ALL = PLANE | SPACE


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def steps(name: str, count: int = 4000, size: float = 0.4):
    """Points inside, and where normal steps of them end."""
    domain, g = ALL[name], generator()
    x = (
        domain.uniform(count, g)
        if math.isfinite(domain.diameter)
        else torch.randn(count, 2, generator=g, **DOUBLE) * 0.3
    )
    x = x[domain.inside(x)]
    return domain, x, x + size * torch.randn(x.shape, generator=g, **DOUBLE)


@pytest.mark.parametrize("name", CURVED)
def test_inside_is_what_matplotlib_says_of_the_outline(name):
    domain = PLANE[name]
    outline = domain.outline(20_000).numpy()
    x = domain.low - 0.2 + (domain.high - domain.low + 0.4) * torch.rand(20_000, 2, generator=generator(), **DOUBLE)
    theirs = Outline(outline).contains_points(x.numpy())
    off = torch.from_numpy(np.flatnonzero(domain.inside(x).numpy() != theirs))
    near = torch.cdist(x[off], torch.from_numpy(outline)).amin(1) if len(off) else torch.zeros(1)
    assert len(off) < 10
    assert near.max() < 1e-3, "but for points on the line itself"


@pytest.mark.parametrize("name", ALL)
def test_a_mirrored_point_is_never_outside(name):
    for size in (0.05, 0.4, 5.0):
        domain, x, y = steps(name, size=size)
        image = domain.reflect(x, y)
        assert domain.inside(image).all()
        assert torch.equal(image[domain.inside(y)], y[domain.inside(y)]), "what is inside stays"


@pytest.mark.parametrize("name", [n for n in ALL if "box" not in n])
def test_the_boundary_point_lies_on_the_segment_and_on_the_boundary(name):
    domain, x, y = steps(name)
    out = ~domain.inside(y)
    x, y = x[out], y[out]
    b, n = domain.boundary(x, y)
    along = ((b - x) * (y - x)).sum(1) / (y - x).square().sum(1)
    assert (x + along[:, None] * (y - x) - b).norm(dim=1).max() < 1e-9
    assert ((along >= 0) & (along <= 1)).all()
    assert (n.norm(dim=1) - 1).abs().max() < 1e-12
    assert domain.inside(b - 1e-7 * n).float().mean() > 0.998, "but next to corners"
    assert (~domain.inside(b + 1e-7 * n)).float().mean() > 0.998
    assert ((y - x) * n).sum(1).min() > -1e-9, "it leaves outwards"


@pytest.mark.parametrize("name", [n for n in ALL if "box" not in n])
def test_the_overshoot_keeps_its_length_and_its_tangent(name):
    domain, x, y = steps(name)
    out = ~domain.inside(y)
    x, y = x[out], y[out]
    b, n = domain.boundary(x, y)
    image, over = mirror(y, b, n) - b, y - b
    assert (image.norm(dim=1) - over.norm(dim=1)).abs().max() < 1e-12
    assert ((image * n).sum(1) + (over * n).sum(1)).abs().max() < 1e-12, "the normal part turns round"
    tangent = over - (over * n).sum(1, keepdim=True) * n
    assert (image - (image * n).sum(1, keepdim=True) * n - tangent).abs().max() < 1e-12
    moved, expected = domain.reflect(x, y), mirror(y, b, n)
    kept = domain.inside(expected)
    assert (moved - expected)[kept].abs().max() < 1e-12
    assert kept.float().mean() > 0.8, "else at the boundary point"
    assert torch.equal(moved[~kept], torch.where(domain.inside(b)[:, None], b, x)[~kept])


def test_a_box_folds_as_often_as_needed():
    domain = Box(torch.zeros(1, **DOUBLE), torch.ones(1, **DOUBLE))
    x = torch.full((5, 1), 0.5, **DOUBLE)
    y = torch.tensor([[1.25], [-0.25], [2.25], [3.75], [0.75]], **DOUBLE)
    assert domain.reflect(x, y)[:, 0].tolist() == [0.75, 0.25, 0.25, 0.25, 0.75]


def test_normals_by_hand():
    flower = Flower(2.0)
    tip = (
        torch.tensor([[math.cos(math.pi / 10), math.sin(math.pi / 10)]], **DOUBLE) * 16 / 7
    )  # sin 5 theta = 1: R is largest
    assert (flower.normal(tip) - tip / tip.norm()).abs().max() < 1e-12
    for theta in (0.3, 2.0, 4.0):  # against the outline's own tangent, by differences
        around = torch.tensor([theta - 1e-6, theta, theta + 1e-6], **DOUBLE)
        radius = 2 / 3.5 * (3 + (5 * around).sin())
        points = radius[:, None] * torch.stack([around.cos(), around.sin()], 1)
        tangent = points[2] - points[0]
        normal = torch.stack([tangent[1], -tangent[0]]) / tangent.norm()
        assert (flower.normal(points[1:2]) - normal).abs().max() < 1e-6
    heart = Heart(1.5)
    rim = heart.outline(1000)
    tangent = rim[2:] - rim[:-2]
    normal = torch.stack([-tangent[:, 1], tangent[:, 0]], 1) / tangent.norm(
        dim=1, keepdim=True
    )  # the curve runs clockwise
    smooth = torch.arange(1, 1000)[(rim[1:-1, 0].abs() > 0.05)] - 1
    assert (heart.normal(rim[1:-1][smooth]) - normal[smooth]).abs().max() < 1e-3
    assert PLANE["star"].normals.norm(dim=1).sub(1).abs().max() < 1e-12


@pytest.mark.parametrize("petals", [2, 3, 5, 8])
@pytest.mark.parametrize("released", [False, True])
def test_a_flower_without_angles_is_the_one_with_them(petals, released, monkeypatch):
    """|x| - R(theta) and its gradient by atan2, also at the centre, on the axes and far outside: what a compiled run computes."""
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    flower = Flower(2.0, petals, released)
    x = 3 * torch.randn(2000, 2, generator=generator(), **DOUBLE)
    x[:4] = torch.tensor([[1, 0], [0, -1], [-2, 0], [1e100, -1e100]], **DOUBLE)
    r, theta = x.norm(dim=1), torch.atan2(x[:, 1], x[:, 0])
    level = r - 2 / 3.5 * (3 + (petals * theta).sin())
    assert ((flower.level(x) - level).abs() <= 1e-12 * (1 + r)).all()
    assert float(flower.level(torch.zeros(2, **DOUBLE))) == pytest.approx(-6 / 3.5, abs=0.6), "the centre is inside"
    assert flower.inside(torch.zeros(2, **DOUBLE))
    x, r, theta = x[4:], r[4:, None], theta[4:]
    slope = 2 / 3.5 * petals * ((petals * theta).sin() if released else (petals * theta).cos())[:, None] / r
    gradient = x / r - slope * torch.stack([-theta.sin(), theta.cos()], 1)
    assert (flower.normal(x) - gradient / gradient.norm(dim=1, keepdim=True)).abs().max() < 1e-11


def test_shapes_have_the_released_sizes():
    radii = PLANE["flower"].outline(3600).norm(dim=1)
    assert (float(radii.min()), float(radii.max())) == pytest.approx((8 / 7, 16 / 7), abs=1e-5)
    assert len(PLANE["octagon"].vertices) == 8
    assert PLANE["octagon"].diameter == pytest.approx(4)
    cross = PLANE["cross"].vertices.abs()
    assert len(cross) == 12
    assert (float(cross.min()), float(cross.max())) == pytest.approx((2 * 0.309, 2 * 0.951), abs=1e-3)
    radii = PLANE["star"].vertices.norm(dim=1)
    assert sorted(radii.tolist())[4:6] == pytest.approx([2.5 * 0.382, 2.5], abs=1e-3), "inner and outer points"
    height = max(
        13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t) for t in np.linspace(0, 1, 9999)
    )
    assert PLANE["heart"].high.tolist() == pytest.approx([2.4, 0.15 * height], abs=1e-4)


@pytest.mark.parametrize("name", [*PLANE, "box in 5-D", "ball in 4-D"])
def test_reflected_brownian_motion_leaves_the_uniform_law_as_it_is(name):
    """200 steps from uniform points: chi-square over cells, Kolmogorov-Smirnov of each coordinate against fresh uniform points."""
    domain = ALL[name]
    x = domain.uniform(8_000, generator(1))
    g = generator(2)
    for _ in range(200):
        x = domain.reflect(x, x + 0.03 * torch.randn(x.shape, generator=g, **DOUBLE))
    fresh = domain.uniform(20_000, generator(3))
    for i in range(domain.dim):
        assert stats.ks_2samp(x[:, i], fresh[:, i]).pvalue > 1e-3
    edges = [np.quantile(fresh[:, i], [0.25, 0.5, 0.75]) for i in range(2)]
    counts = [
        np.bincount(4 * np.searchsorted(edges[0], p[:, 0]) + np.searchsorted(edges[1], p[:, 1]), minlength=16)
        for p in (x.numpy(), fresh.numpy())
    ]
    filled = counts[1] > 20
    assert stats.chi2_contingency([c[filled] for c in counts]).pvalue > 1e-3


def test_the_test_above_can_fail():
    """Points that are put onto the boundary instead of mirrored pile up there."""
    domain = PLANE["flower"]
    x, g = domain.uniform(8_000, generator(1)), generator(2)
    for _ in range(60):
        y = x + 0.15 * torch.randn(x.shape, generator=g, **DOUBLE)
        out = ~domain.inside(y)
        y[out] = domain.boundary(x[out], y[out])[0]
        x = y
    fresh = domain.uniform(20_000, generator(3))
    assert stats.ks_2samp(domain.level(x), domain.level(fresh)).pvalue < 1e-6


def test_what_diverged_is_not_hidden():
    for domain in PLANE.values():
        x = domain.centre.expand(3, -1)
        y = torch.tensor([[math.nan, 0], [math.inf, 0], [0, 0.1]], **DOUBLE)
        image = domain.reflect(x, y)
        assert image.isfinite().all(1).tolist() == [False, False, True]


@pytest.mark.parametrize("lost", [math.nan, math.inf, -math.inf])
def test_what_diverged_does_not_keep_the_others_bouncing(lost):
    """A path that is mirrored twice in the corner of a quadrant, beside chains that diverged: two bounces, and its end by hand."""
    quadrant, met = HalfSpaces(torch.eye(2, **DOUBLE), torch.ones(2, **DOUBLE), torch.zeros(2, **DOUBLE)), []
    boundary = quadrant.boundary

    def counted(x, y):
        met.append(len(y))
        return boundary(x, y)

    quadrant.boundary = counted
    x = torch.zeros(3, 2, **DOUBLE)
    image = quadrant.reflect(x, torch.tensor([[lost, 0], [1.5, 1.2], [lost, lost]], **DOUBLE))
    assert len(met) == 2
    assert image[1].tolist() == pytest.approx([0.5, 0.8])
    assert image.isfinite().all(1).tolist() == [False, True, False]


def test_a_path_that_leaves_and_returns_is_mirrored_where_it_first_leaves():
    """From one petal's side to beyond the next petal: the first crossing counts."""
    cross = PLANE["cross"]
    x, y = torch.tensor([[0.5, 1.0]], **DOUBLE), torch.tensor([[2.5, 0.3]], **DOUBLE)
    b, n = cross.boundary(x, y)
    assert b[0, 0].item() == pytest.approx(2 * math.sin(math.pi / 10), abs=1e-8)
    assert n.tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize(
    ("vertices", "said"),
    [
        ([[0, 0], [1, 1], [1, 0], [0, 1]], "edges 0 and 2 cross"),
        ([[0, 0], [1, 1], [2, 2], [3, 0], [1, 1], [0, 2]], "cross or touch"),
        ([[0, 0], [4, 0], [4, 4], [2, 0], [0, 4]], "cross or touch"),
        ([[0, 0], [3, 0], [2, 0], [0, 2]], "cross or touch"),
        ([[0, 0], [1, 1]], "at least 3 vertices"),
        ([[0, 0], [1, 1], [2, 2]], "on a line"),
        ([[0, 0], [0, 0], [2, 2], [0, 1]], "coincide"),
        ([[0, 0], [1, math.nan], [2, 2]], "NaN"),
    ],
)
def test_no_polygon(vertices, said):
    with pytest.raises(ValueError, match=said):
        Polygon(torch.tensor(vertices, **DOUBLE))


def test_a_polygon_is_the_same_in_either_order():
    square = torch.tensor([[0, 0], [2, 0], [2, 1], [0, 1]], **DOUBLE)
    for vertices in (square, square.flip(0)):
        domain = Polygon(vertices)
        image = domain.reflect(torch.tensor([[1, 0.5]], **DOUBLE), torch.tensor([[2.25, 0.75]], **DOUBLE))
        assert image.tolist() == [pytest.approx([1.75, 0.75])]
        assert domain.centre.tolist() == pytest.approx([1, 0.5])


def test_the_centre_of_a_polygon_is_inside_of_it():
    horseshoe = torch.tensor([[0, 0], [4, 0], [4, 3], [3, 3], [3, 1], [1, 1], [1, 3], [0, 3]], **DOUBLE)
    domain = Polygon(horseshoe)
    assert domain.inside(domain.centre), "its centre of area is not"


def test_a_search_that_has_converged_stays_where_it_is():
    """Two secants at the same level leave the crossing as it is: no step is divided by nothing."""

    def level(p: Tensor) -> Tensor:  # two values only, as levels have where rounding ends the search
        return torch.where(p[..., 0] < 0.31, -1.0, 1.0).to(p)

    x, y = torch.zeros(1, 2, dtype=torch.float64), torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    found = first_exit(level, x, y)
    assert found.isfinite().all()
    assert 0.31 - 1 / 32 < float(found[0, 0]) < 0.31
