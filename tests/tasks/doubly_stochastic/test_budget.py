"""The variance formula against exhaustive enumeration, its minimiser against a grid, and moments measured on models of several kinds."""

from __future__ import annotations

import doctest
import itertools
import math

import numpy as np
import pytest
import torch
from torch.func import functional_call

import bench.tasks.doubly_stochastic.budget
from bench.tasks.doubly_stochastic.budget import Moments, gradient_noise, measure
from bench.tasks.doubly_stochastic.variance import Variance
from datasets.sums.noisy_digits import DigitsMixup, DigitsVAE
from datasets.sums.noisy_quadratics import GammaQuadratics, RandomQuadratics
from methods.noisy.doubly_sgd import DoublySGD

N, D = 5, 3
RNG = np.random.default_rng(0)
MEANS = RNG.normal(size=(N, D))  # grad f_i
FACTORS = RNG.normal(size=(N, D, D))  # g_i = MEANS[i] + FACTORS[i] eta
COVARIANCES = np.einsum("iab,jab->ij", FACTORS, FACTORS)  # tr Cov(g_i, g_j) under shared noise


def moments(rho: float) -> Moments:
    s2 = np.diag(COVARIANCES)
    cross = rho * (COVARIANCES.sum() - s2.sum()) / (N * (N - 1))
    tau2 = ((MEANS - MEANS.mean(0)) ** 2).sum(1).mean()
    return Moments(N, tau2, np.sqrt(s2).mean(), s2.mean(), cross, rho * s2.mean())


def enumerated(b: int, m: int, rho: float, replacement: bool) -> float:
    """tr Cov of the minibatch gradient by the law of total covariance over every minibatch."""
    draws = itertools.product(range(N), repeat=b) if replacement else itertools.combinations(range(N), b)
    minibatches = [list(draw) for draw in draws]
    centres = np.array([MEANS[i].mean(0) for i in minibatches])
    within = []
    for i in minibatches:
        cov = rho * COVARIANCES[np.ix_(i, i)]
        np.fill_diagonal(cov, COVARIANCES[i, i])  # each slot's own draws
        within.append(cov.sum() / b**2 / m)
    return ((centres - centres.mean(0)) ** 2).sum(1).mean() + np.mean(within)


@pytest.mark.parametrize("replacement", [False, True])
@pytest.mark.parametrize("rho", [1.0, 0.4, 0.0])
def test_the_formula_is_what_enumeration_gives(rho, replacement):
    for b, m in itertools.product(range(1, N + 1), (1, 3)):
        assert moments(rho).variance(b, m, replacement) == pytest.approx(enumerated(b, m, rho, replacement), rel=1e-12)
    assert moments(rho).subsampling_variance(N) == 0.0


def test_equal_correlations_are_the_paper_s_formula():
    """(1/m) [(rho / b_eff + (1 - rho) / b) S + rho (1 - 1 / b_eff) (mean s)^2] + tau^2 / b_eff."""
    n, b, m, rho = 64, 8, 2, 0.3
    p = GammaQuadratics(num_components=n, dim=4)
    found = p.moments(p.optimum, rho)
    b_eff = (n - 1) * b / (n - b)
    noise = (rho / b_eff + (1 - rho) / b) * found.mean_square_s + rho * (1 - 1 / b_eff) * found.mean_s**2
    assert found.variance(b, m) == pytest.approx(noise / m + found.tau2 / b_eff, rel=1e-12)
    assert found.rho == pytest.approx(rho, rel=1e-12)
    assert found.var_s == pytest.approx(found.mean_square_s - found.mean_s**2)


@pytest.mark.parametrize("n", [50.0, math.inf])
def test_the_best_batch_size_is_the_minimiser(n):
    found = Moments(n, 3.0, 1.0, 3.0, 1.0, 3.0)
    for budget in (1, 16, 1024):
        grid = np.exp(np.linspace(0, np.log(min(budget, n)), 20_001))
        best = grid[np.argmin([found.variance(b, budget / b) for b in grid])]
        assert found.optimal_batch_size(budget) == pytest.approx(best, rel=2e-3)
    assert found.independent().optimal_batch_size(1024) == min(1024, n)
    assert found.best_split(1024) == min(found.splits(1024), key=lambda s: s.variance)
    assert [s.batch_size for s in found.splits(12, [2, 3, 5, 24])] == [2, 3]
    with pytest.raises(ValueError, match=r"none of the batch sizes \[5\]"):
        found.splits(12, [5])


