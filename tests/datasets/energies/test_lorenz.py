"""The Lorenz posterior: its path against scipy, its sums against the data themselves, its law, and PySINDy's fits as a reference."""

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
from datasets.energies.lorenz_domain import coefficients, parameters
from methods.sampling.langevin import SGLD

# 126 blocks, the last one of 5 data; 16 minibatches, the last one of 6 blocks
SMALL = {"points": 1005, "block": 8, "batch_size": 64}


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
    order = torch.randperm(128, generator=generator(0, "order", 0, 0))[24:32]
    index = torch.cat([target.blocks[int(i)] for i in order])
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
        x = method.step(
            t, x, lambda x, t=t: target.noisy_gradient(x, *(p[t] for p in draws)), target.energy, normal, normal
        )
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
    [
        ({"points": 99}, "points = 99: at least 100"),
        ({"batch_size": 100}, "batch_size = 100: a multiple of block = 64"),
    ],
)
def test_bad_sizes_are_one_line(bad, said):
    node = {"_target_": "datasets.energies.lorenz.Lorenz", **bad}
    with pytest.raises(UserError, match=said):
        build("dataset", node)


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
