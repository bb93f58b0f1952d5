"""The three stages of feature learning: their formulas, balance, agreement of samples and population."""

from __future__ import annotations

import math

import pytest
import torch

from bench.seeding import generator
from bench.tasks.teacher_recovery.oracle import Oracle
from bench.tasks.teacher_recovery.relu_population import Teachers, directions, gradients, kernel
from datasets.teachers.teacher_student import teacher_student
from methods.two_layer.regularised_gd import FeatureRegression, RegularisedGD
from methods.two_layer.regularised_sgd import CHUNK, RegularisedSGD, centred, correlations

F64 = torch.float64
PLAIN = {"features": "gradient_step", "ridge": 1e-3, "halvings": 0.0, "floor": 0.0}


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=generator(seed, "init"), dtype=F64)


def trained(method: RegularisedGD, a, w, teachers: Teachers, steps: int) -> tuple[torch.Tensor, torch.Tensor]:
    method.begin(steps, torch.device("cpu"))
    oracle = Oracle(teachers, [0])
    for t in range(steps):
        a, w = method.update(oracle, t, a, w)
    return a, w


def imbalance(a, w) -> torch.Tensor:
    return a.square() - w.square().sum(-1)


@pytest.mark.parametrize(("lam", "lr", "steps"), [(0.0, 1e-3, 400), (0.4, 1e-3, 400), (0.05, 0.01, 400)])
def test_imbalance_decays_as_exp_of_minus_two_lam_t(lam, lr, steps):
    teachers, a, w = teacher_student("", [0], dim=4), normal(1, 1, 6), normal(1, 1, 6, 4, seed=1)
    after = imbalance(*trained(RegularisedGD(lr=lr, lam=lam, **PLAIN), a, w, teachers, steps))
    torch.testing.assert_close(after, imbalance(a, w) * math.exp(-2 * lam * lr * steps), rtol=5e-3, atol=5e-3)
    if lam == 0:
        assert (a - trained(RegularisedGD(lr=lr, lam=lam, **PLAIN), a, w, teachers, steps)[0]).abs().max() > 0.01


def test_a_step_is_that_of_gradient_descent_on_the_penalised_loss():
    teachers, a, w = teacher_student("", [0, 1], dim=4), normal(1, 2, 3), normal(1, 2, 3, 4, seed=1)
    by_a, by_w = gradients(a, w, teachers)
    lr = torch.tensor([[0.1], [0.2]], dtype=F64)
    stepped = trained(
        RegularisedGD(lr=lr, lam=0.03, **PLAIN), a.expand(2, -1, -1), w.expand(2, -1, -1, -1), teachers, 1
    )
    for k, rate in enumerate((0.1, 0.2)):
        torch.testing.assert_close(stepped[0][k], (a - rate * (by_a + 0.03 * a))[0])
        torch.testing.assert_close(stepped[1][k], (w - rate * (by_w + 0.03 * w))[0])


def test_the_decay_halves_and_stops_at_the_floor():
    method = RegularisedGD(features="random", ridge=1e-3, lr=0.5, lam=3e-3, halvings=9.0, floor=1e-5)
    method.begin(9000, torch.device("cpu"))
    found = [method.decay(t).item() for t in (0, 1000, 2000, 9000)]
    assert found == pytest.approx([3e-3, 1.5e-3, 7.5e-4, 1e-5])


def test_the_first_stage_is_the_gradient_of_a_network_of_small_output():
    """w <- -grad_w L for a -> 0, normalised: the penalty of 1 / step erases the start."""
    teachers, signs = teacher_student("", [0], dim=5), normal(1, 7).sign()
    rows = directions(normal(1, 7, 5, seed=1))[0]
    small = gradients(1e-9 * signs, rows, teachers)[1]
    found = FeatureRegression(features="gradient_step", ridge=1e-3).first(Oracle(teachers, [0]), signs, rows)
    torch.testing.assert_close(found, -small / small.norm(dim=-1, keepdim=True), rtol=1e-6, atol=1e-7)
    assert FeatureRegression(features="random", ridge=1e-3).first(Oracle(teachers, [0]), signs, rows) is rows


def test_the_second_stage_is_ridge_regression_and_leaves_a_balanced_network():
    teachers, rows, ridge = teacher_student("", [0], dim=5), directions(normal(1, 7, 5, seed=1))[0], 0.01
    oracle = Oracle(teachers, [0])
    a, w = FeatureRegression(features="random", ridge=ridge).second(oracle, rows)
    assert oracle.evaluations == 1
    assert imbalance(a, w).abs().max() < 1e-14
    c = a * w.norm(dim=-1)
    target = (kernel(rows @ teachers.units.mT) @ teachers.weights[..., None])[..., 0]
    normal_equations = (kernel(rows @ rows.mT) @ c[..., None])[..., 0] + ridge * c - target
    assert normal_equations.abs().max() < 1e-12


def network(x, a, w) -> torch.Tensor:
    """A ReLU network with alpha + beta.x following its weights so that mean and linear part are 0."""
    alpha = -(a * w.norm(dim=-1)).sum(-1) / math.sqrt(2 * math.pi)
    return (x @ w.mT).relu() @ a + alpha - x @ (a[..., None] * w).sum(-2) / 2


