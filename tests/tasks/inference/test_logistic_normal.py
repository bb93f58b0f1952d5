"""Means of the logistic function over Gaussians against adaptive quadrature: relative to their own size, tails and wide q included."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad

from bench.tasks.inference import logistic_normal
from bench.tasks.inference.likelihoods import Bernoulli, Poisson, Repeated
from bench.tasks.inference.logistic_normal import gauss_hermite, sigmoid_means, softplus_mean

FUNCTIONS = {
    "softplus": lambda a: max(a, 0.0) + math.log1p(math.exp(-abs(a))),
    "sigmoid": lambda a: 1 / (1 + math.exp(-a)) if a > -700 else 0.0,
    "slope": lambda a: math.exp(-abs(a)) / (1 + math.exp(-abs(a))) ** 2,
}
VARIANCES = [1e-6, 1e-3, 0.1, 0.499, 0.501, 1.0, 3.0, 10.0, 30.0, 63.9, 64.1, 100.0, 1e3, 1e4]
MEANS = [0.0, 1e-3, 0.7, 3.0, 8.0, 15.0, 30.0, 50.0]


def reference(f, u: float, v: float) -> float:
    """E f(a), a ~ N(-u, v): adaptive Gauss-Kronrod between the points where the integrand may bend or peak."""
    s = math.sqrt(v)
    low, high = -u - 14 * s, min(v - u, 0.0) + 14 * s  # below 0 f grows as exp(a) at most, which moves the peak by v
    bends = [-u, v - u, 0.0, *(-u + k * s for k in (-6, -3, -1, 1, 3, 6)), *(k * 3.0 for k in range(-8, 9))]
    ends = sorted({low, high, *(b for b in bends if low < b < high)})
    parts = itertools.pairwise(ends)
    total = sum(
        quad(lambda a: f(a) * math.exp(-((a + u) ** 2) / (2 * v)), *part, epsabs=0, epsrel=1e-11, limit=200)[0]
        for part in parts
    )
    return total / (s * math.sqrt(2 * math.pi))


@pytest.mark.filterwarnings("ignore::scipy.integrate.IntegrationWarning")  # parts that underflow
@pytest.mark.parametrize("v", VARIANCES)
def test_means_are_exact_relative_to_their_size(v):
    u = torch.tensor(MEANS, dtype=torch.float64)
    variance = torch.full_like(u, v)
    found = {"softplus": softplus_mean(u, variance)}
    found["sigmoid"], found["slope"] = sigmoid_means(u, variance)
    for name, values in found.items():
        wanted = [reference(FUNCTIONS[name], mean, v) for mean in MEANS]
        np.testing.assert_allclose(values, wanted, rtol=1e-10, atol=0, err_msg=name)


def test_the_likelihood_is_as_exact_on_either_side_and_for_either_target():
    """At y = 1 and a large mean, E f and E f' are of the size exp(-mean): differences of numbers near 1 would lose them."""
    u = torch.tensor([0.0, 5.0, 20.0, 50.0], dtype=torch.float64)
    for v in (1e-3, 25.0):
        variance = torch.full_like(u, v)
        small, slope = sigmoid_means(u, variance)
        for mean, y, sign in ((u, 1.0, -1), (-u, 0.0, 1)):
            target = torch.full_like(u, y)
            torch.testing.assert_close(Bernoulli().expected_nll(mean, variance, target), softplus_mean(u, variance))
            first, second = Bernoulli().expected_derivatives(mean, variance, target)
            torch.testing.assert_close(first, sign * small, rtol=1e-14, atol=0)
            torch.testing.assert_close(second, slope, rtol=1e-14, atol=0)
        wrong = torch.ones_like(u)  # y = 1 far below: f is about -a
        first, _ = Bernoulli().expected_derivatives(-u, variance, wrong)
        torch.testing.assert_close(first, small - 1)
        torch.testing.assert_close(Bernoulli().expected_nll(-u, variance, wrong), u + softplus_mean(u, variance))


