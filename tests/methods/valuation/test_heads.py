"""EL2N, TracIn and influence against torch's gradients and optimizers, scikit-learn's logistic regression and retraining without a point."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from torch import nn
from valuation_points import advanced, gaussian, problem

from bench.seeding import generator
from methods.valuation.base import Scale
from methods.valuation.el2n import EL2N
from methods.valuation.influence import Influence
from methods.valuation.tracin import TracIn

TRAINING = {"epochs": 4, "batch_size": 64, "lr": 0.1}


def scaled(seen):
    """Features and a one, of training and reference points, by numpy."""
    x, reference = seen.x.double().numpy(), seen.reference_x.double().numpy()
    mean, std = x.mean(0), x.std(0)
    return [torch.from_numpy(np.c_[(part - mean) / std, np.ones(len(part))]) for part in (x, reference)]


def minibatches(n: int, epoch: int, size: int):
    order = torch.randperm(n, generator=generator(0, "order", epoch))
    return [order[i : i + size] for i in range(0, n - size + 1, size)]


@pytest.mark.parametrize("hidden", [0, 8])
def test_el2n_is_the_mean_error_of_networks_trained_one_by_one(hidden):
    """By torch.optim.SGD from the same starts."""
    seen = problem(gaussian("", 0))
    method = EL2N(models=3, hidden=hidden, momentum=0.9, **TRAINING)
    method.begin(seen)
    starts, total = dict(method.found), torch.zeros(300, dtype=torch.float64)
    starts = {name: value.clone() for name, value in starts.items()}
    x = scaled(seen)[0][:, :-1].float()
    for m in range(3):
        widths = [3, hidden, 3] if hidden else [3, 3]
        layers = [nn.Linear(a, b) for a, b in pairwise(widths)]
        for i, layer in enumerate(layers):
            layer.weight.data, layer.bias.data = starts[f"weight{i}"][m].T.clone(), starts[f"bias{i}"][m, 0].clone()
        network = nn.Sequential(layers[0], *([nn.ReLU(), layers[1]] if hidden else []))
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
        for epoch in range(4):
            for chosen in minibatches(300, epoch, 64):
                optimizer.zero_grad()
                F.cross_entropy(network(x[chosen]), seen.y[chosen]).backward()
                optimizer.step()
        with torch.no_grad():
            total += (network(x).softmax(1) - F.one_hot(seen.y, 3)).double().norm(dim=1) / 3
    torch.testing.assert_close(advanced(method, seen), -total, rtol=0, atol=1e-5)


def test_tracin_is_the_product_of_autograd_s_gradients_at_each_checkpoint():
    seen = problem(gaussian("", 1, n=130))
    x, reference = scaled(seen)
    head = torch.zeros(4, 3, dtype=torch.float64, requires_grad=True)

    def gradient(rows, labels):
        return torch.autograd.grad(F.cross_entropy(rows @ head, labels), head)[0]

    wanted = torch.zeros(130, dtype=torch.float64)
    for epoch in range(4):
        for chosen in minibatches(130, epoch, 64):
            step = gradient(x[chosen], seen.y[chosen])
            with torch.no_grad():
                head -= 0.1 * step
        if epoch in (1, 3):
            of_reference = [gradient(reference[j : j + 1], seen.reference_y[j : j + 1]) for j in range(60)]
            for i in range(130):
                own = gradient(x[i : i + 1], seen.y[i : i + 1])
                wanted[i] += 0.1 * sum((own * other).sum() for other in of_reference) / 60
    torch.testing.assert_close(advanced(TracIn(checkpoints=2, **TRAINING), seen), wanted, rtol=1e-9, atol=1e-12)


def fitted(x, y, damping: float) -> LogisticRegression:
    """J's minimum: the intercept is a coordinate, penalised as the others; `damping` is of the sum over 40 points."""
    return LogisticRegression(C=1 / damping, fit_intercept=False, tol=1e-12, max_iter=10_000).fit(x, y)


def test_influence_is_what_leaving_a_point_out_does():
    """The head is scikit-learn's; the values are within a few per cent of the reference loss of 40 retrained heads."""
    seen, damping = problem(gaussian("", 2, n=40, noise=2.0), dtype=torch.float64), 0.05
    method = Influence(damping=damping, newton_steps=20, cg_steps=100)
    values = advanced(method, seen).numpy()
    x, reference = (part.numpy() for part in scaled(seen))
    y = seen.y.numpy()

    def loss(model) -> float:
        return F.cross_entropy(torch.from_numpy(reference @ model.coef_.T), seen.reference_y).item()

    whole = fitted(x, y, damping * 40)
    np.testing.assert_allclose(method.found["head"].T.numpy(), whole.coef_, atol=1e-6)
    left_out = [loss(fitted(np.delete(x, i, 0), np.delete(y, i), damping * 40)) - loss(whole) for i in range(40)]
    assert np.corrcoef(values, left_out)[0, 1] > 0.99
    assert np.polyfit(left_out, values, 1)[0] == pytest.approx(1, abs=0.1)


def test_the_gradients_of_all_points_make_up_for_the_penalty():
    """sum_i grad l_i / N = - damping w at the minimum, so the values' sum is known."""
    seen = problem(gaussian("", 3), dtype=torch.float64)
    method = Influence(damping=0.01, newton_steps=20, cg_steps=100)
    values = advanced(method, seen)
    head, (_, reference) = method.found["head"], scaled(seen)
    error = (reference @ head).softmax(1) - F.one_hot(seen.reference_y, 3)
    solved = method._solve(reference.T @ error / len(error), 1e-12)
    assert values.sum().item() == pytest.approx(-0.01 * (solved * head).sum().item(), rel=1e-6)


@pytest.mark.parametrize(
    "method",
    [
        EL2N(models=4, hidden=16, momentum=0.9, **TRAINING),
        TracIn(checkpoints=2, **TRAINING),
        Influence(damping=1e-3, newton_steps=20, cg_steps=100),
    ],
    ids=lambda method: type(method).__name__,
)
def test_flipped_labels_have_low_values(method):
    points = gaussian("", 4, rate=0.2)
    values = advanced(method, problem(points))
    assert values[points.corrupted].median() < values[~points.corrupted].quantile(0.05)


def test_a_coordinate_that_does_not_vary_stays_finite():
    x = torch.tensor([[1.0, 5.0], [3.0, 5.0]])
    torch.testing.assert_close(Scale(x)(x), torch.tensor([[-1.0, 0.0], [1.0, 0.0]], dtype=torch.float64))


def test_more_checkpoints_than_epochs_are_refused():
    with pytest.raises(ValueError, match="checkpoints = 5: at most one for each of the 4 epochs"):
        TracIn(checkpoints=5, **TRAINING).begin(problem(gaussian("", 0)))
