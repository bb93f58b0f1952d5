"""The Lorenz posterior: its path against scipy, its sums against the data themselves, its mirrors, its law, and PySINDy's fits as a reference."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from bench.errors import UserError
from bench.run.build import build
from bench.seeding import generator
from datasets.energies.lorenz import DT, X0, Lorenz, field, half_mean_square, library, lorenz, measured, rk4
from datasets.energies.lorenz_domain import MIRRORS, coefficients, parameters
from methods.sampling.langevin import SGLD

SMALL = {"points": 1005, "block": 8, "batch_size": 64}  # 126 blocks, the last one of 5; 16 minibatches, the last one of 6 blocks


@cache
def small(**more) -> Lorenz:
    return Lorenz(**SMALL, **more)


def test_the_path_is_scipy_s():
    path = np.array(rk4(lorenz, X0, DT, 2000))
    exact = solve_ivp(lambda t, s: lorenz(s), (0, 2), X0, "DOP853", np.linspace(0, 2, 2001), rtol=1e-13, atol=1e-13).y.T
    assert np.abs(path - exact).max() < 5e-7


def test_the_integrator_has_order_four():
    exact = np.array(rk4(lorenz, X0, 5e-5, 8000)[-1])
    errors = [np.abs(np.array(rk4(lorenz, X0, 0.4 / n, n)[-1]) - exact).max() for n in (100, 200, 400)]
    orders = np.log2(np.divide(errors[:-1], errors[1:]))
    assert ((orders > 3.85) & (orders < 4.15)).all(), orders


def test_derivatives_are_those_of_the_path_and_of_the_true_coefficients():
    theta, slopes = measured(0, 1000, 0.0)
    states = theta[:, :3]
    along = (states[2:] - states[:-2]) / (2 * DT)
    torch.testing.assert_close(slopes[1:-1], along, atol=2e-2, rtol=0)  # third derivatives reach 1e5, times dt^2 / 6
    torch.testing.assert_close(theta @ coefficients(10.0, 28.0, 8 / 3).view(5, 3), slopes)
    torch.testing.assert_close(theta[:, 3:], states[:, :1] * states[:, 1:])
    torch.testing.assert_close(library(states), theta)
    assert field(coefficients(10.0, 28.0, 8 / 3))((1.0, 2.0, 3.0)) == pytest.approx(lorenz((1.0, 2.0, 3.0)), rel=1e-15)


def test_the_noise_is_standard_normal_and_the_instance_s():
    clean, noisy, other = (measured(i, 20_000, s)[1] for i, s in ((0, 0.0), (0, 1.0), (1, 1.0)))
    noise = noisy - clean
    assert noise.mean(0).abs().max() < 4 / 20_000**0.5
    torch.testing.assert_close(noise.var(0), torch.ones(3, dtype=torch.float64), atol=0.04, rtol=0)
    assert (noisy != other).all()


def batch(target: Lorenz, seed: int, step: int, replicate: int = 0) -> tuple[Tensor, float]:
    """Data of a step's minibatch, and by how much their sums are multiplied."""
    epoch, place = divmod(step, 16)
    order = torch.randperm(126, generator=generator(seed, "order", epoch, replicate))[8 * place : 8 * place + 8]
    return torch.cat([target.blocks[int(i)] for i in order]), 126 / (len(order) * 1005)


