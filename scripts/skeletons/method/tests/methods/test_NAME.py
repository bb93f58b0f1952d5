"""TITLE beside what others compute, and where it converges."""

from __future__ import annotations

import torch

from methods.NAME import TITLE


def path(optimizer: torch.optim.Optimizer, x: torch.nn.Parameter) -> torch.Tensor:
    """Iterates on a quadratic, one a row."""
    curvature, found = torch.linspace(0.1, 2, len(x), dtype=x.dtype), []

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = (curvature * x.square()).sum() / 2
        loss.backward()
        return loss

    for _ in range(200):
        optimizer.step(closure)
        found.append(x.detach().clone())
    return torch.stack(found)


def start() -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.linspace(-1, 2, 5, dtype=torch.float64))


def test_it_is_what_others_compute():
    """FILL IN: another library, a closed form or a plain rewriting that gives the same numbers."""
    x, y = start(), start()
    theirs = path(torch.optim.SGD([y], lr=0.05, momentum=0.9, foreach=False), y)
    torch.testing.assert_close(path(TITLE([x], lr=0.05, momentum=0.9), x), theirs, rtol=1e-12, atol=1e-14)


def test_it_converges():
    x = start()
    assert path(TITLE([x], lr=0.05), x)[-1].norm() < 0.05
