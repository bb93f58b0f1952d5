"""Gaussian classes: their means and spread, and what is corrupted."""

from __future__ import annotations

import pytest
import torch

from datasets.valuation.gaussian import gaussian_noisy


def test_classes_have_the_means_and_the_spread_that_are_said():
    points = gaussian_noisy("", 0, train_size=40_000, rate=0.0)
    assert points.train_x.dtype == torch.float32
    means = torch.stack([points.train_x[points.train_y == c].mean(0) for c in range(10)])
    torch.testing.assert_close(means, 12 * torch.eye(10) - 1.2, atol=0.2, rtol=0)
    rest = points.train_x - (12 * torch.eye(10) - 1.2)[points.train_y]
    assert float(rest.std()) == pytest.approx(3, rel=0.01)
    assert torch.bincount(points.train_y).min() > 3700
    assert points.test_x is None


@pytest.mark.parametrize("corruption", ["labels", "features"])
def test_floor_rho_n_points_are_corrupted_and_flagged(corruption):
    points, clean = (gaussian_noisy("", 5, corruption=corruption, rate=rate) for rate in (0.3, 0.0))
    assert int(points.corrupted.sum()) == 600
    changed = (points.train_x != clean.train_x).any(1) | (points.train_y != clean.train_y)
    assert torch.equal(changed, points.corrupted)
    assert torch.equal(points.true_y, clean.train_y)
    assert torch.equal(points.reference_x, clean.reference_x)
    if corruption == "features":
        assert float((points.train_x - clean.train_x)[points.corrupted].std()) == pytest.approx(6, rel=0.03)


def test_order_and_seeds():
    points, again, other = gaussian_noisy("", 1), gaussian_noisy("", 1), gaussian_noisy("", 2)
    assert torch.equal(points.train_x, again.train_x)
    assert not torch.equal(points.train_x, other.train_x)
    assert not torch.equal(points.train_x[:400], points.reference_x)
    by_class = gaussian_noisy("", 1, order="by_class")
    assert (by_class.train_y.diff() >= 0).all()
    assert torch.equal(by_class.train_x.sort(0).values, points.train_x.sort(0).values)
    assert torch.equal(by_class.corrupted, by_class.train_y != by_class.true_y)


def test_a_test_set_where_asked_for_and_a_dimension_a_class():
    points = gaussian_noisy("", 0, train_size=10, test_size=30)
    assert points.test_x.shape == (30, 10)
    with pytest.raises(ValueError, match="dim = 9: one dimension a class at least, 10"):
        gaussian_noisy("", 0, dim=9)
    assert gaussian_noisy("", 0, train_size=10, dim=12).train_x.shape == (10, 12)