@pytest.mark.parametrize("step", [0, 15, 37])
def test_estimates_are_those_of_the_minibatch_s_own_data(step):
    target = small(energy="minibatch")
    draw = [part[0] for part in target.draws([5, 7], step, 1, 2, 2)]
    x = target.start() + torch.randn(2, 4, 15, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    gradients, energies = target.noisy_gradient(x, *draw), target.noisy_energy(x, *draw)
    root = small(energy="rmse").noisy_energy(x, *draw)
    for n, (seed, replicate) in enumerate([(5, 0), (5, 1), (7, 0), (7, 1)]):
        index, weight = batch(target, seed, step, replicate)
        for p in range(2):
            xi = x[p, n].clone().requires_grad_()
            residual = target.theta[index] @ xi.view(5, 3) - target.slopes[index]
            value = weight * residual.square().sum() / 2
            (gradient,) = torch.autograd.grad(value, xi)
            torch.testing.assert_close(gradients[p, n], gradient, rtol=1e-9, atol=1e-9)
            torch.testing.assert_close(energies[p, n], value.detach(), rtol=1e-9, atol=1e-9)
            torch.testing.assert_close(root[p, n], (weight * residual.detach().square().sum() / 3).sqrt())


def test_a_minibatch_of_whole_blocks_stands_for_its_own_mean():
    target = Lorenz(points=1024, block=8, batch_size=64)
    gram, _, square = (part[3, 0] for part in target.draws([0], 0, 4, 1, 1))
    index = torch.cat([target.blocks[int(i)] for i in torch.randperm(128, generator=generator(0, "order", 0, 0))[24:32]])
    assert len(index) == 64
    torch.testing.assert_close(gram, target.theta[index].mT @ target.theta[index] / 64)
    torch.testing.assert_close(square, target.slopes[index].square().sum() / 64)


def test_an_epoch_s_gradients_weighed_by_their_blocks_are_the_full_gradient():
    target = small()
    x = target.start().requires_grad_()
    residual = target.theta @ x.view(5, 3) - target.slopes
    value = residual.square().sum() / (2 * 1005)
    (full,) = torch.autograd.grad(value, x)
    at = x.detach().expand(1, 1, 15)
    for epoch in (0, 3):
        draws = target.draws([9], 16 * epoch, 16, 1, 1)
        steps = [target.noisy_gradient(at, *(part[t] for part in draws))[0, 0] for t in range(16)]
        weighed = sum(g * (8 if t < 15 else 6) / 126 for t, g in enumerate(steps))
        torch.testing.assert_close(weighed, full, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(target.energy(x.detach()), value.detach())
    assert sorted(torch.cat(target.blocks).tolist()) == list(range(1005))


@pytest.mark.parametrize("place", [0, 15])
def test_a_minibatch_is_unbiased_at_every_place_of_an_epoch(place):
    """The last one is smaller, and one block of all is."""
    target = small()
    at = target.start().expand(1, 2000, 15)
    draw = [part[0] for part in target.draws(range(2000), place, 1, 1, 1)]
    g = target.noisy_gradient(at, *draw)[0]
    whole = target.noisy_gradient(at[:, :1], *(part[None] for part in target.whole))[0, 0]
    z = (g.mean(0) - whole) / (g.std(0) / 2000**0.5)
    assert z.abs().max() < 4, z


def test_draws_are_a_function_of_their_arguments():
    target = small()
    long, part = target.draws([5, 7], 0, 60, 2, 2), target.draws([5, 7], 37, 20, 1, 2)
    for a, b in zip(long, part):
        assert torch.equal(a[37:57], b)
    for a, b in zip(long, target.draws([7], 0, 60, 2, 2)):
        assert torch.equal(a[:, 2:], b)
    for a, b in zip(long, target.draws([5], 0, 60, 2, 1)):
        assert torch.equal(a[:, :1], b)
    gram = long[0][:, :, 0, 0]
    assert all((gram[:, i] != gram[:, j]).all() for i in range(4) for j in range(i)), "every copy has its own shuffle"
    assert (gram[:16] != gram[16:32]).all(), "every epoch has its own shuffle"


def test_exchanges_see_what_the_key_says():
    assert small().energy_variance == 0.0
    assert small(energy="minibatch").energy_variance is None
    target, x = small(), small().start().expand(2, 1, 15)
    draw = [part[0] for part in target.draws([0], 0, 1, 2, 1)]
    assert torch.equal(target.noisy_energy(x, *draw), target.energy(x))
    assert (small(energy="minibatch").noisy_energy(x, *draw) != target.energy(x)).all()


# The constraints


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


@pytest.mark.parametrize(("y", "expected"), [((-3.0, 28.0, 0.5), (3.0, 0.5)), ((0.2, 28.0, -0.1), (1.8, 0.1)), ((2.0, 28.0, 4.0), (5.0, 1.0))])
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
    corner, count, half, near = coefficients(1.0, 28.0, 0.0), 600_000, 3.5, 0.7  # paths are 0.63 long: 3.5 is far enough
    axes = torch.zeros(2, 15, dtype=torch.float64)
    axes[0, 3], axes[0, 0], axes[1, 8] = 0.5**0.5, -(0.5**0.5), 1.0
    x = corner + half * (2 * torch.rand(count, 2, generator=stream, dtype=torch.float64) - 1) @ axes
    x = x[holds(x)]
    domain = MIRRORS[mirror]()
    for _ in range(40):
        x = domain.reflect(x, x + 0.1 * torch.randn(len(x), 2, generator=stream, dtype=torch.float64) @ axes)
    grid = near * (2 * (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000 - 1)
    share = float(holds(corner + torch.cartesian_prod(grid, grid) @ axes).double().mean())  # of the small square around the corner
    expected = count * share * (near / half) ** 2
    found = int((((x - corner) @ axes.mT).abs() < near).all(1).sum())
    return (found - expected) / expected**0.5


def test_which_mirror_leaves_the_uniform_law_invariant():
    assert abs(corner_excess("normal")) < 4
    assert abs(corner_excess("parameters")) > 8


# The law


def test_the_exact_law_is_that_of_the_normal_equations():
    target = small()
    mean, covariance = target.posterior(2.0)
    solution = np.linalg.lstsq(target.theta.numpy(), target.slopes.numpy(), rcond=None)[0]
    np.testing.assert_allclose(mean.view(5, 3), solution, rtol=1e-8, atol=1e-10)
    hessian = torch.autograd.functional.hessian(
        lambda x: half_mean_square(x, *target.whole), torch.zeros(15, dtype=torch.float64)
    )
    torch.testing.assert_close(covariance @ hessian / 2, torch.eye(15, dtype=torch.float64), atol=1e-8, rtol=0)
    assert float(target.coefficients.deviation[0]) == pytest.approx(float(covariance[0, 0] / 2) ** 0.5)


def test_chains_have_the_law_of_the_exact_posterior_within_the_constraints():
    """A library whose Gram matrix is the identity: a law so wide that the faces cut it, and no slow direction."""
    target, stream = Lorenz(**SMALL), torch.Generator().manual_seed(4)
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


def test_minibatches_leave_each_direction_the_law_of_its_recursion():
    """Mean and variance of (1 - lr lambda) y + sqrt(2 lr) z along eigenvectors of the Gram matrix, which at the fixed point are the exact law's."""
    target, lr, steps = Lorenz(points=4000, block=8, batch_size=2000), 1e-5, 400
    gram, cross, _ = target.whole
    values, vectors = torch.linalg.eigh(gram)
    mean = torch.linalg.solve(gram, cross)
    method, copies = SGLD(lr=lr, reflect=True), 2000
    x = coefficients(10.0, 28.0, 8 / 3).expand(copies // 4, 4, 15).clone()  # as chains of four seeds
    method.begin(x, target.domain, steps)
    stream = torch.Generator().manual_seed(5)
    draws = target.draws(range(4), 0, steps, 1, 1)
    for t in range(steps):
        normal = torch.randn(x.shape, generator=stream, dtype=torch.float64)
        x = method.step(t, x, lambda x, t=t: target.noisy_gradient(x, *(p[t] for p in draws)), target.energy, normal, normal)
    along = torch.einsum("nij,ik->nkj", x.flatten(0, 1).unflatten(-1, (5, 3)) - mean, vectors)  # [N, 5, 3]
    keep = 1 - lr * values
    variance = 2 * lr * (1 - keep ** (2 * steps)) / (1 - keep**2)
    centre = keep[:, None] ** steps * (vectors.mT @ (coefficients(10.0, 28.0, 8 / 3).view(5, 3) - mean))
    assert ((along.mean(0) - centre).abs() < 4.5 * (variance / copies).sqrt()[:, None]).all()
    torch.testing.assert_close(along.var(0), variance[:, None].expand(5, 3), rtol=0.15, atol=0)
    exact = 1 / values[-2:]  # the two directions that 400 steps suffice for, with the step's known inflation
    torch.testing.assert_close(variance[-2:], exact / (1 - lr * values[-2:] / 2), rtol=1e-6, atol=0)


def test_all_samplers_start_at_one_point_inside():
    x = small().start()
    sigma, rho, beta = (float(row @ x) for row in parameters().values())
    assert (sigma, rho, beta) == pytest.approx((2.0, 2.0, 1e-3))
    assert x.count_nonzero() == 4
    assert small().domain.inside(x)
    assert not small(start="zero").start().any()
    assert torch.equal(small(start="truth").start(), coefficients(10.0, 28.0, 8 / 3))


@pytest.mark.parametrize(
    ("bad", "said"),
    [({"points": 4}, "points = 4: at least 5"), ({"batch_size": 100}, "batch_size = 100: a multiple of block = 64")],
)
def test_bad_sizes_are_one_line(bad, said):
    node = {"_target_": "datasets.energies.lorenz.Lorenz", **bad}
    with pytest.raises(UserError, match=said):
        build("dataset", node)


# PySINDy


def test_pysindy_s_thresholded_least_squares_agree():
    pysindy = pytest.importorskip("pysindy", reason="pip install '.[dev]'")
    clean, noisy = Lorenz(points=4000, noise=0.0), Lorenz(points=4000)
    sparse = pysindy.STLSQ(threshold=0.1, alpha=0.0)
    found = sparse.fit(clean.theta.numpy(), clean.slopes.numpy()).coef_.T
    np.testing.assert_allclose(found, clean.posterior()[0].view(5, 3), atol=1e-9)
    np.testing.assert_allclose(found, coefficients(10.0, 28.0, 8 / 3).view(5, 3), atol=1e-9)
    dense = pysindy.STLSQ(threshold=0.0, alpha=0.0).fit(noisy.theta.numpy(), noisy.slopes.numpy()).coef_.T
    np.testing.assert_allclose(dense, noisy.posterior()[0].view(5, 3), atol=1e-8)


@pytest.mark.filterwarnings("ignore:Solution may be inaccurate")  # its solver's own tolerance
def test_pysindy_s_constrained_fit_agrees():
    """The constraints hold at the least-squares solution; features are brought to one scale for the solver's sake."""
    pytest.importorskip("cvxpy", reason="pip install cvxpy")
    pysindy = pytest.importorskip("pysindy", reason="pip install '.[dev]'")
    target = Lorenz(points=4000)
    theta, a = target.theta.numpy(), target.domain.a.numpy()
    scale = np.sqrt((theta**2).mean(0))
    fit = pysindy.ConstrainedSR3(
        reg_weight_lam=0.0,
        regularizer="l1",
        constraint_lhs=a / np.repeat(scale, 3),
        constraint_rhs=target.domain.c.numpy(),
        constraint_order="feature",
        inequality_constraints=True,
        tol=1e-8,
    )
    found = fit.fit(theta / scale, target.slopes.numpy()).coef_.T / scale[:, None]
    np.testing.assert_allclose(found, target.posterior()[0].view(5, 3), atol=2e-3)