def test_sampled_gradients_are_those_of_autograd_on_a_real_network():
    x, y = normal(50, 4, seed=3), normal(50, seed=4)
    a, w = normal(6, seed=5).requires_grad_(), normal(6, 4, seed=6).requires_grad_()
    residual = network(x, a, w) - y
    by_a, by_w = torch.autograd.grad(residual.square().mean() / 2, (a, w))
    with torch.no_grad():
        torch.testing.assert_close(centred(x @ w.mT, w) @ a - y, residual)
        found = correlations(x, residual, w)
        torch.testing.assert_close(found[0] / 50, by_a)
        torch.testing.assert_close(a[:, None] * found[1] / 50, by_w)


@pytest.mark.parametrize("wrong", [0.0, 0.3])
def test_sampled_gradients_have_the_population_s_mean_even_if_alpha_and_beta_are_wrong(wrong):
    teachers, batches = teacher_student("", [0], dim=4), 40
    a, w = normal(1, 1, 5, seed=7), normal(1, 1, 5, 4, seed=8)
    method = RegularisedSGD(lr=0.1, lam=0.0, first_samples=1, batch_size=5000, **PLAIN)
    alpha = teachers.weights.sum(-1, keepdim=True) / math.sqrt(2 * math.pi)
    beta = (teachers.weights[..., None] * teachers.units).sum(-2) / 2
    method.state = {"alpha": alpha + wrong, "beta": beta - wrong}
    found = [method._gradients(Oracle(teachers, [0]), t, a, w) for t in range(batches)]
    for k, expected in enumerate(gradients(a, w, teachers)):
        sample = torch.stack([g[k] for g in found])
        error = sample.std(0) / batches**0.5
        assert ((sample.mean(0) - expected).abs() < 4.5 * error + 1e-12).all()
        assert (error < 0.1 * expected.abs().max()).all()


def test_the_first_stages_from_samples_approach_the_population_s():
    teachers, signs = teacher_student("", [0, 1], dim=4), normal(2, 6).sign()
    rows = directions(normal(2, 6, 4, seed=1))[0]
    exact = FeatureRegression(features="gradient_step", ridge=1e-2)
    sampled = RegularisedSGD(lr=0.1, lam=0.0, first_samples=25_000, batch_size=1, **(PLAIN | {"ridge": 1e-2}))
    oracle = Oracle(teachers, [0, 1])
    first = sampled.first(oracle, signs, rows)
    assert oracle.evaluations == 50_000, "alpha and beta, and the step"
    assert ((first * exact.first(Oracle(teachers, [0, 1]), signs, rows)).sum(-1) > 0.99).all()
    gram, target = sampled._regression(oracle, rows)
    for found, expected in zip((gram, target), Oracle(teachers, [0, 1]).regression(rows)):
        torch.testing.assert_close(found, expected, rtol=0, atol=0.01)


def test_samples_belong_to_seed_and_index_alone():
    one, both = Oracle(teacher_student("", [3]), [3]), Oracle(teacher_student("", [2, 3]), [2, 3])
    x, y = both.draw(7, 3, 11)
    torch.testing.assert_close(one.draw(7, 3, 11)[0][0], x[1])
    torch.testing.assert_close(one.draw(7, 3, 11)[1][0], y[1])
    assert not torch.equal(both.draw(7, 3, 12)[0], x)


def test_every_stage_and_step_has_samples_of_its_own():
    """alpha and beta, stage 1, stage 2 and each step of stage 3: no input is met twice, with stages of more than one chunk."""
    teachers, count, batch, steps = teacher_student("", [0], dim=4), CHUNK + 7, 5, 6
    oracle, met = Oracle(teachers, [0]), []
    draw = oracle.draw

    def watched(size, *index):
        x, y = draw(size, *index)
        met.append(x[0].clone())
        return x, y

    oracle.draw = watched
    method = RegularisedSGD(lr=0.1, lam=1e-3, first_samples=count, batch_size=batch, **PLAIN)
    method.begin(steps, torch.device("cpu"))
    rows = method.first(oracle, normal(1, 3).sign(), directions(normal(1, 3, 4, seed=1))[0])
    a, w = method.second(oracle, rows)
    for t in range(steps):
        a, w = method.update(oracle, t, a, w)
    assert len(torch.cat(met).unique(dim=0)) == oracle.evaluations == 3 * count + batch * steps


def test_the_first_sample_s_alpha_and_beta_remove_mean_and_linear_part():
    """What is left of the targets is uncorrelated with 1 and x: E f* = sum_i a_i / sqrt(2 pi) and E f* x = sum_i a_i w_i / 2 are gone."""
    teachers = teacher_student("", [0, 1], dim=4)
    method = RegularisedSGD(lr=0.1, lam=0.0, first_samples=100_000, batch_size=1, **PLAIN)
    left = [(y.sum(1), (y[:, None] @ x)[:, 0]) for x, y in method._large(Oracle(teachers, [0, 1]), 1)]
    mean, linear = (sum(part) / 100_000 for part in zip(*left))
    assert mean.abs().max() < 0.02
    assert linear.abs().max() < 0.02
