"""Outside references of black-box variational inference: torch.optim on autograd's gradient of the ELBO, scipy for the proximal operator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from outside_made import made
from scipy.optimize import brentq
from torch import Tensor

from bench.tasks.inference.estimators import EnergyGradients
from bench.tasks.inference.gaussian import Gaussian
from datasets.bayes.drawn import logistic_regression

SEEDS, D, STEPS, LR, DECAY = [0, 1], 3, 25, 0.02, 0.05
DATASET = {"dataset": "logistic_regression"}


def _model() -> Any:
    return logistic_regression("", SEEDS, n=40, dim=D)


def _ours(name: str, **more: float) -> Gaussian:
    """q after some steps from the prior with the gradients of the task's quadrature."""
    model = _model()
    gradients = EnergyGradients(model, SEEDS, "quadrature", None, 1)
    method = made(name, **DATASET, lr=LR, decay=DECAY, **more)
    method.begin(_prior())
    for t in range(STEPS):
        method.update(t, *gradients(t, method.q))
    return method.q


def _prior() -> Gaussian:
    eye = torch.eye(D, dtype=torch.float64).expand(1, len(SEEDS), D, D)
    return Gaussian(torch.zeros(1, len(SEEDS), D, dtype=torch.float64), eye)


def _torchs(optimizer: Callable, entropy: bool, after: Callable[[Tensor, float], None]) -> tuple[Tensor, Tensor]:
    """m and C by torch's optimizer on -ELBO (without `entropy` on what is left of it), with steps of lr / (1 + decay t)."""
    model, q = _model(), _prior()
    mean, scale = (torch.nn.Parameter(v[0].clone()) for v in (q.mean, q.scale))
    opt = optimizer([mean, scale])
    schedule = torch.optim.lr_scheduler.LambdaLR(opt, lambda t: 1 / (1 + DECAY * t))
    for _ in range(STEPS):
        opt.zero_grad()
        lower = scale.tril()
        loss = -model.elbo(Gaussian(mean, lower)).sum()
        if not entropy:
            loss = loss + lower.diagonal(dim1=-2, dim2=-1).log().sum()
        loss.backward()
        rate = schedule.get_last_lr()[0]
        opt.step()
        schedule.step()
        with torch.no_grad():
            after(scale, rate)
    return mean.detach(), scale.detach()


def _same(q: Gaussian, expected: tuple[Tensor, Tensor]) -> None:
    torch.testing.assert_close(q.mean[0], expected[0], rtol=1e-8, atol=1e-9)
    torch.testing.assert_close(q.scale[0], expected[1], rtol=1e-8, atol=1e-9)


def _cut(scale: Tensor, rate: float) -> None:
    scale.diagonal(dim1=-2, dim2=-1).clamp_(min=0.6)


def projected_sgd() -> None:
    """torch.optim.SGD on -ELBO, the diagonal cut from below, and the cut at work."""
    found = _ours("projected_sgd", floor=0.6)
    _same(found, _torchs(lambda p: torch.optim.SGD(p, lr=LR), True, _cut))
    assert (found.scale.diagonal(dim1=-2, dim2=-1) == 0.6).any()


def adam_vi() -> None:
    """torch.optim.Adam on -ELBO, the diagonal cut from below."""
    _same(_ours("adam_vi", floor=0.6), _torchs(lambda p: torch.optim.Adam(p, lr=LR), True, _cut))


def proximal_sgd() -> None:
    """torch.optim.SGD on the energy, then argmin_x (x - c)^2 / (2 rate) - log x of each diagonal entry by scipy."""

    def prox(scale: Tensor, rate: float) -> None:
        diagonal = scale.diagonal(dim1=-2, dim2=-1)
        for place in torch.cartesian_prod(*(torch.arange(n) for n in diagonal.shape)):
            c = float(diagonal[tuple(place)])
            root = brentq(lambda x, c=c: (x - c) / rate - 1 / x, 1e-12, abs(c) + rate**0.5 + 1, xtol=1e-15, rtol=1e-14)
            diagonal[tuple(place)] = root

    _same(_ours("proximal_sgd"), _torchs(lambda p: torch.optim.SGD(p, lr=LR), False, prox))


REFERENCES = {f.__name__: f for f in (projected_sgd, adam_vi, proximal_sgd)}
