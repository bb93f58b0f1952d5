"""Outside references of the doubly stochastic paper's baselines: torch.optim on autograd's gradients, scikit-learn, scipy."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from outside_made import made
from scipy import special, stats
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.nn.functional import softplus

from datasets.sums.noisy_logistic import AugmentedLogistic

L2, LR = 0.1, 0.05
DATASET = {"dataset": "logistic_breast_cancer"}


@cache
def _problem(noise: float) -> AugmentedLogistic:
    return AugmentedLogistic(noise=noise, l2=L2)


def _method(name: str, noise: float, **more: Any) -> Any:
    problem = _problem(noise)
    constants = problem.num_components, problem.smoothness, problem.strong_convexity
    return made(name, *constants, **DATASET, **more)


def _descent(method: Any, problem: AugmentedLogistic, steps: int) -> tuple[list[Tensor], list[tuple[Tensor, Any]]]:
    """The method's iterates from 0 with its own step size, and the draws that made them."""
    index = method.minibatches([0], 0, steps, 1)
    eta = method.noise([0], 0, steps, 1, problem.noise_dim)
    x = method.begin(
        torch.zeros(1, 1, problem.dim, dtype=torch.float64), torch.tensor([method.lr], dtype=torch.float64)
    )
    path, draws = [], []
    for t in range(steps):
        draws.append((index[t], None if eta is None else eta[t]))
        x = method.update(x, problem.gradient(x, problem.batch(*draws[-1])), t)
        path.append(x[0, 0])
    return path, draws


def _torchs(optimizer: Callable, draws: list[tuple[Tensor, Any]], problem: AugmentedLogistic) -> list[Tensor]:
    """torch's iterates on the loss as it is written down, with these draws."""
    x = torch.zeros(problem.dim, dtype=torch.float64, requires_grad=True)
    opt, path = optimizer([x]), []
    for index, eta in draws:
        a, y = problem.a[index[0]], problem.y[index[0]]
        if eta is not None:
            a = a[:, None] + torch.nn.functional.pad(problem._noise * eta[0], (0, 1))
            y = y[:, None]
        opt.zero_grad()
        (softplus(-y * (a @ x)).mean() + L2 * x.square().sum() / 2).backward()
        opt.step()
        path.append(x.detach().clone())
    return path


def _same(found: list[Tensor], expected: list[Tensor]) -> None:
    torch.testing.assert_close(torch.stack(found), torch.stack(expected), rtol=1e-8, atol=1e-10)


def singly_sgd() -> None:
    """torch.optim.SGD on minibatches without repetition and without noise; 1 / (2 L p) where no step size is given."""
    method, problem = _method("singly_sgd", 0.0), _problem(0.0)
    path, draws = _descent(method, problem, 40)
    lr = 1 / (2 * problem.smoothness * (problem.num_components // 8))
    _same(path, _torchs(lambda p: torch.optim.SGD(p, lr=lr), draws, problem))
    assert all(len(index.unique()) == index.numel() == 8 for index, _ in draws)
    assert len({tuple(index.flatten().tolist()) for index, _ in draws}) == 40, "fresh minibatches"
    assert _method("singly_sgd", 1.0).noise([0], 0, 1, 1, 3) is None, "the expectation, whatever the noise"


def full_batch_sgd() -> None:
    """torch.optim.SGD on all components with fresh standard normal draws that they share."""
    method, problem = _method("full_batch_sgd", 1.0, lr=LR), _problem(1.0)
    path, draws = _descent(method, problem, 40)
    _same(path, _torchs(lambda p: torch.optim.SGD(p, lr=LR), draws, problem))
    assert all((index == torch.arange(problem.num_components)).all() for index, _ in draws)
    eta = torch.stack([eta.flatten() for _, eta in draws])
    assert len(eta.unique()) > 0.99 * eta.numel(), "fresh at each step"
    assert stats.kstest(eta.flatten().numpy(), "norm").pvalue > 1e-4


def gradient_descent() -> None:
    """torch.optim.SGD on the whole loss, and scikit-learn's minimiser in the end."""
    method, problem = _method("gradient_descent", 0.0, lr=0.25), _problem(0.0)
    path, draws = _descent(method, problem, 600)
    _same(path[:40], _torchs(lambda p: torch.optim.SGD(p, lr=0.25), draws[:40], problem))
    n = problem.num_components
    fitted = LogisticRegression(C=1 / (L2 * n), fit_intercept=False, tol=1e-10, max_iter=5000)
    best = fitted.fit(problem.a.numpy(), problem.y.numpy()).coef_[0]
    np.testing.assert_allclose(path[-1].numpy(), best, rtol=0, atol=1e-5)


def doubly_adam() -> None:
    """torch.optim.Adam's iterates, averaged with weights binom(t + c - 1, c)."""
    method, problem = _method("doubly_adam", 1.0), _problem(1.0)
    for _ in range(2):  # what one descent leaves is nothing to the next
        path, draws = _descent(method, problem, 30)
        _same(path, _torchs(lambda p: torch.optim.Adam(p, lr=0.01), draws, problem))
        weights = torch.from_numpy(special.binom(np.arange(30) + 8, 8))
        mean = (weights[:, None] * torch.stack(path)).sum(0) / weights.sum()
        torch.testing.assert_close(method.answer(path[-1])[0, 0], mean, rtol=1e-8, atol=1e-12)


REFERENCES = {f.__name__: f for f in (singly_sgd, full_batch_sgd, gradient_descent, doubly_adam)}
