"""The constraints of the Lorenz system: every mirror brings steps back inside, and which of them leaves the uniform law invariant."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from datasets.energies.lorenz import Lorenz
from datasets.energies.lorenz_domain import MIRRORS, coefficients, parameters
from methods.sampling.langevin import SGLD


def holds(x: Tensor) -> Tensor:
    """The four constraints, written out."""
    xi = x.unflatten(-1, (5, 3))
    sigma, rho, beta = (xi[..., 1, 0] - xi[..., 0, 0]) / 2, xi[..., 0, 1], -xi[..., 2, 2]
    return (sigma > 0) & (beta > 0) & (rho > 1) & (sigma > beta + 1)


def crowd(count: int, seed: int) -> Tensor:
    """Points inside, many of them near the corner sigma = 1, beta = 0."""
    stream = torch.Generator().manual_seed(seed)
    x = coefficients(1.0, 1.5, 0.0) + torch.randn(4 * count, 15, generator=stream, dtype=torch.float64)
    return x[holds(x)][:count]


@pytest.mark.parametrize("mirror", MIRRORS)
@pytest.mark.parametrize("size", [0.1, 1.0, 20.0])
def test_mirrored_points_satisfy_every_constraint(mirror, size):
    domain, x = MIRRORS[mirror](), crowd(4000, 0)
    y = x + size * torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert torch.equal(domain.inside(y), holds(y))
    found = domain.reflect(x, y)
    assert holds(found).all()
    assert not holds(y).all()
    if mirror != "reset":
        assert torch.equal(found[holds(y)], y[holds(y)])
    if mirror == "normal":
        moved = ((found - y).abs() > 1e-6).any(0)
        assert moved.nonzero().flatten().tolist() == [0, 1, 3, 8], "only what the constraints speak of"


def test_an_image_at_one_face_is_orthogonal():
    """At rho = 1 all three agree; at sigma = beta + 1 the normal in 15 dimensions is (1/2, -1/2, 1) by Xi[1,0], Xi[0,0], Xi[2,2]."""
    x, low = coefficients(5.0, 2.0, 1.0), coefficients(5.0, 0.25, 1.0)
    for make in MIRRORS.values():
        torch.testing.assert_close(make().reflect(x, low), coefficients(5.0, 1.75, 1.0), atol=1e-9, rtol=0)
    x, y = coefficients(3.0, 28.0, 1.0), coefficients(1.4, 28.0, 1.0)  # 0.6 beyond the face by sigma
    normal = torch.zeros(15, dtype=torch.float64)
    normal[3], normal[0], normal[8] = 0.5, -0.5, 1.0
    image = y + 2 * 0.6 * normal / normal.square().sum()
    torch.testing.assert_close(MIRRORS["normal"]().reflect(x, y), image, atol=1e-9, rtol=0)
    released = MIRRORS["parameters"]().reflect(x, y)
    torch.testing.assert_close(released, coefficients(2.0, 28.0, 0.4), atol=1e-9, rtol=0)
    free = coefficients(1.4, 28.0, 1.0)
    free[5], free[0] = 0.3, free[0] + 0.5  # a coefficient of no parameter; a change of the sum Xi[0,0] + Xi[1,0]
    kept = MIRRORS["parameters"]().reflect(x, free)
    assert kept[5] == 0.3
    assert float(kept[0] + kept[3]) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("y", "expected"),
    [((-3.0, 28.0, 0.5), (3.0, 0.5)), ((0.2, 28.0, -0.1), (1.8, 0.1)), ((2.0, 28.0, 4.0), (5.0, 1.0))],
)
def test_the_released_mirror_by_hand(y, expected):
    found = MIRRORS["parameters"]().reflect(coefficients(3.0, 28.0, 1.0), coefficients(*y))
    sigma, _, beta = (float(row @ found) for row in parameters().values())
    assert (sigma, beta) == pytest.approx(expected)


def test_the_released_reset_leaves_three_free():
    domain, x = MIRRORS["reset"](), crowd(50, 2)
    for y in (x + 0.001, x - 1):
        found = domain.reflect(x, y)
        sigma, rho, beta = ((found @ row) for row in parameters().values())
        torch.testing.assert_close(found, coefficients(sigma, rho, beta))
    assert domain.reflect(x, x * torch.nan).isnan().any()


def corner_excess(mirror: str) -> float:
    """Uniform points take 40 steps of 0.1; then how many are near the corner sigma = 1, beta = 0, in standard errors beyond the uniform law's?

    In the plane of Xi[2,2] and (Xi[1,0] - Xi[0,0]) / sqrt(2), which both faces are perpendicular to.
    """
    stream = torch.Generator().manual_seed(3)
    corner, count, half, near = (
        coefficients(1.0, 28.0, 0.0),
        600_000,
        3.5,
        0.7,
    )  # paths are 0.63 long: 3.5 is far enough
    axes = torch.zeros(2, 15, dtype=torch.float64)
    axes[0, 3], axes[0, 0], axes[1, 8] = 0.5**0.5, -(0.5**0.5), 1.0
    x = corner + half * (2 * torch.rand(count, 2, generator=stream, dtype=torch.float64) - 1) @ axes
    x = x[holds(x)]
    domain = MIRRORS[mirror]()
    for _ in range(40):
        x = domain.reflect(x, x + 0.1 * torch.randn(len(x), 2, generator=stream, dtype=torch.float64) @ axes)
    grid = near * (2 * (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000 - 1)
    share = float(
        holds(corner + torch.cartesian_prod(grid, grid) @ axes).double().mean()
    )  # of the small square around the corner
    expected = count * share * (near / half) ** 2
    found = int((((x - corner) @ axes.mT).abs() < near).all(1).sum())
    return (found - expected) / expected**0.5


def test_which_mirror_leaves_the_uniform_law_invariant():
    assert abs(corner_excess("normal")) < 4
    assert abs(corner_excess("parameters")) > 8


def test_chains_have_the_law_of_the_exact_posterior_within_the_constraints():
    """A library whose Gram matrix is the identity: a law so wide that the faces cut it, and no slow direction."""
    target, stream = Lorenz(points=1000, block=8, batch_size=64), torch.Generator().manual_seed(4)
    target.whole = (torch.eye(5, dtype=torch.float64), coefficients(1.8, 1.6, 0.6).view(5, 3), target.whole[2])
    mean, covariance = target.posterior(0.25)
    torch.testing.assert_close(covariance, 0.25 * torch.eye(15, dtype=torch.float64))
    exact = mean + 0.5 * torch.randn(200_000, 15, generator=stream, dtype=torch.float64)
    exact = exact[holds(exact)]
    draw, rows = [part[None] for part in target.whole], torch.stack(list(parameters().values())).mT
    found = {}
    for mirror in ("normal", "parameters"):
        domain, method, kept = MIRRORS[mirror](), SGLD(lr=0.01, temperature=0.25, reflect=True), []
        x = exact[None, :2000]
        method.begin(x, domain, 500)
        for t in range(500):
            normal = torch.randn(x.shape, generator=stream, dtype=torch.float64)
            x = method.step(t, x, lambda x: target.noisy_gradient(x, *draw), target.energy, normal, normal)
            if t % 50 == 49:
                kept.append(x[0] @ rows)
        found[mirror] = torch.cat(kept)
    expected = exact @ rows
    torch.testing.assert_close(found["normal"].mean(0), expected.mean(0), atol=0.02, rtol=0)
    torch.testing.assert_close(found["normal"].std(0), expected.std(0), atol=0.02, rtol=0)
    assert float((found["parameters"].mean(0) - expected.mean(0)).abs().max()) > 0.05
