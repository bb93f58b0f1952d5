"""Bayesian models against scikit-learn, autograd and torch.distributions; the estimators of their gradients against exact ones."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.distributions import MultivariateNormal, kl_divergence

from bench.tasks.inference.bayes import BayesianModel
from bench.tasks.inference.estimators import EnergyGradients
from bench.tasks.inference.gaussian import Gaussian, kl
from bench.tasks.inference.likelihoods import Bernoulli, Normal, Poisson, Repeated
from datasets.bayes.drawn import linear_regression, logistic_regression, poisson_regression

GLMS = [linear_regression, logistic_regression, poisson_regression]
LIKELIHOODS = [Normal(0.7), Bernoulli(), Poisson(), Repeated(Bernoulli(), 3)]


def random_q(rows: int, d: int, settings: int | None = None, seed: int = 0) -> Gaussian:
    g = torch.Generator().manual_seed(seed)
    lead = (rows,) if settings is None else (settings, rows)
    scale = torch.randn(*lead, d, d, generator=g, dtype=torch.float64).tril(-1) * 0.1
    return Gaussian(
        torch.randn(*lead, d, generator=g, dtype=torch.float64) * 0.3, scale + 0.4 * torch.eye(d, dtype=torch.float64)
    )


def test_divergence_and_square_roots_against_torch_distributions():
    q, p = random_q(2, 4), random_q(2, 4, seed=1)
    upper = Gaussian.from_precision(p.mean, torch.linalg.cholesky(p.precision))
    torch.testing.assert_close(upper.covariance, p.covariance)
    wanted = kl_divergence(*(MultivariateNormal(g.mean, scale_tril=g.scale) for g in (q, p)))
    torch.testing.assert_close(kl(q, p), wanted)
    torch.testing.assert_close(kl(q, upper), wanted)
    u = torch.randn(2, 4, dtype=torch.float64)
    for g in (p, upper):  # grad of -log q at m + C u is S^-1 C u
        wanted = (g.precision @ g.scale @ u[..., None])[..., 0]
        torch.testing.assert_close(g.whiten_transposed(u), wanted)


@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=lambda v: type(v).__name__)
def test_derivatives_and_expectations_of_likelihoods(likelihood):
    a = torch.linspace(-3, 3, 9, dtype=torch.float64).requires_grad_()
    y = torch.tensor([0.0, 1.0] * 4 + [1.0], dtype=torch.float64)
    first, second = likelihood.derivatives(a, y)
    (by_autograd,) = torch.autograd.grad(likelihood.nll(a, y).sum(), a, create_graph=True)
    torch.testing.assert_close(first, by_autograd)
    if not isinstance(likelihood, Normal):
        torch.testing.assert_close(second, torch.autograd.grad(by_autograd.sum(), a)[0])
    mean, var = a.detach().requires_grad_(), torch.full((9,), 0.8, dtype=torch.float64, requires_grad=True)
    by_mean, by_var = torch.autograd.grad(likelihood.expected_nll(mean, var, y).sum(), (mean, var))
    with torch.no_grad():
        one, two = likelihood.expected_derivatives(mean, var, y)
    torch.testing.assert_close(one, by_mean)
    torch.testing.assert_close(two, 2 * by_var)
    x = torch.linspace(-12, 12, 20001, dtype=torch.float64)  # a plain sum over a fine grid
    weights = torch.exp(-x.square() / 2) * (x[1] - x[0]) / math.sqrt(2 * math.pi)
    with torch.no_grad():
        wanted = likelihood.nll(mean[:, None] + var.sqrt()[:, None] * x, y[:, None]) @ weights
    torch.testing.assert_close(likelihood.expected_nll(mean, var, y).detach(), wanted, rtol=1e-6, atol=1e-6)


def test_bernoulli_and_poisson_are_torchs():
    a, y = torch.linspace(-4, 4, 5, dtype=torch.float64), torch.tensor([0.0, 1, 1, 0, 1], dtype=torch.float64)
    torch.testing.assert_close(Bernoulli().nll(a, y), -torch.distributions.Bernoulli(logits=a).log_prob(y))
    torch.testing.assert_close(Poisson().nll(a, 3 * y), -torch.distributions.Poisson(a.exp()).log_prob(3 * y))
    torch.testing.assert_close(Normal(0.3).nll(a, y), -torch.distributions.Normal(a, 0.3**0.5).log_prob(y))


def test_the_exact_posterior_is_bayesian_ridges_with_fixed_precisions():
    from sklearn.linear_model import BayesianRidge

    model = linear_regression("", [3], n=60, dim=4, condition=9.0, noise=0.5, prior_variance=2.0)
    ridge = BayesianRidge(alpha_init=1 / 0.5, lambda_init=1 / 2.0, max_iter=1, fit_intercept=False)
    # its first pass solves with the initial precisions; priors so sharp that the later update leaves them where they are
    ridge.set_params(alpha_1=1e12, alpha_2=1e12 * 0.5, lambda_1=1e12, lambda_2=1e12 * 2.0)
    ridge.fit(model.x[0].numpy(), model.y[0].numpy())
    posterior = model.optimum()
    np.testing.assert_allclose(posterior.mean[0], ridge.coef_, rtol=1e-8)
    np.testing.assert_allclose(posterior.covariance[0], ridge.sigma_, rtol=1e-8, atol=1e-12)


def test_the_elbo_of_the_posterior_is_the_evidence():
    model = linear_regression("", [0, 1], n=20, dim=3, noise=0.5)
    covariance = model.x @ model.x.mT + 0.5 * torch.eye(20, dtype=torch.float64)
    evidence = MultivariateNormal(torch.zeros(20, dtype=torch.float64), covariance).log_prob(model.y)
    torch.testing.assert_close(model.elbo(model.optimum()), evidence)
    q = random_q(2, 3)
    torch.testing.assert_close(model.elbo(model.optimum()) - model.elbo(q), kl(q, model.optimum()))


@pytest.mark.parametrize("kind", GLMS)
def test_the_optimum_is_a_stationary_maximum(kind):
    model = kind("", [0, 1], n=50, dim=3)
    best = model.optimum()
    g, hessian = model.energy_gradients(best)
    assert g.abs().max() < 1e-9
    torch.testing.assert_close(hessian, best.precision, rtol=1e-9, atol=1e-9)
    for seed in range(3):
        other = random_q(2, 3, seed=seed)
        near = Gaussian(best.mean + 0.01 * other.mean, torch.linalg.cholesky(best.covariance) * 1.01)
        assert (model.elbo(near) < model.elbo(best)).all()


def test_the_optimum_is_found_where_full_half_steps_cycle():
    """Separable data and a weak prior: steps of 1/2 go around in circles, shorter ones arrive."""
    x = torch.linspace(-4, 4, 400, dtype=torch.float64)[None, :, None] * torch.tensor([1.0, 3.0], dtype=torch.float64)
    model = BayesianModel.with_variance(x, (x[..., 0] > 0).double(), Bernoulli(), 50.0)
    assert model.energy_gradients(model.optimum())[0].abs().max() < 1e-8


def test_the_optimum_is_found_after_short_steps_too():
    """Poisson data whose first steps overshoot by far: the rate that they leave behind is much too small for the rest."""
    model = poisson_regression("", [904])
    assert model.energy_gradients(model.optimum())[0].abs().max() < 1e-8


@pytest.mark.parametrize("kind", GLMS)
def test_one_setting_is_what_many_are(kind):
    model, q = kind("", [0, 1], n=30, dim=3), random_q(2, 3, settings=4)
    g, hessian = model.energy_gradients(q)
    for k in range(4):
        alone = model.energy_gradients(Gaussian(q.mean[k], q.scale[k]))
        torch.testing.assert_close(g[k], alone[0])
        torch.testing.assert_close(hessian[k], alone[1])


@pytest.mark.parametrize("kind", GLMS)
@pytest.mark.parametrize("estimator", ["quadrature", "monte_carlo", "gradient"])
def test_estimates_are_unbiased(kind, estimator):
    """Their mean over many steps is the exact value, within four standard errors of most entries; H is symmetric."""
    model, q = kind("", [0], n=30, dim=2), random_q(1, 2, settings=1)
    gradients = EnergyGradients(model, [0], estimator, 10, 8)
    drawn = [gradients(t, q) for t in range(3000)]
    for found, exact in zip(zip(*drawn), model.energy_gradients(q)):
        stack = torch.stack(found).flatten(1)
        error = stack.std(0) / 3000**0.5 + 1e-12
        assert ((stack.mean(0) - exact.flatten()) / error).abs().max() < 4.5
    torch.testing.assert_close(drawn[0][1], drawn[0][1].mT)


def test_data_are_drawn_with_replacement():
    """The covariance of the minibatch gradient is n^2 / b that of a datum's, also at b = n, where a permutation would leave none."""
    n, steps = 12, 6000
    model, q = linear_regression("", [0], n=n, dim=2), random_q(1, 2, settings=1)
    each = (model.x[0] @ q.mean[0, 0] - model.y[0])[:, None] * model.x[0]  # a datum's gradient, of noise 1
    expected = np.cov(each.T.numpy(), bias=True)
    for b in (3, n):
        gradients = EnergyGradients(model, [0], "exact", b, 1)
        found = torch.stack([gradients(t, q)[0] for t in range(steps)]).reshape(steps, 2)
        size = np.abs(expected).max() * n**2 / b
        assert np.cov(found.T.numpy()) == pytest.approx(expected * n**2 / b, abs=0.1 * size)


