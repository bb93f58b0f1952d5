"""Metrics of values against scikit-learn, scipy and counts by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import rankdata, spearmanr
from sklearn.metrics import average_precision_score, roc_auc_score

from bench.tasks.valuation.metrics import (
    auc,
    average_precision,
    detected,
    inspected_counts,
    lowest_first,
    ranks,
    spearman,
)


@pytest.mark.parametrize("distinct", [1, 2, 7, 10_000])
def test_areas_are_scikit_learn_s(distinct):
    """Continuous values and values with many ties; low values are the suspects."""
    draw = np.random.default_rng(distinct)
    values = draw.integers(distinct, size=400) / 7
    corrupted = draw.random(400) < 0.2 + 0.3 * (values < np.median(values))
    assert auc(values, corrupted) == pytest.approx(roc_auc_score(corrupted, -values), abs=1e-12)
    assert average_precision(values, corrupted) == pytest.approx(average_precision_score(corrupted, -values), abs=1e-12)
    np.testing.assert_allclose(ranks(values), rankdata(values))


def test_correlation_is_scipy_s():
    draw = np.random.default_rng(0)
    one, other = draw.integers(9, size=200) * 1.0, draw.standard_normal(200)
    other += one
    assert spearman(one, other) == pytest.approx(spearmanr(one, other).statistic, abs=1e-12)
    assert math.isnan(spearman(one, np.zeros(200)))


def test_without_both_kinds_there_is_no_area():
    assert math.isnan(auc(np.arange(3.0), np.zeros(3, bool)))
    assert math.isnan(auc(np.arange(3.0), np.ones(3, bool)))
    assert math.isnan(average_precision(np.arange(3.0), np.zeros(3, bool)))


def test_detection_by_hand():
    values, corrupted = np.array([3.0, 1.0, 2.0, 0.0]), np.array([False, True, False, True])
    order = lowest_first(values, np.zeros(4))
    assert order.tolist() == [3, 1, 2, 0]
    assert detected(order, corrupted, [0, 1, 2, 3, 4]) == [0.0, 0.5, 1.0, 1.0, 1.0]


def test_equal_values_stand_in_the_order_of_the_draw():
    assert lowest_first(np.array([1.0, 0.0, 1.0, 0.0]), np.array([0.1, 0.9, 0.05, 0.2])).tolist() == [3, 1, 2, 0]


@pytest.mark.parametrize("points", [1, 3, 50, 10_000, 1_000_000])
def test_the_curve_goes_from_a_point_to_all(points):
    counts = inspected_counts(points, 50)
    assert counts[-1] == points
    assert counts == sorted(set(counts))
    assert counts[0] == 1 and len(counts) <= 50 if points > 1 else counts == [1]
    assert len(counts) >= min(points, 30)
