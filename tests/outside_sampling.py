"""Outside references of the samplers: torch's SGD and schedulers, stationary laws in closed form, scipy's quadrature."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from outside_made import made
from scipy import integrate, stats
from torch import Tensor

from bench.tasks.sampling.domains import Ball, Box

DATASET = {"dataset": "multimodal"}
COPIES = 4000
LINE = Box(torch.full((1,), -50.0, dtype=torch.float64), torch.full((1,), 50.0, dtype=torch.float64))


def path(
    method: Any, gradient: Callable, energy: Callable, domain: Box, steps: int, start: float = 0.0, noise: float = 1.0
) -> Tensor:
    """The first chain [COPIES] after `steps` steps from `start`, all estimates exact."""
    g = torch.Generator().manual_seed(0)
    x = torch.full((method.chains, COPIES, 1), start, dtype=torch.float64)
    method.begin(x, domain, steps, 0.0)
    for t in range(steps):
        normal = noise * torch.randn(x.shape, generator=g, dtype=torch.float64)
        uniform = torch.rand(method.chains - 1, COPIES, generator=g, dtype=torch.float64)
        x = method.step(t, x, gradient, energy, normal, uniform)
    return x[0, :, 0]


def parabola(name: str, curvature: float = 2.0, lr: float = 0.1, extra: float = 0.0, **more: Any) -> None:
    """Of U = k x^2 / 2: without noise torch's SGD step for step, with it the variance tau / (k (1 - eta k / 2)) of the scheme itself.

    extra: the curvature that a penalty adds.
    """
    method = made(name, **DATASET, lr=lr, **more)
    k = curvature + extra
    quiet = path(method, lambda x: curvature * x, lambda x: curvature * x[..., 0] ** 2 / 2, LINE, 7, 1.0, 0.0)
    theirs = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))
    optimizer = torch.optim.SGD([theirs], lr=lr, weight_decay=extra)
    for _ in range(7):
        optimizer.zero_grad()
        (curvature * theirs.square().sum() / 2).backward()
        optimizer.step()
    assert float(quiet[0]) == pytest.approx(theirs.item(), rel=1e-12)
    x = path(method, lambda x: curvature * x, lambda x: curvature * x[..., 0] ** 2 / 2, LINE, 60)
    expected = 1 / (k * (1 - lr * k / 2))
    statistic = (COPIES - 1) * float(x.var()) / expected
    assert 1e-3 < stats.chi2.cdf(statistic, COPIES - 1) < 1 - 1e-3


def truncated_exponential() -> None:
    """Of a constant force on an interval: an exponential law cut off at its end, which scipy knows."""
    side = Box(torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64))
    method = made("r_sgld", **DATASET, lr=1e-3)
    x = path(method, lambda x: torch.full_like(x, 3.0), lambda x: 3 * x[..., 0], side, 1500, 0.5)
    assert stats.kstest(x.numpy(), stats.truncexpon(b=3.0, scale=1 / 3).cdf).pvalue > 1e-3
    disc = Ball(torch.zeros(1, dtype=torch.float64), 1.0)
    x = path(
        made("r_sgld", **DATASET, lr=0.1),
        lambda x: torch.full_like(x, -5.0),
        lambda x: -5 * x[..., 0],
        disc,
        1,
        0.75,
        0.0,
    )
    assert x.tolist() == pytest.approx([0.75] * COPIES), "0.75 + 0.5 is mirrored at 1"


def restarts(name: str) -> None:
    """The step sizes of torch's cosine annealing with warm restarts, and its path without noise."""
    steps, lr, floor = 50, 0.1, 0.02
    method = made(name, **DATASET, lr=lr, floor=floor, cycles=5)
    ours = path(method, lambda x: x, lambda x: x[..., 0] ** 2 / 2, LINE, steps, 1.0, 0.0)
    theirs = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))
    optimizer = torch.optim.SGD([theirs], lr=lr)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=steps // 5)
    for t in range(steps):
        theirs.grad = theirs.detach().clone()
        rate, spread = method.rates(t)
        assert rate == pytest.approx(max(scheduler.get_last_lr()[0], floor), rel=1e-9)
        assert spread == pytest.approx(math.sqrt(2 * rate), rel=1e-12)
        optimizer.param_groups[0]["lr"] = max(scheduler.get_last_lr()[0], floor)
        optimizer.step()
        scheduler.step()
    assert float(ours[0]) == pytest.approx(theirs.item(), rel=1e-9)


def double_well(name: str, extra: float = 0.0, **more: Any) -> None:
    """A cold chain that cannot leave its well has, by exchanges alone, the law of both wells by scipy's quadrature."""

    def energy(x: Tensor) -> Tensor:
        return 8 * (x[..., 0] ** 2 - 1) ** 2 + x[..., 0]

    def law(x: float) -> float:
        return math.exp(-(8 * (x * x - 1) ** 2 + x + extra * x * x / 2))

    method = made(name, **DATASET, lr=2e-3, lr_ratio=2.0, temperatures=[1.0, 10.0], **more)
    x = path(method, lambda x: 32 * x * (x * x - 1) + 1, energy, LINE, 1500, 1.0)
    whole = integrate.quad(law, -3, 3)[0]
    left = integrate.quad(law, -3, 0)[0] / whole
    assert float((x < 0).double().mean()) == pytest.approx(left, abs=4 * math.sqrt(left * (1 - left) / COPIES) + 0.02)
    mean = integrate.quad(lambda x: x * law(x), -3, 3)[0] / whole
    assert float(x.mean()) == pytest.approx(mean, abs=4 * float(x.std()) / np.sqrt(COPIES) + 0.03)


def l2() -> None:
    """The penalty is part of the energy that is sampled."""
    parabola("resgld_l2", curvature=2.0, extra=1.0, swap="none")
    parabola("resgld_l2", curvature=1.0, extra=1.0, swap="none")


REFERENCES: dict[str, Callable[[], None]] = {
    "sgld": partial(parabola, "sgld"),
    "r_sgld": truncated_exponential,
    "cycsgld": partial(restarts, "cycsgld"),
    "r_cycsgld": partial(restarts, "r_cycsgld"),
    "sgld_lorenz": partial(parabola, "sgld_lorenz", reflect=False),
    "cycsgld_lorenz": partial(restarts, "cycsgld_lorenz"),
    "resgld": partial(double_well, "resgld"),
    "resgld_l2": l2,
}
