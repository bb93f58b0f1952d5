"""NGVI and black-box VI against closed forms, autograd and torch.optim; the Bayesian models against scikit-learn and autograd."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bench.tasks.inference.estimators import EnergyGradients
from bench.tasks.inference.gaussian import Gaussian, kl
from datasets.bayes.drawn import linear_regression, logistic_regression, poisson_regression
from methods.variational.gaussian_vi import AdamVI, ProjectedSGD, ProximalSGD, entropy_prox_
from methods.variational.ngvi import NGVI, SafeNGVI, SquareRootNGVI

S, D = 2, 3


def a_gaussian(settings: int = 1, seed: int = 0) -> Gaussian:
    g = torch.Generator().manual_seed(seed)
    mean = torch.randn(settings, S, D, generator=g, dtype=torch.float64)
    scale = torch.randn(settings, S, D, D, generator=g, dtype=torch.float64).tril(-1) / 2
    return Gaussian(mean, scale + torch.eye(D, dtype=torch.float64))


def some_gradients(settings: int = 1, seed: int = 1) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    half = torch.randn(settings, S, D, D, generator=g, dtype=torch.float64)
    return torch.randn(settings, S, D, generator=g, dtype=torch.float64), half @ half.mT


def small(kind, **more):
    return kind("", range(S), n=40, dim=D, **more)


def begun(method, q: Gaussian):
    method.begin(q)
    return method


def test_the_update_in_the_natural_parameters_is_the_one_in_mean_and_precision():
    """P <- (1 - gamma) P + gamma H, m <- m - gamma S_{t+1} g."""
    q, (g, h) = a_gaussian(), some_gradients()
    method = begun(NGVI(lr=0.3, decay=0.0), q)
    assert not method.update(0, g, h).any()
    precision = 0.7 * q.precision + 0.3 * h
    torch.testing.assert_close(method.q.precision, precision)
    torch.testing.assert_close(method.q.mean, q.mean - 0.3 * torch.linalg.solve(precision, g[..., None])[..., 0])


def test_it_is_mirror_descent_with_the_divergence_kl():
    """The step minimises <grad, omega> + KL(q || q_t) / gamma (Lemma 1): its derivative by (m, S) vanishes at the new q."""
    q, (g, h), gamma = a_gaussian(), some_gradients(), 0.2
    method = begun(NGVI(lr=gamma, decay=0.0), q)
    method.update(0, g, h)
    mean, scale = method.q.mean.clone().requires_grad_(), torch.linalg.cholesky(method.q.covariance).requires_grad_()
    by_second = (h - q.precision) / 2  # the gradient of -ELBO by E z z^T; that by m at fixed E z z^T is g - 2 (...) m
    by_first = g - 2 * (by_second @ q.mean[..., None])[..., 0]
    second = scale @ scale.mT + mean[..., :, None] * mean[..., None, :]
    linear = (by_first * mean).sum() + (by_second * second).sum()
    (linear + kl(Gaussian(mean, scale), q).sum() / gamma).backward()
    assert mean.grad.abs().max() < 1e-12
    assert scale.grad.tril().abs().max() < 1e-12


@pytest.mark.parametrize(("decay", "weights"), [(1.0, lambda t: 1), (0.5, lambda t: t + 1)])
def test_the_schedules_are_averages_of_minibatch_posteriors(decay, weights):
    """1/(t+1) weighs the estimates evenly, 2/(t+2) in proportion to t + 1."""
    model = small(linear_regression)
    gradients = EnergyGradients(model, range(S), "exact", 5, 1)
    method = begun(NGVI(lr=1.0, decay=decay), a_gaussian())
    hessians = []
    for t in range(7):
        q = method.q
        g, h = gradients(t, q)
        hessians.append((weights(t) * h, weights(t) * (h @ q.mean[..., None])[..., 0] - weights(t) * g))
        method.update(t, g, h)
    total = sum(weights(t) for t in range(7))
    torch.testing.assert_close(method.state["precision"][0], sum(h for h, _ in hessians) / total)
    torch.testing.assert_close(method.state["h"], sum(r for _, r in hessians) / total)


def test_one_full_step_is_the_posterior_from_any_start_and_the_cap_holds_steps_back():
    model = small(linear_regression, condition=50.0)
    gradients = EnergyGradients(model, range(S), "exact", None, 1)
    method = begun(NGVI(lr=1.0, decay=0.0), a_gaussian())
    method.update(0, *gradients(0, method.q))
    assert kl(method.q, model.optimum()).abs().max() < 1e-12
    capped = begun(NGVI(lr=1.0, decay=0.5, cap=0.5), a_gaussian())
    assert [capped.rate(t).item() for t in (0, 2, 6)] == [0.5, 0.5, 0.25]


def test_a_step_that_loses_positive_definiteness_is_not_taken_but_the_safe_variant_takes_its_own():
    q, (g, h) = a_gaussian(2), some_gradients(2)
    h[1, 0] -= 50 * torch.eye(D, dtype=torch.float64)
    plain, safe = (begun(kind(lr=0.5, decay=0.0), q) for kind in (NGVI, SafeNGVI))
    assert plain.update(0, g, h).tolist() == [[False, False], [True, False]]
    torch.testing.assert_close(plain.q.covariance[1, 0], q.covariance[1, 0])
    torch.testing.assert_close(plain.q.mean[1, 0], q.mean[1, 0])
    assert not safe.update(0, g, h).any()
    p = q.precision
    big = p - h
    torch.testing.assert_close(safe.q.precision, p - 0.5 * big + 0.125 * big @ q.covariance @ big)
    step = torch.linalg.solve(safe.q.precision, g[..., None])[..., 0]
    torch.testing.assert_close(safe.q.mean, q.mean - 0.5 * step)


@pytest.mark.parametrize("kind", [SafeNGVI, SquareRootNGVI])
def test_variants_agree_with_the_plain_update_to_first_order(kind):
    q, (g, h) = a_gaussian(), some_gradients()
    errors = []
    for lr in (1e-3, 1e-4):
        plain, other = begun(NGVI(lr=lr, decay=0.0), q), begun(kind(lr=lr, decay=0.0), q)
        plain.update(0, g, h)
        other.update(0, g, h)
        errors.append((plain.q.covariance - other.q.covariance).abs().max() + (plain.q.mean - other.q.mean).abs().max())
    assert errors[0] / errors[1] == pytest.approx(100, rel=0.05)


def test_the_proximal_operator_meets_its_optimality_condition():
    c, rate = torch.tensor([-3.0, -0.1, 0.0, 0.5, 40.0], dtype=torch.float64), torch.tensor([0.01], dtype=torch.float64)
    x = entropy_prox_(c.clone(), rate)
    assert (x > 0).all()
    torch.testing.assert_close((x - c) / rate - 1 / x, torch.zeros_like(x), rtol=0, atol=1e-9)


def elbo_gradients(model, q: Gaussian) -> tuple[Tensor, Tensor]:
    """Of -ELBO by m and by the lower triangle of C, by autograd."""
    mean, scale = q.mean[0].clone().requires_grad_(), q.scale[0].clone().requires_grad_()
    (-model.elbo(Gaussian(mean, scale))).sum().backward()
    return mean.grad, scale.grad.tril()


@pytest.mark.parametrize("kind", [linear_regression, logistic_regression, poisson_regression])
def test_steps_of_the_baselines_follow_autograds_gradient_of_the_elbo(kind):
    model, q = small(kind), a_gaussian()
    by_mean, by_scale = elbo_gradients(model, q)
    estimate = EnergyGradients(model, range(S), "quadrature", None, 1)(0, q)
    projected = begun(ProjectedSGD(lr=1e-6, floor=1e-9), q)
    projected.update(0, *estimate)
    torch.testing.assert_close((q.mean - projected.q.mean)[0] / 1e-6, by_mean, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close((q.scale - projected.q.scale)[0] / 1e-6, by_scale, rtol=1e-6, atol=1e-6)
    proximal = begun(ProximalSGD(lr=1e-7), q)
    proximal.update(0, *estimate)
    torch.testing.assert_close((q.scale - proximal.q.scale)[0] / 1e-7, by_scale, rtol=1e-4, atol=1e-4)


def test_adam_is_torchs_adam():
    model, q = small(logistic_regression), a_gaussian()
    gradients = EnergyGradients(model, range(S), "quadrature", None, 1)
    ours = begun(AdamVI(lr=0.02, decay=0.0, floor=1e-6), q)
    mean, scale = (torch.nn.Parameter(v[0].clone()) for v in (q.mean, q.scale))
    theirs = torch.optim.Adam([mean, scale], lr=0.02, betas=(0.9, 0.999), eps=1e-8)
    for t in range(20):
        ours.update(t, *gradients(t, ours.q))
        theirs.zero_grad()
        (-model.elbo(Gaussian(mean, scale.tril()))).sum().backward()
        theirs.step()
    torch.testing.assert_close(ours.q.mean[0], mean.detach(), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(ours.q.scale[0], scale.detach(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", [NGVI, SafeNGVI, SquareRootNGVI, ProximalSGD, ProjectedSGD, AdamVI])
def test_every_method_finds_the_best_gaussian(kind):
    model = small(logistic_regression)
    gradients, q0 = EnergyGradients(model, range(S), "quadrature", None, 1), a_gaussian()
    method = begun(kind(lr=0.02, decay=0.0), q0)
    for t in range(3000):
        method.update(t, *gradients(t, method.q))
    assert kl(method.q, model.optimum()).max() < (1e-3 if kind is AdamVI else 1e-9)


@pytest.mark.parametrize("kind", [NGVI, SafeNGVI, SquareRootNGVI, ProximalSGD, ProjectedSGD, AdamVI])
@pytest.mark.parametrize("estimator", ["exact", "monte_carlo"])
def test_settings_of_a_batch_do_not_touch_each_other(kind, estimator):
    """Two settings advance as each of them alone, though one of them explodes."""
    model = small(linear_regression)
    rates = torch.tensor([[0.01], [1e3 if kind not in (NGVI, SafeNGVI) else 1.0]], dtype=torch.float64)
    many = begun(
        kind(lr=rates, decay=0.0),
        Gaussian(*(v.expand(2, *v.shape[1:]) for v in (a_gaussian().mean, a_gaussian().scale))),
    )
    one = begun(kind(lr=0.01, decay=0.0), a_gaussian())
    gradients = EnergyGradients(model, range(S), estimator, 5, 4)
    for t in range(200):
        many.update(t, *gradients(t, many.q))
        one.update(t, *gradients(t, one.q))
    torch.testing.assert_close(many.q.mean[:1], one.q.mean)
    torch.testing.assert_close(many.q.covariance[:1], one.q.covariance)
    assert torch.isfinite(one.q.mean).all()


@pytest.mark.parametrize("name", ["beta1", "beta2"])
def test_adam_refuses_moments_that_never_change(name):
    with pytest.raises(ValueError, match=name):
        AdamVI(lr=0.1, **{name: 1.0})
