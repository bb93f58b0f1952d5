"""Closed forms of two-layer ReLU networks on Gaussian inputs against quadrature, Monte Carlo with a real network, and differences."""

from __future__ import annotations

import math

import pytest
import torch

from bench.seeding import generator
from bench.tasks.teacher_recovery.recovery import certificates, measures, subspace_share
from bench.tasks.teacher_recovery.relu_population import (
    Teachers,
    atoms,
    certificate,
    correlation,
    directions,
    gradients,
    kernel,
    kernel_slope,
    loss,
    small_penalty_constant,
)

F64 = torch.float64


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=generator(seed, "data"), dtype=F64)


def some(seeds: int = 2, m: int = 5, r: int = 3, d: int = 4) -> tuple[torch.Tensor, torch.Tensor, Teachers]:
    """A student a [1, S, m], w [1, S, m, d] and a teacher, drawn."""
    units = directions(normal(seeds, r, d, seed=1))[0]
    return (
        normal(1, seeds, m),
        normal(1, seeds, m, d, seed=2),
        Teachers(units, torch.tensor([[1.0, -1.0, 2.0]], dtype=F64)),
    )


def published_teacher() -> Teachers:
    """The rows, to four digits, of a calibration run made elsewhere; signs +, -, +; ten dimensions."""
    rows = [[0.9826, -0.0375, 0.1819], [0.0372, 0.9911, 0.1281], [0.4228, 0.3071, 0.8526]]
    units = torch.nn.functional.pad(directions(torch.tensor([rows], dtype=F64))[0], (0, 7))
    return Teachers(units, torch.tensor([[1.0, -1.0, 1.0]], dtype=F64))


@pytest.mark.parametrize("angle", [0.0, 0.3, 1.2, math.pi / 2, 2.5, math.pi])
def test_the_kernel_is_the_integral_over_the_plane(angle):
    """In polar coordinates of the plane of u and v: E rho = sqrt(pi / 2), E rho^2 = 2, and the trapezoidal rule over the angle."""
    phi = torch.arange(2**16, dtype=F64) * (2 * math.pi / 2**16)
    one, other = phi.cos().abs() / 2, (phi - angle).cos().abs() / 2
    c = 1 / math.sqrt(2 * math.pi)
    expected = 2 * (one * other).mean() - c * math.sqrt(math.pi / 2) * (one + other).mean() + c * c
    t = torch.tensor(math.cos(angle), dtype=F64)
    assert kernel(t).item() == pytest.approx(expected.item(), abs=1e-9)
    if 0 < angle < math.pi:
        numeric = (kernel(t + 1e-6) - kernel(t - 1e-6)) / 2e-6
        assert kernel_slope(t).item() == pytest.approx(numeric.item(), abs=1e-8)


def test_the_kernel_at_one():
    assert kernel(torch.ones((), dtype=F64)).item() == pytest.approx(0.25 - 1 / (2 * math.pi), abs=1e-12)
    assert kernel(torch.zeros((), dtype=F64)).item() == 0


def real_residual(a, w, teachers, x) -> torch.Tensor:
    """Student minus teacher on x [n, d] of the first seed, as ReLU networks, less mean and linear part; by their least-squares fit."""
    student = (x @ w[0, 0].mT).relu() @ a[0, 0]
    teacher = (x @ teachers.units[0].mT).relu() @ teachers.weights[0]
    linear = torch.cat([torch.ones(len(x), 1, dtype=F64), x], 1)
    difference = student - teacher
    return difference - linear @ torch.linalg.lstsq(linear, difference[:, None]).solution[:, 0]


def test_the_loss_is_that_of_real_networks_without_mean_and_linear_part():
    a, w, teachers = some()
    squares = real_residual(a, w, teachers, normal(200_000, 4, seed=3)).square() / 2
    error = (squares.std() / len(squares) ** 0.5).item()
    assert error < 0.01 * loss(a, w, teachers)[0, 0]
    assert squares.mean().item() == pytest.approx(loss(a, w, teachers)[0, 0].item(), abs=4 * error)


@pytest.mark.parametrize("seed", [4, 5])
def test_gradients_are_the_losses_differences(seed):
    a, w, teachers = some()
    by_a, by_w = gradients(a, w, teachers)
    da, dw, h = normal(*a.shape, seed=seed), normal(*w.shape, seed=seed + 2), 1e-6
    numeric = (loss(a + h * da, w + h * dw, teachers) - loss(a - h * da, w - h * dw, teachers)) / (2 * h)
    torch.testing.assert_close((by_a * da).sum(-1) + (by_w * dw).sum((-2, -1)), numeric, rtol=1e-7, atol=1e-9)