@pytest.mark.parametrize("n", [6.0, 50.0, math.inf])
@pytest.mark.parametrize("cross", [1.0, 0.0, -0.01])
@pytest.mark.parametrize("tau2", [3.0, 0.0])
def test_with_replacement_the_best_batch_size_is_the_minimiser_of_its_own_variance(n, cross, tau2):
    """A component that meets itself is noise in common too: `diagonal` makes b* finite without `cross`."""
    found = Moments(n, tau2, 1.5, 3.0, cross, 2.5)
    for budget in (1, 16, 1024):
        grid = np.exp(np.linspace(0, np.log(min(budget, n)), 20_001))
        best = found.optimal_batch_size(budget, True)
        assert 1 <= best <= min(budget, n)
        least = min(found.variance(b, budget / b, True) for b in grid)
        assert found.variance(best, budget / best, True) <= least + 1e-12 * abs(least)


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("sampling", ["without_replacement", "with_replacement", "reshuffling"])
@pytest.mark.parametrize("rho", [1.0, 0.4, 0.0])
def test_the_logged_batch_size_is_the_minimiser_of_the_logged_variance(rho, sampling, exact):
    problem = GammaQuadratics(num_components=12, dim=4, heterogeneity=0.4)
    method = DoublySGD(12, lr=0.01, batch_size=4, mc_samples=4, rho=rho, sampling=sampling, exact=exact)
    ((_, logged),) = Variance([0], problem, method, problem.optimum, 0, None).found(None)
    moments = problem.moments(problem.optimum, rho)

    def v(b: float) -> float:
        replacement = sampling == "with_replacement"
        return moments.subsampling_variance(b, replacement) if exact else moments.variance(b, 16 / b, replacement)

    assert v(4) == logged["variance"]
    grid = np.exp(np.linspace(0, np.log(12), 20_001))
    assert logged["optimal_batch_size"] == pytest.approx(grid[np.argmin([v(b) for b in grid])], rel=2e-4)


@pytest.mark.parametrize(
    ("heterogeneity", "expected"), [(0.01, [1, 2, 4]), (1.0, [8, 16, 64]), (100.0, [16, 128, 512])]
)
def test_best_splits_of_gamma_curvatures(heterogeneity, expected):
    """As numpy found them on another draw; chi^2_1 curvatures have tau^2 = 3 (mean s)^2 s^2 / sigma^2, so b* = sqrt(3 b m) s / sigma."""
    p = GammaQuadratics(heterogeneity=heterogeneity)
    found, powers = p.moments(p.optimum, 1.0), [2**k for k in range(11)]
    for budget, b in zip((16, 128, 1024), expected):
        best = found.best_split(budget, powers).batch_size
        assert b / 2 <= best <= 2 * b
        continuous = min(budget, max(1.0, (3 * heterogeneity * budget) ** 0.5))
        assert found.optimal_batch_size(budget) == pytest.approx(continuous, rel=0.25)
        separate = found.independent().splits(budget, powers)
        assert all(b.variance < a.variance for a, b in itertools.pairwise(separate)), "the largest is best"


def test_one_component_has_nothing_to_subsample():
    found = Moments(1, 0.0, 2.0, 4.0, 0.0, 4.0)
    assert (found.subsampling_variance(1), found.variance(1, 2), found.rho, found.optimal_batch_size(8)) == (0, 2, 0, 1)


def test_measured_moments_are_unbiased():
    """Means over 400 pilot samples of 6 components and 3 draws, against the closed form."""
    p = RandomQuadratics(num_components=24, dim=4, noise=2.0)
    expected = p.moments(p.optimum, 1.0)
    stream = torch.Generator().manual_seed(0)
    found = []
    for _ in range(400):
        index = torch.randperm(24, generator=stream)[:6]
        eta = torch.randn(3, 1, 1, 4, generator=stream, dtype=torch.float64)
        crossed = (p.gradient(p.optimum, p.batch(i.expand(3, 1), eta)) for i in index)
        m = measure(crossed, 24)
        found.append((m.tau2, m.mean_square_s, m.cross))
    mean, error = np.mean(found, 0), np.std(found, 0) / 20
    wanted = (expected.tau2, expected.mean_square_s, expected.cross)
    assert (np.abs(mean - wanted) < 4 * error).all(), (mean, wanted)


