"""Losses of two-layer networks: closed forms against quadrature, Monte Carlo and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from bench.tasks.feature_learning.hermite import coefficient
from bench.tasks.feature_learning.network_errors import (
    network_error,
    population_loss,
    relu_coefficients,
    relu_kernel,
    ridge_error,
)
from bench.tasks.feature_learning.two_layer import Neurons
from datasets.teachers.multi_index import multi_index
from datasets.teachers.single_index import single_index

D, N = 6, 5


def made(k: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, Neurons]:
    g = torch.Generator().manual_seed(seed)
    w = torch.randn(1, N, D, generator=g, dtype=torch.float64)
    theta = torch.linalg.qr(torch.randn(1, D, k, generator=g, dtype=torch.float64)).Q.mT
    return w, theta, Neurons(torch.randn(1, N, 1, generator=g, dtype=torch.float64), None, 1 / N)


def test_relu_s_coefficients():
    for k in range(8):  # the kink costs the quadrature three digits
        assert relu_coefficients()[k] == pytest.approx(coefficient(torch.relu, k), abs=0.02 * max(1, k))


def test_relu_s_kernel_sums_its_series():
    """E relu(u.x) relu(v.x) = sum_k c_k^2 t^k / k!."""
    t = torch.linspace(-0.9, 0.9, 7, dtype=torch.float64)
    factorials = np.cumprod([1.0, *range(1, 40)])
    series = sum(c**2 / f * t**k for k, (c, f) in enumerate(zip(relu_coefficients(), factorials)))
    torch.testing.assert_close(relu_kernel(t), series, atol=2e-4, rtol=0)


@pytest.mark.parametrize(
    "model",
    [
        single_index(d=D, link="he2"),
        single_index(d=D, link="he3", normalised=False),
        single_index(d=D, link="relu", normalised=False),
        single_index(d=D, link="relu", noise=0.5),
        single_index(d=D, link="polynomial", coefficients=[1.0, 0.5, 0.0, 0.2]),
        multi_index(d=D, target="z1+z1z2"),
        multi_index(d=D, target="z1+he3_z2"),
        multi_index(d=D, target="z1z2z3", normalised=True),
    ],
    ids=["he2", "he3", "relu", "relu_noise", "polynomial", "z1+z1z2", "z1+he3_z2", "z1z2z3"],
)
def test_population_loss_is_the_mean_over_samples(model):
    target = model.target
    w, theta, neurons = made(target.k)
    x = torch.randn(1, 2**20, D, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    y = target.value(x @ theta.mT)
    y = y + model.noise * torch.randn(y.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    errors = (neurons.output(w @ x.mT)[:, 0] - y).square() / 2
    loss = population_loss(w, theta, neurons, target, model.noise)
    assert loss is not None
    assert float(loss) == pytest.approx(float(errors.mean()), abs=5 * float(errors.std()) / 2**10)
    assert float(network_error(w, neurons, x, y)) / 2 == pytest.approx(float(errors.mean()), rel=1e-12)


def test_its_gradient_is_that_of_samples():
    """The mean gradient over samples, where every neuron moves by x, against central differences of the closed form."""
    target = single_index(d=D, link="he3").target
    w, theta, neurons = made(1, seed=3)
    nudges = 1e-5 * torch.eye(N * D, dtype=torch.float64).reshape(-1, 1, N, D)
    ends = [population_loss(w + sign * nudges, theta, neurons, target, 0.0) for sign in (1, -1)]
    exact = ((ends[0] - ends[1]) / 2e-5).reshape(1, N, D)
    x = torch.randn(1, 2**20, D, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    signal = neurons.signal(w @ x.mT, target.value(x @ theta.mT)[:, None], True)
    sampled = -neurons.scale * signal @ x / x.shape[1]
    assert float((sampled - exact).norm() / exact.norm()) < 0.05


def test_where_there_is_no_closed_form():
    w, theta, neurons = made(1)
    biased = Neurons(neurons.a, neurons.a, neurons.scale)
    assert population_loss(w, theta, biased, single_index(d=D).target, 0.0) is None
    w, theta, neurons = made(2)
    assert population_loss(w, theta, neurons, multi_index(d=D, target="sign_z1z2").target, 0.0) is None


def test_ridge_is_scikit_learn_s():
    g = torch.Generator().manual_seed(5)
    w, biases = (torch.randn(2, N, n, generator=g, dtype=torch.float64) for n in (D, 1))
    fit, test = (
        (x, x[..., 0].sin()) for x in (torch.randn(2, n, D, generator=g, dtype=torch.float64) for n in (50, 40))
    )
    neurons = Neurons(torch.ones_like(biases), biases, 1 / N)
    found = ridge_error(w, neurons, fit, test, [0.03])
    for p in range(2):
        u = torch.nn.functional.normalize(w[p], dim=-1)
        phi, seen = (torch.relu(x[p] @ u.T + biases[p].T).numpy() for x, _ in (fit, test))
        model = Ridge(alpha=0.03 * 50, fit_intercept=False).fit(phi, fit[1][p].numpy())
        assert float(found[p]) == pytest.approx(np.mean((model.predict(seen) - test[1][p].numpy()) ** 2), rel=1e-9)
    penalties = [1e-8, 0.03, 1e3]
    alone = [ridge_error(w, neurons, fit, test, [penalty]) for penalty in penalties]
    chosen = ridge_error(w, neurons, fit, test, penalties)
    assert all(any(float(chosen[p]) == float(one[p]) for one in alone[:2]) for p in range(2))


def test_the_penalty_is_chosen_without_the_test_samples():
    """Test labels that are one penalty's own predictions give it error 0: of two such sets only that of the chosen penalty can."""
    g = torch.Generator().manual_seed(6)
    w, biases = (torch.randn(1, N, n, generator=g, dtype=torch.float64) for n in (D, 1))
    x, unseen = (torch.randn(1, n, D, generator=g, dtype=torch.float64) for n in (50, 40))
    fit, penalties = (x, x[..., 0].sin()), [1e-3, 0.3]
    neurons, u = Neurons(torch.ones_like(biases), biases, 1 / N), torch.nn.functional.normalize(w[0], dim=-1)
    phi, seen = (torch.relu(part[0] @ u.T + biases[0].T).numpy() for part in (x, unseen))
    models = [Ridge(alpha=p * 50, fit_intercept=False).fit(phi, fit[1][0].numpy()) for p in penalties]
    favours = [torch.from_numpy(model.predict(seen))[None] for model in models]
    errors = [float(ridge_error(w, neurons, fit, (unseen, labels), penalties)) for labels in favours]
    assert sorted(error < 1e-12 for error in errors) == [False, True], errors


