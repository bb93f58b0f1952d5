"""Convergence of every optimizer on one list of problems; bad use; the examples in the docstrings."""

from __future__ import annotations

import doctest
import importlib

import pytest
import torch
from sign_family import ALL
from torch import nn

from methods.sign.baselines import SGD, AdamW
from methods.sign.signsgd import SignSGD
from methods.sign.ssvr import SSVR, SSVRFS


def scaled_quadratic(x):
    return (torch.logspace(-2, 2, x.numel(), dtype=x.dtype) * (x - 1).square()).sum() / 2


def rosenbrock(x):
    return ((1 - x[0]).square() + 100 * (x[1] - x[0].square()).square()) / 100


def factorisation(x):
    u = x.view(2, 3)
    target = torch.tensor([[2.0, 1.0, 0.0], [1.0, 2.0, 1.0], [0.0, 1.0, 0.5]], dtype=x.dtype)
    return (u.T @ u - target).square().sum()


PROBLEMS = {
    "quadratic": (scaled_quadratic, 6, 0.05),
    "rosenbrock": (rosenbrock, 2, 0.02),
    "factorisation": (factorisation, 6, 0.75),
}
RATES = {
    "sgd": {"quadratic": 0.005, "factorisation": 0.005},
    "ef_signsgd": {"quadratic": 0.004, "factorisation": 0.005},
}
STEPS = {"ef_signsgd": 3000}


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("name", ALL)
def test_convergence(name, problem):
    """With a step size decaying to zero, each reaches a small loss on each problem (the factorisation's minimum is above zero)."""
    loss_of, dim, target = PROBLEMS[problem]
    x = nn.Parameter(torch.linspace(-0.5, 0.7, dim, dtype=torch.float64))
    lr, steps = RATES.get(name, {}).get(problem, 0.02), STEPS.get(name, 1000)
    opt = ALL[name]([x], lr=lr)

    def closure():
        opt.zero_grad()
        loss = loss_of(x)
        loss.backward()
        return loss

    for t in range(steps):
        opt.param_groups[0]["lr"] = lr * (1 - t / steps)
        if t % 10 == 0 and hasattr(opt, "snapshot"):
            opt.snapshot(closure, 10)
        opt.step(closure)
    assert loss_of(x).item() < target


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda p: SSVR(p, lr=-1.0, beta=0.5), "lr"),
        (lambda p: SSVR(p, lr=0.1, beta=0.0), "beta"),
        (lambda p: SSVR(p, lr=0.1, beta=1.5), "beta"),
        (lambda p: SSVRFS(p, lr=0.1, form="other"), "form"),
        (lambda p: SignSGD(p, lr=0.1, weight_decay=-1.0), "weight_decay"),
        (lambda p: SGD(p, lr=-0.1), "lr"),
        (lambda p: AdamW(p, lr=float("nan")), "lr"),
    ],
)
def test_bad_hyper_parameters_name_the_argument(make, word):
    with pytest.raises(ValueError, match=word):
        make([nn.Parameter(torch.zeros(2))])


@pytest.mark.parametrize("name", ["ssvr_fs", "signsvrg"])
def test_a_step_before_any_snapshot_is_an_error(name):
    x = nn.Parameter(torch.zeros(5, dtype=torch.float64))
    opt = ALL[name]([x])
    with pytest.raises(RuntimeError, match="snapshot"):
        opt.step(lambda: x.square().sum())


def test_a_step_without_a_closure_is_an_error():
    with pytest.raises(ValueError, match="closure"):
        ALL["ssvr"]([nn.Parameter(torch.zeros(2))]).step(None)


@pytest.mark.parametrize("module", ["methods.sign.ssvr", "methods.sign.signsgd"])
def test_the_examples_in_the_docstrings_run(module):
    done = doctest.testmod(importlib.import_module(module), extraglobs={"torch": torch})
    assert done.attempted >= 4
    assert done.failed == 0
