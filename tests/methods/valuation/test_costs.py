"""Distances between labels, by GeomLoss and POT for each pair of classes, and costs by their definition."""

from __future__ import annotations

import numpy as np
import ot
import pytest
import torch
from geomloss import SamplesLoss
from transport_points import gaussians

from methods.valuation import costs
from methods.valuation.costs import FeatureCosts, cost_blocks, diameter, filled, label_distances, of_classes
from methods.valuation.sinkhorn import Schedule, annealed

K = 4
X, Y, _ = gaussians(100, K, 0, 0.3)
OTHER_X, OTHER_Y, _ = gaussians(43, K, 1)


def clouds(c: int, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    return X[c == Y], OTHER_X[k == OTHER_Y]


def test_distances_are_geomloss_s_biased_costs():
    found = label_distances(X, Y, OTHER_X, OTHER_Y, K)
    loss = SamplesLoss(
        "sinkhorn", p=2, blur=0.1**0.5, debias=False, backend="tensorized", diameter=diameter(X, OTHER_X)
    )
    wanted = [[float(loss(*clouds(c, k))) for k in range(K)] for c in range(K)]
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-9)
    assert float(found.diagonal().max()) < float(found[~torch.eye(K, dtype=torch.bool)].min())
    assert not torch.allclose(found, found.T), "training classes are rows"


def test_converged_distances_are_pot_s():
    """The dual's value is <plan, D> + eps KL(plan, a b)."""
    schedule = Schedule(annealed(3.0, 1.0), 1e-8, 2000)
    found = label_distances(X / 6, Y, OTHER_X / 6, OTHER_Y, K, schedule=schedule)
    for c in range(K):
        for k in range(K):
            one, other = (cloud / 6 for cloud in clouds(c, k))
            d = (torch.cdist(one, other) ** 2 / 2).numpy()
            a, b = (np.full(n, 1 / n) for n in d.shape)
            plan = ot.sinkhorn(a, b, d, 1.0, method="sinkhorn_log", stopThr=1e-12, numItermax=2000, warn=False)
            kl = (plan * np.log(np.maximum(plan, 1e-300) / np.outer(a, b))).sum()
            assert float(found[c, k]) == pytest.approx((plan * d).sum() + kl, rel=1e-6)


def test_a_class_that_a_side_lacks_has_no_distance():
    found = label_distances(X[Y != 1], Y[Y != 1], OTHER_X[OTHER_Y != 2], OTHER_Y[OTHER_Y != 2], K)
    nan = torch.zeros(K, K, dtype=torch.bool)
    nan[1], nan[:, 2] = True, True
    assert torch.equal(found.isnan(), nan)
    whole = label_distances(X, Y, OTHER_X, OTHER_Y, K, schedule=Schedule(annealed(50.0, 0.1)))
    part = label_distances(X[Y != 1], Y[Y != 1], OTHER_X, OTHER_Y, K, schedule=Schedule(annealed(50.0, 0.1)))
    torch.testing.assert_close(part[[0, 2, 3]], whole[[0, 2, 3]])


def test_what_is_missing_comes_from_elsewhere_or_is_as_far_as_the_farthest():
    some = torch.tensor([[1.0, torch.nan], [3.0, torch.nan]])
    others = torch.tensor([[9.0, 7.0], [9.0, torch.nan]])
    assert filled(some).tolist() == [[1, 3], [3, 3]]
    assert filled(some, others).tolist() == [[1, 7], [3, 7]]
    assert filled(torch.full((1, 1), torch.nan)).tolist() == [[0]]


def test_of_many_points_some_are_drawn():
    y = torch.tensor([0] * 50 + [2] * 5)
    first, second = (of_classes(y, 3, 10, 0, side) for side in (0, 1))
    assert [len(c) for c in first] == [10, 0, 5]
    assert len(first[0].unique()) == 10
    assert set(first[0].tolist()) <= set(range(50))
    assert not torch.equal(first[0], second[0])
    assert torch.equal(first[0], of_classes(y, 3, 10, 0, 0)[0])
    assert [len(c) for c in of_classes(y, 3, None, 0, 0)] == [50, 0, 5]
    found = label_distances(X, Y, OTHER_X, OTHER_Y, K, limit=20)
    near = label_distances(X, Y, OTHER_X, OTHER_Y, K)
    assert float(((found - near) / near).abs().max()) < 0.3
    assert not torch.equal(found, near)


def definition(w: torch.Tensor, feature_weight: float, label_weight: float) -> torch.Tensor:
    squares = (X[:, None] - OTHER_X).square().sum(-1)
    return (feature_weight * squares + label_weight * w[Y][:, OTHER_Y]) / 2


@pytest.mark.parametrize("weights", [(1.0, 1.0), (0.5, 3.0), (0.0, 1.0), (1.0, 0.0)])
def test_costs_are_what_they_are_defined_as(weights, monkeypatch):
    w = torch.rand(K, K, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    wanted = definition(w, *weights)
    monkeypatch.setattr(costs, "block_entries", lambda device: 300)
    found = torch.cat([d for _, d in cost_blocks(X, Y, OTHER_X, OTHER_Y, w, *weights)])
    torch.testing.assert_close(found, wanted)
    assert len(list(cost_blocks(X, Y, OTHER_X, OTHER_Y, w))) > 10
    left = costs.training_side(X, Y, K, weights[0])[None]
    for hold in (True, False):
        pairs = FeatureCosts(left, costs.reference_side(OTHER_X, OTHER_Y, w, *weights)[None], hold)
        torch.testing.assert_close(pairs.block(slice(0, 1), slice(10, 30))[0], wanted[10:30])
        assert pairs.shape == (1, 100, 43)


def test_the_diameter_is_of_both_sides():
    a, b = torch.tensor([[0.0, 0.0], [1.0, 0.0]]), torch.tensor([[3.0, 4.0]])
    assert diameter(a, b) == 5
    assert diameter(a[:1], a[:1]) == 1