def test_gradient_noise_is_measure_of_the_gradients():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1)).double()
    x, y, jitter = (torch.randn(shape, dtype=torch.float64) for shape in ((5, 3), (5, 1), (4, 3)))
    params = dict(model.named_parameters())

    def loss(params, example, eta):
        return (functional_call(model, params, (example[0] + eta,)) - example[1]).square().sum()

    def by_hand():
        for i in range(5):
            grads = [torch.autograd.grad(loss(params, (x[i], y[i]), e), list(params.values())) for e in jitter]
            yield torch.stack([torch.cat([g.flatten() for g in each]) for each in grads])

    found, expected = gradient_noise(loss, params, (x, y), jitter, 100), measure(by_hand(), 100)
    for name in ("tau2", "mean_s", "mean_square_s", "cross"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-10)


def test_too_small_a_pilot_is_refused():
    with pytest.raises(ValueError, match="at least 2 draws"):
        measure([torch.ones(1, 3)])
    with pytest.raises(ValueError, match="at least 2 are needed"):
        measure([torch.ones(2, 3)])


def test_the_example_of_the_documentation():
    assert doctest.testmod(bench.tasks.doubly_stochastic.budget) == (0, 10)


@pytest.mark.parametrize("kind", [DigitsVAE, DigitsMixup], ids=["vae", "mixup"])
def test_a_network_s_variance_is_predicted(kind):
    """A large pilot sample against Monte Carlo: two splits, noise shared or not."""
    problem = kind(warm_up=50)  # trained here, as each worker collects all tests
    stream = torch.Generator().manual_seed(1)
    eta = torch.randn(200, 1, 1, problem.noise_dim, generator=stream, dtype=torch.float64)
    index = torch.randperm(problem.num_components, generator=stream)[:100]
    pilot = (problem.gradient(problem.optimum, problem.batch(i.expand(200, 1), eta)) for i in index)
    found = measure(pilot, problem.num_components)
    for (b, m), rho in itertools.product([(2, 8), (16, 1)], [1.0, 0.0]):
        method = DoublySGD(problem.num_components, batch_size=b, mc_samples=m, rho=rho)
        batch = problem.batch(method.minibatches([0], 0, 1000, 1), method.noise([0], 0, 1000, 1, problem.noise_dim))
        sampled = float(problem.gradient(problem.optimum, batch)[:, 0].var(0).sum())
        predicted = (found if rho else found.independent()).variance(b, m)
        assert predicted == pytest.approx(sampled, rel=0.25)


TRAINED = {
    "dropout": (torch.nn.Dropout(0.5), (6,), "eta"),
    "BatchNorm of one example": (torch.nn.BatchNorm1d(6), (1, 6), "BatchNorm"),
    "BatchNorm over pixels": (torch.nn.BatchNorm1d(6), (1, 6, 3), "BatchNorm"),
}


@pytest.mark.parametrize("layer", TRAINED)
def test_a_layer_in_training_mode_is_one_line_that_says_what_to_change(layer):
    module, shape, word = TRAINED[layer]
    x, draws = torch.randn(4, *shape), torch.randn(5, *shape)
    params = {"w": torch.ones(shape)}

    def loss(params, example, eta):
        return module(params["w"] * example + eta).square().mean()

    module.train().requires_grad_(False)
    with pytest.raises(ValueError, match=word) as raised:
        gradient_noise(loss, params, x, draws)
    assert "model.eval()" in str(raised.value)
    assert "\n" not in str(raised.value)
    module.eval()
    assert gradient_noise(loss, params, x, draws).tau2 >= 0


def test_other_errors_of_a_loss_stay_what_they_are():
    with pytest.raises(RuntimeError, match="size of tensor"):
        gradient_noise(lambda p, e, eta: (p * e[:2]).sum() + eta, torch.ones(3), torch.ones(4, 3), torch.ones(5))
