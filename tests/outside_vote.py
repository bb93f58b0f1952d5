"""Outside references of distributed sign methods: torch.optim's gradients over their size and momentum buffers, scipy's coins, numpy's median."""

from __future__ import annotations

import numpy as np
import torch
from outside_made import made
from scipy.stats import bernoulli

N, D, STEPS, BETA = 4, 6, 60, 0.1
Array = np.ndarray


def _numbers(t: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradients of all workers and their uniform numbers at a step."""
    draw = torch.Generator().manual_seed(t)
    g = torch.randn(N, D, generator=draw, dtype=torch.float64) + torch.linspace(-1, 1, D, dtype=torch.float64)
    return g, torch.rand(N, D, generator=draw, dtype=torch.float64)


def _ours(name: str, **more: float) -> Array:
    """Directions of a method, whose step is a multiple of them."""
    method = made(name, dataset="worker_quadratics", lr=0.5, **more)
    worker, server, found = method.worker(), method.server(), []
    for t in range(STEPS):
        g, u = _numbers(t)
        sent = worker.message(g, None, lambda own: own.amax(0, keepdim=True), lambda u=u: u)
        found.append(method.lr * server.vote(sent, lambda: torch.empty(0)))
    return torch.stack(found).numpy()


def _momenta() -> list[Array]:
    """torch.optim.SGD's buffers, one worker after another."""
    shadows = [torch.nn.Parameter(torch.zeros(D, dtype=torch.float64)) for _ in range(N)]
    theirs = torch.optim.SGD(shadows, lr=1.0, momentum=1 - BETA, dampening=1 - BETA, foreach=False)
    found = []
    for t in range(STEPS):
        for shadow, g in zip(shadows, _numbers(t)[0]):
            shadow.grad = g
        theirs.step()
        found.append(np.stack([theirs.state[shadow]["momentum_buffer"].numpy().copy() for shadow in shadows]))
    return found


def _coins(t: int, probability: Array) -> Array:
    """scipy's quantile function of a coin at the same numbers, as -1 and +1."""
    return 2 * bernoulli.ppf(1 - _numbers(t)[1].numpy(), probability) - 1


def _agree(found: Array, expected: list[Array]) -> None:
    np.testing.assert_allclose(found, 0.5 * np.stack(expected), rtol=1e-12, atol=1e-12)


def signsgd_mv() -> None:
    """The median of g / |g|, AdamW's step without any memory: between -1 and +1 it is 0."""
    steps = []
    for t in range(STEPS):
        points = [torch.nn.Parameter(torch.zeros(D, dtype=torch.float64)) for _ in range(N)]
        theirs = torch.optim.AdamW(points, lr=1.0, betas=(0.0, 0.0), eps=0.0, weight_decay=0.0, foreach=False)
        for point, g in zip(points, _numbers(t)[0]):
            point.grad = g
        theirs.step()
        steps.append(np.median(np.stack([-point.detach().numpy() for point in points]), axis=0))
    _agree(_ours("signsgd_mv"), steps)


def signum_mv() -> None:
    """The median of the signs of torch's momentum buffers."""
    _agree(_ours("signum_mv", beta=BETA), [np.median(np.sign(m), axis=0) for m in _momenta()])


def ssdm() -> None:
    """The mean of coins whose odds are the buffers over their lengths."""
    odds = [0.5 + m / (2 * np.linalg.norm(m, axis=1, keepdims=True)) for m in _momenta()]
    _agree(_ours("ssdm", beta=BETA), [_coins(t, p).mean(0) for t, p in enumerate(odds)])


def sto_signsgd() -> None:
    """The median of coins whose odds are the gradients over a number, the largest of all entries where none is given."""
    for radius in (4.0, None):
        expected = []
        for t in range(STEPS):
            g = _numbers(t)[0].numpy()
            odds = np.clip(0.5 + g / (2 * (radius or np.abs(g).max())), 0, 1)
            expected.append(np.median(_coins(t, odds), axis=0))
        _agree(_ours("sto_signsgd", radius=radius), expected)


def mv_sto_signsgd_sim() -> None:
    """The same of torch's momentum buffers."""
    odds = [0.5 + m / (2 * np.abs(m).max()) for m in _momenta()]
    expected = [np.median(_coins(t, p), axis=0) for t, p in enumerate(odds)]
    _agree(_ours("mv_sto_signsgd_sim", beta=BETA, radius=None), expected)


REFERENCES = {f.__name__: f for f in (signsgd_mv, signum_mv, ssdm, sto_signsgd, mv_sto_signsgd_sim)}