def test_where_a_fixed_rule_is_exact_nothing_has_changed():
    generator = torch.Generator().manual_seed(0)
    mean = 3 * torch.randn(500, generator=generator, dtype=torch.float64)
    variance = 0.4 * torch.rand(500, generator=generator, dtype=torch.float64) + 1e-3
    y = (mean > 0.5).double()
    points, weights = gauss_hermite(20, mean.device)
    a = mean + variance.sqrt() * points[:, None]
    score = torch.sigmoid(a) - y
    found = Bernoulli().expected_derivatives(mean, variance, y)
    wanted = weights @ score, (weights * points) @ score / variance.sqrt()
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-13)
    nll = weights @ (torch.logaddexp(torch.zeros_like(a), a) - y * a)
    torch.testing.assert_close(Bernoulli().expected_nll(mean, variance, y), nll, rtol=1e-12, atol=1e-13)


def test_a_datum_does_not_depend_on_its_company():
    """Narrow and wide data in one batch of any shape are what each is alone."""
    mean = torch.tensor([[0.3, -2.0, 4.0], [10.0, -0.1, 0.0]], dtype=torch.float64)
    variance = torch.tensor([[0.5, 40.0, 1.0], [2.0, 1e-4, 900.0]], dtype=torch.float64)
    y = torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64)
    whole = (
        Bernoulli().expected_nll(mean, variance, y),
        *Bernoulli().expected_derivatives(mean, variance, y),
    )
    for i in range(2):
        for j in range(3):
            one = (mean[i, j : j + 1], variance[i, j : j + 1], y[j : j + 1])
            alone = (Bernoulli().expected_nll(*one), *Bernoulli().expected_derivatives(*one))
            for found, wanted in zip(whole, alone):
                torch.testing.assert_close(found[i, j], wanted[0], rtol=1e-11, atol=0)


def test_derivatives_of_wide_means_are_those_of_their_values():
    """Bonnet and Price: central differences of E f by the mean and, twice, by the variance."""
    mean = torch.linspace(-6, 6, 13, dtype=torch.float64)
    y, step = torch.zeros_like(mean), 1e-4
    for v in (1.5, 20.0, 400.0):
        variance = torch.full_like(mean, v)
        first, second = Bernoulli().expected_derivatives(mean, variance, y)
        value = Bernoulli().expected_nll
        by_mean = (value(mean + step, variance, y) - value(mean - step, variance, y)) / (2 * step)
        by_variance = (value(mean, variance + step, y) - value(mean, variance - step, y)) / (2 * step)
        torch.testing.assert_close(first, by_mean, rtol=1e-6, atol=1e-9)
        torch.testing.assert_close(second, 2 * by_variance, rtol=1e-6, atol=1e-7)


def test_finer_rules_change_nothing(monkeypatch):
    """Every rule at the end of its range, where it is coarsest, against one of more nodes or terms."""
    u = torch.tensor([0.0, 2.0, 10.0, 40.0], dtype=torch.float64)
    variances = [torch.full_like(u, v) for v in (0.5, 0.51, 64.0, 64.1)]
    before = [torch.stack([softplus_mean(u, v), *sigmoid_means(u, v)]) for v in variances]
    for name, value in {"NODES": 60, "REACH": 9.0, "FINE": 0.4, "TERMS": 21}.items():
        monkeypatch.setattr(logistic_normal, name, value)
    after = [torch.stack([softplus_mean(u, v), *sigmoid_means(u, v)]) for v in variances]
    torch.testing.assert_close(before, after, rtol=2e-11, atol=0)


def test_copies_multiply_expectations():
    mean, variance = torch.tensor([0.5, -1.0], dtype=torch.float64), torch.tensor([40.0, 6.0], dtype=torch.float64)
    y = torch.ones_like(mean)
    for likelihood in (Bernoulli(), Poisson()):
        many = Repeated(likelihood, 7)
        torch.testing.assert_close(
            many.expected_nll(mean, variance, y), 7 * likelihood.expected_nll(mean, variance, y), rtol=0, atol=0
        )
        for one, other in zip(
            many.expected_derivatives(mean, variance, y), likelihood.expected_derivatives(mean, variance, y)
        ):
            torch.testing.assert_close(one, 7 * other, rtol=0, atol=0)