@pytest.mark.parametrize(("estimator", "batch_size"), [("exact", 5), ("quadrature", 5), ("monte_carlo", None)])
def test_no_step_meets_the_draws_of_another(estimator, batch_size):
    kind = linear_regression if estimator == "exact" else logistic_regression
    model, q = kind("", [0], n=300, dim=2), random_q(1, 2, settings=1)
    gradients = EnergyGradients(model, [0], estimator, batch_size, 2)
    found = torch.stack([gradients(t, q)[0] for t in range(300)]).reshape(300, 2)
    assert len(found.unique(dim=0)) == 300


def test_draws_are_the_same_for_every_method_and_a_seed_is_the_same_alone_and_among_others():
    both, alone = linear_regression("", [0, 1], n=30, dim=2), linear_regression("", [1], n=30, dim=2)
    torch.testing.assert_close(both.x[1:], alone.x, rtol=0, atol=0)
    q = random_q(2, 2, settings=1)
    for kind in ("exact", "gradient"):
        first = EnergyGradients(both, [0, 1], kind, 5, 3)
        second = EnergyGradients(alone, [1], kind, 5, 3)
        for t in (0, 200):
            g, _ = first(t, q)
            torch.testing.assert_close(g[:, 1:], second(t, Gaussian(q.mean[:, 1:], q.scale[:, 1:]))[0])
    assert first.cost == 15
    assert EnergyGradients(both, [0, 1], "exact", None, 3).cost == 30


def test_condition_numbers_share_their_draws_and_are_what_they_say():
    one, hundred = (linear_regression("", [0], n=200_000, dim=4, condition=c) for c in (1.0, 100.0))
    torch.testing.assert_close(one.x[..., 0], hundred.x[..., 0])
    eigenvalues = torch.linalg.eigvalsh(hundred.x[0].T @ hundred.x[0])
    assert eigenvalues[-1] / eigenvalues[0] == pytest.approx(100, rel=0.03)
    with pytest.raises(ValueError, match="at least 1"):
        linear_regression("", [0], condition=0.5)


def test_no_closed_form_is_said():
    with pytest.raises(ValueError, match="use quadrature"):
        EnergyGradients(logistic_regression("", [0], n=20, dim=2), [0], "exact", 5, 1)
