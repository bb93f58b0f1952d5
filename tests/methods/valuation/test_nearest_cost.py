"""Nearest cost against POT's label distances and a search over all pairs."""

from __future__ import annotations

import numpy as np
import ot
import pytest
import torch
from valuation_points import advanced, gaussian, problem

from methods.valuation import nearest_cost
from methods.valuation.nearest_cost import NearestCost

KEYS = {"feature_weight": 1.0, "label_weight": 1.0, "label_points": None}


def test_the_cost_is_that_of_the_best_pair():
    """Label distances are POT's exact ones; entropy at 0.1 moves LAVA's by less than ranks notice."""
    seen = problem(gaussian("", 0, n=120, m=60), dtype=torch.float64)
    x, y, r, s = (part.numpy() for part in (seen.x, seen.y, seen.reference_x, seen.reference_y))
    w = np.array([[ot.emd2([], [], ot.dist(x[y == c], r[s == other]) / 2) for other in range(3)] for c in range(3)])
    cost = (ot.dist(x, r) + w[y][:, s]) / 2
    values = advanced(NearestCost(**KEYS), seen).numpy()
    assert np.corrcoef(values, -cost.min(1))[0, 1] > 0.999
    flat = advanced(NearestCost(**{**KEYS, "label_weight": 0.0}), seen).numpy()
    np.testing.assert_allclose(flat, -ot.dist(x, r).min(1) / 2, atol=1e-9)


def test_blocks_change_nothing(monkeypatch):
    seen = problem(gaussian("", 1), dtype=torch.float64)
    whole = advanced(NearestCost(**KEYS), seen)
    monkeypatch.setattr(nearest_cost, "ROWS", 41)
    torch.testing.assert_close(advanced(NearestCost(**KEYS), seen), whole, rtol=0, atol=1e-12)


def test_flipped_labels_cost_more():
    points = gaussian("", 2)
    values = advanced(NearestCost(**KEYS), problem(points))
    assert values[points.corrupted].median() < values[~points.corrupted].quantile(0.05)


def test_no_weight_at_all_is_refused():
    with pytest.raises(ValueError, match="every cost would be 0"):
        NearestCost(**{**KEYS, "feature_weight": 0.0, "label_weight": 0.0})