def test_the_penalty_is_chosen_by_samples_that_were_not_fitted():
    """The last fifth judges fits to the other four. Labels are noise and neurons many, so that a fit of all 50 likes the smallest best."""
    g = torch.Generator().manual_seed(7)
    penalties, width = [1e-6, 1e-3, 0.1, 10.0], 40
    w, biases = (torch.randn(3, width, n, generator=g, dtype=torch.float64) for n in (D, 1))
    x, unseen = (torch.randn(3, n, D, generator=g, dtype=torch.float64) for n in (50, 200))
    y, wanted = (torch.randn(3, n, generator=g, dtype=torch.float64) for n in (50, 200))
    neurons = Neurons(torch.ones_like(biases), biases, 1 / width)
    found = ridge_error(w, neurons, (x, y), (unseen, wanted), penalties)
    for p in range(3):
        u = torch.nn.functional.normalize(w[p], dim=-1)
        phi, seen = (torch.relu(part[p] @ u.T + biases[p].T).numpy() for part in (x, unseen))
        label = y[p].numpy()
        judged = [
            np.mean(
                (Ridge(alpha=c * 40, fit_intercept=False).fit(phi[:40], label[:40]).predict(phi[40:]) - label[40:]) ** 2
            )
            for c in penalties
        ]
        best = penalties[int(np.argmin(judged))]
        assert best > penalties[0], "or this would tell nothing"
        model = Ridge(alpha=best * 50, fit_intercept=False).fit(phi, label)
        assert float(found[p]) == pytest.approx(np.mean((model.predict(seen) - wanted[p].numpy()) ** 2), rel=1e-8)
