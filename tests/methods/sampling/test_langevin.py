"""Replica exchange: the laws that its swaps keep, the pairs that it tries, energies after reflection, and what is refused."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from outside_sampling import LINE, wells, wells_gradient, wells_left
from torch import Tensor

from bench.tasks.sampling.curved import Flower
from bench.tasks.sampling.domains import Box
from methods.sampling.langevin import SGLD, CyclicalSGLD, ReplicaSGLD

COPIES, STEPS = 3000, 1200
PAIR = partial(ReplicaSGLD, lr=2e-3, temperatures=[1.0, 10.0], lr_ratio=2.0)


def share_left(method: ReplicaSGLD, noise: float = 0.0, domain: Box = LINE, seed: int = 0) -> float:
    """The share of the first chain in the deeper well, with energies of normal noise."""
    g = torch.Generator().manual_seed(seed)
    x = torch.ones(method.chains, COPIES, 1, dtype=torch.float64)
    method.begin(x, domain, STEPS, noise**2)
    for t in range(STEPS):
        normal = torch.randn(x.shape, generator=g, dtype=torch.float64)
        uniform = torch.rand(method.chains - 1, COPIES, generator=g, dtype=torch.float64)
        x = method.step(
            t,
            x,
            wells_gradient,
            lambda p: wells(p) + noise * torch.randn(p.shape[:-1], generator=g, dtype=torch.float64),
            normal,
            uniform,
        )
    return float((x[0, :, 0] < 0).double().mean())


@pytest.mark.parametrize("noise", [0.0, 1.5])
def test_swaps_keep_the_law_with_exact_and_with_noisy_energies(noise):
    assert share_left(PAIR(), noise) == pytest.approx(wells_left(), abs=0.035)


def test_three_temperatures_keep_it_too():
    assert share_left(PAIR(temperatures=[1.0, 3.0, 10.0], lr_ratio=1.5)) == pytest.approx(wells_left(), abs=0.035)


def test_without_the_correction_noisy_swaps_do_not():
    assert abs(share_left(PAIR(correction=0.0), 3.0) - wells_left()) > 0.06
    assert share_left(PAIR(), 3.0) == pytest.approx(wells_left(), abs=0.04), "with it they do, at the same noise"


def test_without_swaps_the_cold_chain_stays_where_it_began():
    assert share_left(PAIR(swap="none")) < 0.02


def test_swaps_by_hand():
    """log S = (1/10 - 1) (U_hot - U_cold) - 0.81 s^2, against a uniform draw."""
    method = PAIR(correction=0.5, swap="metropolis")
    x = torch.zeros(2, 4, 1, dtype=torch.float64)
    x[1] = 1
    method.begin(x, LINE, 1)
    gap = torch.tensor([0.0, 1.0, -1.0, 0.5], dtype=torch.float64)
    probability = (-0.9 * gap - 0.81 * 0.5).exp().clamp(max=1)
    energies = torch.stack([torch.zeros(4, dtype=torch.float64), gap])
    for shift, expected in ((-1e-6, [1, 1, 1, 1]), (1e-6, [0, 0, 1, 0])):  # one that is certain happens at any draw
        moved = method._exchange(x, energies, (probability + shift)[None], slice(0, 1, 2))
        assert moved[0, :, 0].tolist() == expected
        assert moved[1, :, 0].tolist() == [1 - e for e in expected]


def test_the_released_threshold_is_an_energy_gap():
    """At temperatures 1 and 10 and a variance of 9: an exchange where U_hot - U_cold is at most 0.913."""
    method = PAIR(swap="threshold", correction=9.0)
    x = torch.zeros(2, 2, 1, dtype=torch.float64)
    x[1] = 1
    method.begin(x, LINE, 1)
    edge = (-math.log(3e-4) - 0.81 * 9) / 0.9
    assert edge == pytest.approx(0.913, abs=1e-3)
    energies = torch.tensor([[0.0, 0.0], [edge - 1e-6, edge + 1e-6]], dtype=torch.float64)
    moved = method._exchange(x, energies, torch.full((1, 2), 0.999, dtype=torch.float64), slice(0, 1, 2))
    assert moved[0, :, 0].tolist() == [1, 0]


@pytest.mark.parametrize(("temperatures", "attempts"), [([1, 2], [7]), ([1, 2, 4], [4, 3]), ([1, 2, 4, 8], [4, 3, 4])])
def test_pairs_are_tried_in_turn(temperatures, attempts):
    method = ReplicaSGLD(lr=1e-3, temperatures=[float(t) for t in temperatures])
    x = torch.zeros(len(temperatures), 5, 1, dtype=torch.float64)
    method.begin(x, LINE, 7, 0.0)
    for t in range(7):
        uniform = torch.zeros(len(temperatures) - 1, 5, dtype=torch.float64)
        x = method.step(t, x, torch.zeros_like, lambda p: p[..., 0], torch.zeros_like(x), uniform)
    assert list(method.attempts(7)) == attempts
    assert method.swaps.sum(1).tolist() == [5 * a for a in attempts], "a draw of 0 always exchanges"


def test_a_ladder_carries_the_hottest_state_down():
    method = ReplicaSGLD(lr=1e-9, temperatures=[1.0, 2.0, 4.0])
    x = torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64)[:, None, None].expand(3, 1, 1)
    method.begin(x, LINE, 4, 0.0)
    states = []
    for t in range(4):
        x = method.step(
            t, x, torch.zeros_like, lambda p: 0 * p[..., 0], torch.zeros_like(x), torch.zeros(2, 1).double()
        )
        states.append(x[:, 0, 0].tolist())
    assert states == [[1, 0, 2], [1, 2, 0], [2, 1, 0], [2, 0, 1]]


def test_energies_are_of_reflected_positions():
    flower, g, asked = Flower(2.0), torch.Generator().manual_seed(0), []
    method = ReplicaSGLD(lr=0.02, temperatures=[1.0, 10.0], reflect=True)
    x = torch.zeros(2, 200, 2, dtype=torch.float64)
    method.begin(x, flower, 20, 0.0)

    def watched(points: Tensor) -> Tensor:
        asked.append(bool(flower.inside(points).all()))
        return points.square().sum(-1)

    for t in range(20):
        normal = torch.randn(x.shape, generator=g, dtype=torch.float64)
        x = method.step(t, x, lambda p: 0 * p, watched, normal, torch.rand(1, 200, generator=g, dtype=torch.float64))
    assert asked == [True] * 20


def test_in_a_wide_domain_reflection_changes_nothing():
    assert share_left(PAIR(reflect=True)) == share_left(PAIR())


def test_lr_and_temperatures_of_the_ladder():
    method = ReplicaSGLD(lr=1e-3, lr_ratio=5.0, temperatures=[1.0, 10.0])
    method.begin(torch.zeros(2, 1, 1, dtype=torch.float64), LINE, 1, 0.0)
    lr, spread = method.rates(0)
    assert lr.flatten().tolist() == pytest.approx([1e-3, 5e-3])
    assert spread.flatten().tolist() == pytest.approx([math.sqrt(2e-3), math.sqrt(0.1)])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ReplicaSGLD(lr=1e-3, temperatures=[1.0]), "at least two"),
        (lambda: ReplicaSGLD(lr=1e-3, temperatures=[2.0, 1.0]), "each above the one before"),
        (lambda: CyclicalSGLD(lr=1e-3, floor=1e-2, cycles=5), "floor"),
        (lambda: PAIR().begin(torch.zeros(2, 1, 1), LINE, 1, None), "does not state"),
    ],
)
def test_what_does_not_fit_is_one_line(make, said):
    with pytest.raises(ValueError, match=said):
        make()


def test_one_chain_swaps_with_nobody():
    assert SGLD(lr=1e-3).swaps is None
