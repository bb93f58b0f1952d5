"""Step-size schedules at the points where their values are known."""

from __future__ import annotations

import math

import pytest
import torch

from bench import schedules
from bench.errors import UserError
from methods.sign.ssvr import SSVR


def path(make, total: int = 100, lr: float = 0.5) -> list[float]:
    opt = torch.optim.SGD([torch.nn.Parameter(torch.zeros(4))], lr=lr)
    schedule, found = make(opt, total, 10), []
    for _ in range(total):
        found.append(opt.param_groups[0]["lr"])
        opt.step()
        schedule.step()
    return found


def test_constant_and_warm_up():
    assert path(lambda *a: schedules.constant(*a)) == [0.5] * 100
    warm = path(lambda *a: schedules.constant(*a, warmup_epochs=2.0))
    assert warm[0] == pytest.approx(0.005)
    assert warm[10] == pytest.approx(0.5 * (0.01 + 0.99 / 2))
    assert warm[20:] == [0.5] * 80


def test_cosine():
    found = path(lambda *a: schedules.cosine(*a))
    assert found == pytest.approx([0.25 * (1 + math.cos(math.pi * t / 100)) for t in range(100)])
    warm = path(lambda *a: schedules.cosine(*a, warmup_epochs=2.0))
    assert warm[60] == pytest.approx(0.25)


def test_steps():
    found = path(lambda *a: schedules.steps(*a, milestones=[0.5, 0.75], gamma=0.1))
    assert found == pytest.approx([0.5] * 50 + [0.05] * 25 + [0.005] * 25)
    with pytest.raises(UserError, match="milestones"):
        path(lambda *a: schedules.steps(*a, milestones=[0.75, 0.5]))


def test_theory_multiplies_lr_and_sets_beta():
    opt = SSVR([torch.nn.Parameter(torch.zeros(25))], lr=3.0, beta=0.5)
    schedules.theory(opt, 1000, 10)
    group = opt.param_groups[0]
    assert group["lr"] == pytest.approx(3 * 25**-0.5 * 1000 ** (-2 / 3))
    assert group["beta"] == pytest.approx(0.01)
    with pytest.raises(UserError, match="states no theory"):
        path(lambda *a: schedules.theory(*a))
