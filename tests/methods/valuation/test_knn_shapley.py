"""KNN-Shapley against the Shapley value itself, over all subsets, and what follows from it."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier
from valuation_points import advanced, gaussian, problem

from bench.tasks.valuation.protocol import Problem
from methods.valuation import knn_shapley
from methods.valuation.knn_shapley import KNNShapley


def utility(x, y, reference_x, reference_y, k: int, chosen: tuple[int, ...]) -> float:
    """The mean share, of k, of right votes among the k nearest of the chosen points."""
    total = 0.0
    for point, label in zip(reference_x, reference_y):
        near = sorted(chosen, key=lambda i: float((x[i] - point).square().sum()))[:k]
        total += sum(int(y[i]) == int(label) for i in near) / k
    return total / len(reference_y)


def shapley(x, y, reference_x, reference_y, k: int) -> list[float]:
    """By the definition, over all subsets."""
    n, found = len(y), []
    for i in range(n):
        others = [j for j in range(n) if j != i]
        value = 0.0
        for size in range(n):
            weight = math.factorial(size) * math.factorial(n - size - 1) / math.factorial(n)
            for chosen in itertools.combinations(others, size):
                with_i = utility(x, y, reference_x, reference_y, k, (*chosen, i))
                value += weight * (with_i - utility(x, y, reference_x, reference_y, k, chosen))
        found.append(value)
    return found


@pytest.mark.parametrize(("n", "k"), [(1, 1), (2, 3), (5, 1), (6, 2), (6, 10), (7, 7), (8, 3)])
def test_the_recursion_is_the_shapley_value(n, k):
    """Fewer points than neighbours as well."""
    seen = problem(gaussian("", n + k, n=n, m=4, noise=3.0), dtype=torch.float64)
    wanted = shapley(seen.x, seen.y, seen.reference_x, seen.reference_y, k)
    np.testing.assert_allclose(advanced(KNNShapley(k=k), seen).numpy(), wanted, atol=1e-13)


def test_values_sum_to_the_vote_of_scikit_learn_s_neighbours():
    points = gaussian("", 0, noise=2.0)
    seen = problem(points)
    votes = KNeighborsClassifier(10).fit(seen.x.numpy(), seen.y.numpy()).predict_proba(seen.reference_x.numpy())
    right = votes[np.arange(60), seen.reference_y.numpy()].mean()
    assert advanced(KNNShapley(k=10), seen).sum().item() == pytest.approx(right, abs=1e-12)


@pytest.mark.parametrize("elements", [1, 900, 7000])
def test_blocks_change_nothing(elements, monkeypatch):
    seen = problem(gaussian("", 1))
    whole = advanced(KNNShapley(k=5), seen)
    monkeypatch.setattr(knn_shapley, "ELEMENTS", elements)
    torch.testing.assert_close(advanced(KNNShapley(k=5), seen), whole, rtol=0, atol=1e-15)


def test_distances_by_products_and_directly_order_alike(monkeypatch):
    seen = problem(gaussian("", 2), dtype=torch.float64)
    direct = advanced(KNNShapley(k=5), seen)
    monkeypatch.setattr(knn_shapley, "DIRECT", 0)
    torch.testing.assert_close(advanced(KNNShapley(k=5), seen), direct, rtol=0, atol=1e-15)


def shifted(offset: float, d: int) -> Problem:
    """Three classes in d coordinates, in multiples of 1/64, which an offset of 1000 leaves exact in single precision."""
    draw = torch.Generator().manual_seed(0)
    y, reference_y = torch.arange(300) % 3, torch.arange(60) % 3
    x, reference_x = (
        ((torch.randn(len(side), d, generator=draw) + side[:, None]) * 64).round() / 64 for side in (y, reference_y)
    )
    return Problem(x + offset, y, reference_x + offset, reference_y, 3)


@pytest.mark.parametrize("d", [8, 65])
def test_an_offset_changes_nothing(d, monkeypatch):
    plain, offset = advanced(KNNShapley(k=5), shifted(0.0, d)), advanced(KNNShapley(k=5), shifted(1000.0, d))
    torch.testing.assert_close(offset, plain, rtol=0, atol=1e-15)
    monkeypatch.setattr(knn_shapley, "TRAINING", 7 * d)
    torch.testing.assert_close(advanced(KNNShapley(k=5), shifted(1000.0, d)), plain, rtol=0, atol=1e-15)


def test_points_of_whole_numbers_at_equal_distance_stand_in_their_order():
    """Distances by products: the i-th of many ones alike has the value of its place."""
    x = torch.zeros(40, 70)
    x[20:, 0], x[::2, 1:3] = 1.0, 1.0
    y, reference = torch.arange(40) % 2, torch.ones(3, 70)
    whole = Problem(x, y, reference, torch.ones(3, dtype=torch.long), 2)
    order = (x - 1).square().sum(1).argsort(stable=True)
    assert torch.equal(made(whole)._distances(reference)[0].argsort(stable=True), order)


def made(seen: Problem) -> KNNShapley:
    """A method that has begun."""
    method = KNNShapley(k=5)
    method.begin(seen)
    return method


def test_flipped_labels_are_worth_less():
    points = gaussian("", 3)
    values = advanced(KNNShapley(k=10), problem(points))
    assert values[points.corrupted].mean() < 0 < values[~points.corrupted].mean()
