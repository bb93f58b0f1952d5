"""Finite sums with infinite data: gradients against autograd, optima, and moments against independent numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import DATA
from torch.distributions import Normal, kl_divergence

from bench.errors import UserError
from datasets.sums.noisy_digits import DigitsMixup, DigitsVAE
from datasets.sums.noisy_gaussian_vi import GaussianSumVI
from datasets.sums.noisy_logistic import AugmentedLogistic
from datasets.sums.noisy_quadratics import GammaQuadratics, RandomQuadratics
from methods.noisy.base import couple

CLOSED = {
    "gamma": GammaQuadratics(num_components=16, dim=4, noise=0.7),
    "random": RandomQuadratics(num_components=16, dim=4, noise=0.7),
    "vi": GaussianSumVI(num_components=16, latent_dim=3),
    "logistic": AugmentedLogistic(noise=0.7),
}


def value(problem, x, i, eta):
    """f_i(x; eta) as it stands in the docstrings."""
    if isinstance(problem, GammaQuadratics):
        return problem.curvatures[i] * (x - problem.centres[i] + 0.7 * eta).square().sum() / 2
    if isinstance(problem, RandomQuadratics):
        z = x - problem.centres[i] + 0.7 * eta
        return z @ problem.hessians[i] @ z / 2
    if isinstance(problem, GaussianSumVI):
        a, s = x.chunk(2)
        return 16 * (a + s * eta - problem.means[i]).square().sum() / 2 - s.log().sum()
    jittered = problem.a[i] + 0.7 * torch.cat([eta, torch.zeros(1, dtype=eta.dtype)])
    return torch.log1p(torch.exp(-problem.y[i] * (jittered @ x))) + 0.1 * x.square().sum() / 2


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("name", CLOSED)
def test_minibatch_gradients_are_autograd_s(name, shared):
    problem = CLOSED[name]
    stream = torch.Generator().manual_seed(0)
    index = torch.randint(16, (3, 2), generator=stream)
    eta = torch.randn(3, 1 if shared else 2, 4, problem.noise_dim, generator=stream, dtype=torch.float64)
    x = (problem.optimum + 0.1).expand(3, -1).clone().requires_grad_()
    total = sum(
        value(problem, x[t], i, eta[t, 0 if shared else k, j]) / 8
        for t in range(3)
        for k, i in enumerate(index[t])
        for j in range(4)
    )
    (expected,) = torch.autograd.grad(total, x)
    found = problem.gradient(x.detach(), problem.batch(index, eta))
    torch.testing.assert_close(found, expected)
    more = problem.gradient(torch.stack([x.detach(), x.detach() * 2]), problem.batch(index, eta))
    torch.testing.assert_close(more[0], expected)


@pytest.mark.parametrize("name", CLOSED)
def test_the_expectation_and_the_optimum(name):
    """noise None is the mean over many draws; the full batch's expectation vanishes at x*."""
    problem = CLOSED[name]
    index = torch.randint(16, (1, 3), generator=torch.Generator().manual_seed(0))
    x = problem.optimum + 0.1
    eta = torch.randn(1, 1, 40_000, problem.noise_dim, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    sampled, exact = (problem.gradient(x, problem.batch(index, e))[0] for e in (eta, None))
    assert (sampled - exact).norm() < 0.03 * problem.moments(x, 1.0).mean_square_s ** 0.5
    everything = torch.arange(problem.num_components)
    assert problem.gradient(problem.optimum, problem.batch(everything, None)).norm() < 1e-6


@pytest.mark.parametrize("rho", [1.0, 0.6, -0.05])
@pytest.mark.parametrize("name", CLOSED)
def test_moments_are_what_draws_give(name, rho):
    """Away from the optimum, from thousands of gradients of 16 components with noise of correlation rho."""
    problem = CLOSED[name]
    n, x, draws = 16, problem.optimum + 0.3, 4_000 if name == "logistic" else 20_000
    if isinstance(problem, AugmentedLogistic):  # its first 16 rows
        problem = AugmentedLogistic(noise=0.7)
        problem.a, problem.y, problem.num_components = problem.a[:n], problem.y[:n], n
    z = torch.randn(draws, n, 1, problem.noise_dim, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    eta = couple(z, rho)[:, :, None]
    index = torch.arange(n)[:, None].expand(draws, n, 1)
    g = problem.gradient(x, problem.batch(index, eta))  # [draws, n, d]
    centred = g - g.mean(0)
    found = problem.moments(x, rho)
    own = centred.square().sum((0, 2)) / (draws - 1)
    of_mean = centred.mean(1).square().sum() / (draws - 1)
    cross = (n * of_mean - own.mean()) / (n - 1)
    expected = problem.gradient(x, problem.batch(index[0], None))
    tau2 = (expected - expected.mean(0)).square().sum(1).mean()
    assert found.tau2 == pytest.approx(float(tau2), rel=1e-9)
    assert found.mean_square_s == pytest.approx(float(own.mean()), rel=0.03)
    assert found.mean_s == pytest.approx(float(own.sqrt().mean()), rel=0.03)
    assert found.cross == pytest.approx(float(cross), rel=0.05, abs=0.006 * float(own.mean()))


@pytest.mark.parametrize("name", CLOSED)
def test_with_replacement_a_component_meets_itself(name):
    """The second slot of a component has noise of correlation rho with the first."""
    problem, rho, x = CLOSED[name], 0.6, CLOSED[name].optimum + 0.3
    z = torch.randn(10_000, 2, 1, problem.noise_dim, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    eta = couple(z, rho)[:, None, :, None].expand(-1, 16, -1, -1, -1, -1)
    index = torch.arange(16)[:, None, None].expand(10_000, 16, 2, 1)
    g = problem.gradient(x, problem.batch(index, eta))  # [draws, 16, 2, d]
    centred = g - g.mean(0)
    common = (centred[:, :, 0] * centred[:, :, 1]).sum() / 9_999 / 16
    if isinstance(problem, AugmentedLogistic):
        problem = AugmentedLogistic(noise=0.7)
        problem.a, problem.y, problem.num_components = problem.a[:16], problem.y[:16], 16
    assert problem.moments(x, rho).diagonal == pytest.approx(float(common), rel=0.05)


@pytest.mark.parametrize("rho", [1.0, 0.4, -1 / 568])
def test_logistic_moments_at_the_start(rho):
    """At x = 0 the slope is -y / 2 whatever the noise: g_i = -y_i (a_i + sigma eta_i) / 2, all of whose k directions count."""
    problem = CLOSED["logistic"]
    x, y, n, k = problem.start(), problem.y, problem.num_components, problem.noise_dim
    found = problem.moments(x, rho)
    own = 0.7**2 * k / 4
    assert found.mean_square_s == pytest.approx(own, rel=1e-12)
    assert found.mean_s == pytest.approx(own**0.5, rel=1e-12)
    assert found.diagonal == pytest.approx(rho * own, rel=1e-12)
    assert found.cross == pytest.approx(rho * own * float(y.sum() ** 2 - n) / (n * (n - 1)), rel=1e-10)
    everything = problem.batch(torch.arange(n), None)
    torch.testing.assert_close(problem.gradient(x, everything), -(y[:, None] * problem.a).mean(0) / 2)
    assert found.tau2 == pytest.approx(float((y[:, None] * problem.a).var(0, correction=0).sum() / 4), rel=1e-12)


def test_the_inference_problem_is_kl():
    problem = CLOSED["vi"]
    x = (problem.start() + 0.2).requires_grad_()
    a, s = x.chunk(2)
    posterior = Normal(problem.means.mean(0), 16**-0.5)
    (expected,) = torch.autograd.grad(kl_divergence(Normal(a, s), posterior).sum(), x)
    found = problem.gradient(x.detach(), problem.batch(torch.arange(16), None))
    torch.testing.assert_close(found, expected)
    assert problem.project(torch.full((6,), -1.0)).tolist() == pytest.approx([-1.0] * 3 + [1e-5] * 3)


def test_without_noise_it_is_scikit_learn_s_logistic_regression():
    from sklearn.linear_model import LogisticRegression

    problem = AugmentedLogistic(noise=0.0, l2=0.1)
    model = LogisticRegression(C=1 / (0.1 * 569), fit_intercept=False, tol=1e-10, max_iter=10_000)
    model.fit(problem.a.numpy(), problem.y.numpy())
    np.testing.assert_allclose(problem.optimum.numpy(), model.coef_[0], atol=1e-5)


def test_moments_on_demand():
    problem = GammaQuadratics(moments=[1.853, 0.639, 1.342], noise=0.3)
    found = problem.moments(problem.optimum, 1.0)
    assert (found.tau2, found.mean_s**2, found.var_s) == pytest.approx((1.853, 0.639, 1.342), rel=1e-10)
    assert problem.gradient(problem.optimum, problem.batch(torch.arange(1024), None)).norm() < 1e-12
    for wrong in ([1.0, 2.0], [1.0, 1.0, 1e6]):
        with pytest.raises(ValueError, match="moments"):
            GammaQuadratics(moments=wrong)
    assert (GammaQuadratics(curvature="constant").curvatures == 1).all()
    heavy, light = (GammaQuadratics(curvature=c).curvatures for c in ("inverse_gamma", "gamma"))
    assert heavy.max() > 100 * light.max()


@pytest.mark.parametrize("kind", [DigitsVAE, DigitsMixup], ids=["vae", "mixup"])
def test_network_gradients_are_means_of_single_ones(kind):
    problem = kind(warm_up=3)
    stream = torch.Generator().manual_seed(0)
    index = torch.randint(problem.num_components, (2, 3), generator=stream)
    eta = torch.randn(2, 1, 4, problem.noise_dim, generator=stream, dtype=torch.float64)
    found = problem.gradient(problem.optimum, problem.batch(index, eta))
    assert found.shape == (2, problem.dim)
    single = [
        problem.gradient(problem.optimum, problem.batch(i[None], eta[0, :, j : j + 1]))
        for i in index[0]
        for j in range(4)
    ]
    torch.testing.assert_close(torch.stack(single).mean(0), found[0])
    again = type(problem)(warm_up=3)
    assert torch.equal(again.optimum, problem.optimum), "the instance alone decides"


def test_mixup_mixes_images_and_labels_alike():
    problem = DigitsMixup(warm_up=0, alpha=0.4)
    eta = torch.randn(1, 1, 5000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    images, targets = problem.batch(torch.tensor([[7, 8]]), eta)
    assert (images.shape, targets.shape) == ((1, 2, 5000, 64), (1, 2, 5000, 10))
    torch.testing.assert_close(targets.sum(-1), torch.ones(1, 2, 5000, dtype=torch.float64))
    own = problem._targets[7].argmax()
    share = targets[0, 0, :, own]
    assert 0.5 < share.mean() < 0.6, "half of the weight, and partners of the same class"
    shift = images[0, 0] - images[0, 1]
    scale = (problem._images[7] - problem._images[8]).square().sum()
    weights = (shift @ (problem._images[7] - problem._images[8])) / scale
    assert weights.var() == pytest.approx(0.25 / 1.8, rel=0.05), "Beta(0.4, 0.4)"


def test_files_that_are_not_there_or_damaged(tmp_path):
    with pytest.raises(UserError, match=r"data set 'mushrooms' not found: put mushrooms from .* at "):
        AugmentedLogistic(str(tmp_path), name="mushrooms")
    (tmp_path / "libsvm").mkdir()
    (tmp_path / "libsvm/a9a").write_text("1 what is this\n")
    with pytest.raises(UserError, match="a9a is damaged"):
        AugmentedLogistic(str(tmp_path), name="a9a")


@pytest.mark.data
def test_libsvm_files():
    if not (DATA / "libsvm/mushrooms").exists():
        pytest.skip(f"no libsvm/mushrooms in {DATA.name}/")
    problem = AugmentedLogistic(str(DATA), name="mushrooms")
    assert (problem.num_components, set(problem.y.tolist())) == (8124, {-1.0, 1.0})
    everything = torch.arange(problem.num_components)
    assert problem.gradient(problem.optimum, problem.batch(everything, None)).norm() < 1e-6
