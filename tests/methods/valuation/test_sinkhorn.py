"""The solver against GeomLoss and POT: the same potentials along the same list, the optimum's where it goes on."""

from __future__ import annotations

import math
from unittest.mock import patch

import numpy as np
import ot
import pytest
import torch
from geomloss import SamplesLoss
from torch import Tensor
from transport_points import gaussians

from methods.valuation import sinkhorn
from methods.valuation.costs import FeatureCosts, diameter, reference_side, training_side
from methods.valuation.sinkhorn import Schedule, annealed, blocks, coupling, solve

K = 4


def sides(n: int = 90, m: int = 40, dtype: torch.dtype = torch.float64) -> tuple[Tensor, ...]:
    x, y, _ = gaussians(n, K, 0, 0.3)
    other_x, other_y, _ = gaussians(m, K, 1)
    w = 100 * torch.rand(K, K, generator=torch.Generator().manual_seed(2), dtype=dtype)
    return x.to(dtype), y, other_x.to(dtype), other_y, w


def costs_of(x: Tensor, y: Tensor, other_x: Tensor, other_y: Tensor, w: Tensor, hold: bool = True) -> FeatureCosts:
    return FeatureCosts(training_side(x, y, K)[None], reference_side(other_x, other_y, w)[None], hold)


def uniform(*counts: int, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    return [torch.full((1, n), -math.log(n), dtype=dtype) for n in counts]


def by_geomloss(
    x: Tensor, y: Tensor, other_x: Tensor, other_y: Tensor, w: Tensor, scaling: float = 0.5
) -> list[Tensor]:
    """Potentials of its tensorized backend, labels as one more coordinate of which the cost alone takes notice."""
    nothing = torch.zeros_like(w)
    both = torch.cat([torch.cat([nothing, w], 1), torch.cat([w.T, nothing], 1)])  # it asks for the transposed cost too

    def cost(a: Tensor, b: Tensor) -> Tensor:
        squares = (a[:, :, None, :-1] - b[:, None, :, :-1]).square().sum(-1) / 2
        return squares + both[a[0, :, -1].long()][:, b[0, :, -1].long()] / 2

    loss = SamplesLoss(
        "sinkhorn", p=2, blur=0.1**0.5, scaling=scaling, cost=cost, backend="tensorized", diameter=diameter(x, other_x)
    )
    loss.debias, loss.potentials = False, True
    sides = torch.cat([x, y[:, None].to(x)], 1), torch.cat([other_x, other_y[:, None].to(x) + K], 1)
    return [part.flatten() for part in loss(*sides)]


@pytest.mark.parametrize(("dtype", "near"), [(torch.float64, 1e-9), (torch.float32, 1e-3)], ids=["double", "single"])
@pytest.mark.parametrize("hold", [True, False], ids=["held", "streamed"])
@pytest.mark.parametrize("entries", [300, 1 << 17], ids=["rows", "whole"])
def test_potentials_are_geomloss_s(dtype, near, hold, entries):
    given = sides(dtype=dtype)
    for scaling in (0.5, 0.8):
        eps = annealed(diameter(given[0], given[2]), 0.1, scaling)
        with patch.object(sinkhorn, "block_entries", lambda device: entries):
            found = solve(costs_of(*given, hold=hold), *uniform(90, 40, dtype=dtype), Schedule(eps))
        f, g = by_geomloss(*given, scaling=scaling)
        assert float(f.abs().max()) > 10
        torch.testing.assert_close(found.f[0], f, rtol=0, atol=near)
        torch.testing.assert_close(found.g[0], g, rtol=0, atol=near)
        assert found.updates == len(eps)


def test_the_list_falls_from_the_diameter_by_quarters():
    assert annealed(2.0, 0.1) == pytest.approx([4, 4, 1, 0.25, 0.1])
    assert annealed(0.1, 0.1) == pytest.approx([0.01, 0.1])
    assert len(annealed(58.6, 0.1)) == 10, "of images in [0, 1] with their label column"


def test_going_on_converges_to_the_optimum():
    """At eps of 1: plan, values and potentials of POT's Sinkhorn; marginals as asked for."""
    x, y, other_x, other_y, w = sides()
    given = x / 8, y, other_x / 8, other_y, w / 64
    schedule = Schedule(annealed(diameter(given[0], given[2]), 1.0), 1e-9, 2000)
    found = solve(costs_of(*given), *uniform(90, 40), schedule)
    assert found.settled
    d = costs_of(*given).block(slice(0, 1), slice(0, 90))[0]
    weights = [np.full(n, 1 / n) for n in (90, 40)]
    plan, log = ot.sinkhorn(
        *weights, d.numpy(), 1.0, method="sinkhorn_log", stopThr=1e-12, numItermax=2000, log=True, warn=False
    )
    f = log["log_u"] + math.log(90)  # its potentials are over counting measure
    f, ours = torch.from_numpy(f - f.mean()), found.f[0] - found.f[0].mean()
    torch.testing.assert_close(ours, f, rtol=0, atol=1e-6)
    own = ((found.f[0][:, None] + found.g - d).exp() / 90 / 40).numpy()
    np.testing.assert_allclose(own, plan, atol=1e-9)


def test_at_a_small_eps_the_potentials_are_those_of_linear_programming():
    """Up to a constant: more points on one side and generic costs, so that the optimum is unique."""
    g = torch.Generator().manual_seed(3)
    x, other_x = (torch.randn(n, 3, generator=g, dtype=torch.float64) for n in (13, 7))
    none = torch.zeros(13, dtype=torch.int64), torch.zeros(1, 1, dtype=torch.float64)
    costs = FeatureCosts(training_side(x, none[0], 1)[None], reference_side(other_x, none[0][:7], none[1])[None], True)
    d = costs.block(slice(0, 1), slice(0, 13))[0]
    schedule = Schedule(annealed(4.0, 5e-3, 0.8), 1e-5, 5000)
    found = solve(costs, *uniform(13, 7), schedule)
    assert found.settled
    _, log = ot.emd(np.full(13, 1 / 13), np.full(7, 1 / 7), d.numpy(), log=True)
    gap = found.f[0] - torch.from_numpy(log["u"])
    assert float(gap.max() - gap.min()) < 0.02
    assert float(found.f.mean() + found.g.mean()) == pytest.approx(log["cost"], abs=0.01)


def test_too_few_updates_are_said():
    given = sides()
    found = solve(costs_of(*given), *uniform(90, 40), Schedule((10.0, 0.1), 1e-9, 5))
    assert (found.settled, found.updates) == (False, 7)


def test_a_shorter_cloud_among_others_is_as_if_it_were_alone():
    x, y, other_x, other_y, w = sides()
    log_a, log_b = uniform(90, 40)
    schedule = Schedule(annealed(60.0, 0.1))
    alone = solve(costs_of(x, y, other_x[:25], other_y[:25], w), log_a, uniform(25)[0], schedule)
    right = torch.stack([reference_side(other_x, other_y, w)] * 2)
    short = torch.full_like(log_b, -math.log(25))
    short[:, 25:] = -torch.inf
    both = FeatureCosts(training_side(x, y, K)[None], right, True)
    with patch.object(sinkhorn, "block_entries", lambda device: 1000):
        found = solve(both, log_a.expand(2, -1), torch.cat([log_b, short]), schedule)
    torch.testing.assert_close(found.f[1], alone.f[0])
    torch.testing.assert_close(found.g[1, :25], alone.g[0])
    assert not torch.allclose(found.f[0], found.f[1])


def test_a_block_of_rows_without_weight_is_no_nan():
    x, y, other_x, other_y, w = sides()
    log_a, log_b = uniform(60, 40)
    padded = torch.cat([log_a, torch.full((1, 30), -torch.inf, dtype=torch.float64)], 1)
    schedule = Schedule(annealed(60.0, 0.1), 1e-2, 20)
    with patch.object(sinkhorn, "block_entries", lambda device: 400):
        found = solve(costs_of(x, y, other_x, other_y, w), padded, log_b, schedule)
    alone = solve(costs_of(x[:60], y[:60], other_x, other_y, w), log_a, log_b, schedule)
    torch.testing.assert_close(found.g, alone.g)


@pytest.mark.parametrize(("shape", "entries"), [((3, 7, 5), 1), ((3, 7, 5), 20), ((5, 2, 2), 9), ((1, 10, 3), 1000)])
def test_blocks_cover_each_entry_once(shape, entries):
    seen = torch.zeros(shape)
    for pairs, rows in blocks(shape, entries):
        seen[pairs, rows] += 1
        assert seen[pairs, rows].numel() <= max(entries, shape[2])
    assert (seen == 1).all()


def test_the_plan_between_batches_is_pot_s():
    cost = torch.rand(6, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = coupling(cost, 1e-2)
    wanted = ot.sinkhorn(
        np.full(6, 1 / 6), np.full(3, 1 / 3), cost.numpy(), 1e-2, method="sinkhorn_log", stopThr=1e-12, numItermax=5000
    )
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-8)
    torch.testing.assert_close(found.sum(0), torch.full((3,), 1 / 3, dtype=torch.float64))
