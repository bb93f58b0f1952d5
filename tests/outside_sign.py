"""Outside references of the SSVR paper's baselines: torch.optim on the same gradients, and automatic differentiation."""

from __future__ import annotations

from collections.abc import Callable

import torch
from outside_made import made
from torch import Tensor

D, STEPS, LR = 6, 60, 0.02
SUM = {"dataset": "least_squares"}


def _gradient(t: int, x: Tensor) -> Tensor:
    """Of a quadratic, with noise of step t."""
    noise = torch.randn(D, generator=torch.Generator().manual_seed(t), dtype=torch.float64)
    return torch.linspace(0.1, 3, D, dtype=torch.float64) * x.detach() + noise


def _start() -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.linspace(-1, 2, D, dtype=torch.float64))


def _path(optimizer: Callable, watch: Callable = lambda opt, x: None, gradients: list | None = None) -> list[Tensor]:
    """Iterates of an optimizer, of its own gradients or of those given."""
    x = _start()
    opt, found = optimizer([x]), []
    for t in range(STEPS):
        g = _gradient(t, x) if gradients is None else gradients[t]

        def closure(g: Tensor = g) -> Tensor:
            x.grad = g.clone()
            return g.sum()

        opt.step(closure)
        watch(opt, x)
        found.append(x.detach().clone())
    return found


def _ours(name: str, **more: float) -> Callable:
    return lambda params: made(name, params, lr=LR, **SUM, **more)


def _same(found: list[Tensor], expected: list[Tensor]) -> None:
    torch.testing.assert_close(torch.stack(found), torch.stack(expected), rtol=1e-10, atol=1e-12)


def sgd() -> None:
    """torch.optim.SGD, with the configured momentum and with Nesterov's."""
    for nesterov in (False, True):
        keys = {"momentum": 0.9, "nesterov": nesterov, "weight_decay": 0.01}
        ours = _path(_ours("sgd", nesterov=nesterov, weight_decay=0.01))
        _same(ours, _path(lambda p, k=keys: torch.optim.SGD(p, lr=LR, foreach=False, **k)))


def adamw() -> None:
    """torch.optim.AdamW in its plain loop."""
    theirs = _path(lambda p: torch.optim.AdamW(p, lr=LR, weight_decay=0.1, foreach=False))
    _same(_path(_ours("adamw", weight_decay=0.1)), theirs)


def signsgd() -> None:
    """AdamW without any memory: g / |g|."""
    theirs = _path(lambda p: torch.optim.AdamW(p, lr=LR, betas=(0.0, 0.0), eps=0.0, weight_decay=0.1, foreach=False))
    _same(_path(_ours("signsgd", weight_decay=0.1)), theirs)


def signsgd_sim() -> None:
    """The sign of torch.optim.SGD's momentum buffer, dampened by what the momentum leaves."""
    signs, x = [], _start()
    shadow = torch.nn.Parameter(torch.zeros(D, dtype=torch.float64))
    theirs, expected = torch.optim.SGD([shadow], lr=1.0, momentum=0.9, dampening=0.9), []
    for t in range(STEPS):
        shadow.grad = _gradient(t, x)
        theirs.step()
        signs.append(theirs.state[shadow]["momentum_buffer"].sign())
        with torch.no_grad():
            x -= LR * signs[-1]
        expected.append(x.detach().clone())
    _same(_path(_ours("signsgd_sim")), expected)


def ef_signsgd() -> None:
    """What error feedback holds back is returned: x_t - e_t are torch.optim.SGD's iterates on the same gradients, and steps are of one size."""
    x, errors = _start(), []
    first = x.detach().clone()
    path = _path(
        lambda p: made("ef_signsgd", p, lr=LR, dataset="digits"),
        lambda opt, x: errors.append(opt.state[x]["error"].clone()),
    )
    points = [first, *path[:-1]]
    gradients = [_gradient(t, point) for t, point in enumerate(points)]
    _same([a - e for a, e in zip(path, errors)], _path(lambda p: torch.optim.SGD(p, lr=LR), gradients=gradients))
    steps = torch.stack([(a - b).abs() for a, b in zip(path, points)])
    torch.testing.assert_close(steps, steps[:, :1].expand_as(steps), rtol=1e-9, atol=1e-12)
    owed = [torch.zeros(D, dtype=torch.float64), *errors[:-1]]
    sizes = torch.stack([(LR * g + e).abs().mean() for g, e in zip(gradients, owed)])
    torch.testing.assert_close(steps[:, 0], sizes, rtol=1e-9, atol=1e-12)


def signsvrg() -> None:
    """The sign of grad f_i(x_t) - grad f_i(x_s) + grad f(x_s), by automatic differentiation, with a snapshot each pass."""
    m = 5
    draw = torch.Generator().manual_seed(0)
    a, b = torch.randn(m, D, generator=draw, dtype=torch.float64), torch.randn(m, generator=draw, dtype=torch.float64)

    def loss(x: Tensor, i: int | None = None) -> Tensor:
        rows = slice(None) if i is None else slice(i, i + 1)
        return ((a[rows] @ x - b[rows]).square() / 2).mean() + x.sin().sum()

    def gradient(x: Tensor, i: int | None = None) -> Tensor:
        at = x.detach().clone().requires_grad_()
        return torch.autograd.grad(loss(at, i), at)[0]

    x, expected = _start(), _start().detach()
    opt, snapshot = made("signsvrg", [x], lr=LR, **SUM), expected
    for t in range(STEPS):
        i = (t * 3 + 1) % m

        def closure(i: int | None = i) -> Tensor:
            opt.zero_grad()
            value = loss(x, i)
            value.backward()
            return value

        if t % m == 0:
            opt.snapshot(lambda: closure(None), m)
            snapshot = expected
        opt.step(closure)
        v = gradient(expected, i) - gradient(snapshot, i) + gradient(snapshot)
        expected = expected - LR * v.sign()
        torch.testing.assert_close(x.detach(), expected, rtol=1e-10, atol=1e-12)


REFERENCES = {f.__name__: f for f in (sgd, adamw, signsgd, signsgd_sim, ef_signsgd, signsvrg)}