def test_gradients_at_the_teacher_vanish_up_to_rounding():
    """A student's atom on a teacher's: arcsin and the root have infinite slopes there, their sum has none."""
    teachers = published_teacher()
    a, w = teachers.weights[None], teachers.units[None] * 1.0
    assert loss(a, w, teachers).abs().max() < 1e-15
    assert max(g.abs().max() for g in gradients(a, -w, teachers)) < 1e-14


def test_the_correlation_is_the_kernel_sum_and_its_gradient_is_homogeneous():
    a, w, teachers = some()
    z, mass = atoms(a, w, teachers)
    u = directions(normal(1, 2, 7, 4, seed=8))[0]
    s, slope = correlation(u, z, mass)
    torch.testing.assert_close(s, (kernel(u @ z.mT) @ mass[..., None])[..., 0], rtol=1e-10, atol=1e-14)
    torch.testing.assert_close((slope * u).sum(-1), s, rtol=1e-10, atol=1e-14)


def test_the_small_penalty_constant_of_a_known_teacher():
    assert small_penalty_constant(published_teacher()).item() == pytest.approx(26.62, abs=0.01)


def test_the_gram_matrix_behind_the_constant_against_monte_carlo():
    """For one teacher M = I / 4 - v v^T / (2 pi) and v^T M^-1 v / 2 = 1 / (2 k(1)); for two, grad_w s sampled."""
    one = Teachers(directions(normal(1, 1, 3))[0], torch.ones(1, 1, dtype=F64))
    assert small_penalty_constant(one).item() == pytest.approx(0.5 / (0.25 - 1 / (2 * math.pi)), rel=1e-12)
    units = directions(normal(1, 2, 3, seed=3))[0]
    two = Teachers(units, torch.tensor([[1.0, -1.0]], dtype=F64))
    x = normal(400_000, 3, seed=4)
    slopes = torch.cat([(x @ v).sign()[:, None] * x / 2 - v / math.sqrt(2 * math.pi) for v in units[0]], 1)
    c = torch.cat([units[0, 0], -units[0, 1]])
    found = c @ torch.linalg.solve(slopes.mT @ slopes / len(x), c) / 2
    assert small_penalty_constant(two).item() == pytest.approx(found.item(), rel=0.02)


def test_the_search_finds_the_certificate_s_maximum():
    a, w, teachers = some(d=3)
    lam = torch.tensor([[0.01, 0.1]], dtype=F64)
    found = certificates(a, w, teachers, lam, [0, 1])
    sphere = directions(normal(20_000, 3, seed=6))[0].expand(1, 2, -1, -1)
    everywhere = certificate(sphere, *atoms(a, w, teachers), lam).abs().amax(-1)
    assert (found["max_certificate"] >= everywhere * (1 - 1e-6)).all()
    assert (found["max_certificate"] <= everywhere * 1.01).all()


def test_measures_of_students_made_by_hand():
    teachers = published_teacher()
    a, w = teachers.weights.sign()[None], teachers.units[None].clone()
    w[..., 1, :] *= -1  # the opposite direction is the same
    found = measures(a, w, teachers)
    assert found["loss"].abs().item() < 1e-15
    expected = {
        "total_mass": 3,
        "far_mass": 0,
        "weighted_cosine": 1,
        "recovery_error": 0,
        "recovered_share": 1,
        "balance": 0,
    }
    for name, value in expected.items():
        assert found[name].item() == pytest.approx(value, abs=1e-12), name
    w[..., 2, :] = torch.eye(10, dtype=F64)[9] * 2  # one student astray, of mass 2
    found = measures(a, w, teachers)
    assert found["far_mass"].item() == pytest.approx(0.5)
    assert found["weighted_cosine"].item() == pytest.approx(0.5)
    assert found["recovery_error"].item() == pytest.approx(1)
    assert found["recovered_share"].item() == pytest.approx(2 / 3)
    assert found["balance"].item() == pytest.approx(3)


def test_cancelling_neurons_near_a_teacher_are_added_with_their_signs():
    teachers = published_teacher()
    w = teachers.units[None][..., [0, 0, 1, 2], :]
    a = torch.tensor([[[3.0, -2.0, -1.0, 1.005]]], dtype=F64)
    found = measures(a, w, teachers)
    assert found["recovery_error"].item() == pytest.approx(0.005)
    assert found["recovered_share"].item() == 1
    assert found["total_mass"].item() == pytest.approx(7.005)


def test_the_share_of_length_in_the_teachers_span():
    teachers = published_teacher()
    rows = torch.eye(10, dtype=F64)[None, [0, 1, 2, 5]]
    assert subspace_share(rows, teachers).item() == pytest.approx(0.75)
    assert subspace_share(normal(1, 4000, 10), teachers).item() == pytest.approx(0.53, abs=0.02)
