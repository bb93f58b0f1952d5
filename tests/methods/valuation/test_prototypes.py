"""Prototypes against distances by hand; random values against the uniform law."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import kstest
from sklearn.cluster import KMeans
from sklearn.metrics.pairwise import cosine_distances
from valuation_points import advanced, gaussian, problem

from methods.valuation.prototypes import Prototypes
from methods.valuation.random import Random


def test_clusters_that_are_plain_to_see_are_those_of_k_means():
    """Far-off groups: mini-batches find the clusters of all points, and nearly their centres."""
    seen = problem(gaussian("", 0, noise=0.2))
    x = seen.x.numpy()
    found = KMeans(3, n_init=5, random_state=0).fit(x)
    wanted = -cosine_distances(x, found.cluster_centers_)[np.arange(300), found.labels_]
    values = advanced(Prototypes(clusters=3, batch_size=300), seen).numpy()
    np.testing.assert_allclose(values, wanted, atol=2e-3)
    assert values.min() < -5e-3


def test_an_offset_moves_no_point_to_another_cluster():
    """Cosines are of the features with their offset: those of k-means on the same numbers in double precision."""
    seen = problem(gaussian("", 0, noise=0.5))
    far = replace(seen, x=(seen.x * 64).round() / 64 + 20000.0)
    values = advanced(Prototypes(clusters=3, batch_size=300), far).numpy()
    x = far.x.double().numpy()
    found = KMeans(3, n_init=5, random_state=0).fit(x)
    centres = found.cluster_centers_[found.labels_]
    wanted = (x * centres).sum(1) / np.linalg.norm(x, axis=1) / np.linalg.norm(centres, axis=1)
    assert np.corrcoef(values, wanted)[0, 1] > 0.999


def test_one_cluster_s_centre_is_the_mean():
    seen = problem(gaussian("", 1), dtype=torch.float64)
    x = seen.x.numpy()
    values = advanced(Prototypes(clusters=1, batch_size=300), seen).numpy()
    assert np.corrcoef(values, -cosine_distances(x, x.mean(0, keepdims=True))[:, 0])[0, 1] > 0.999


def test_seeds_are_reproducible_and_differ():
    seen = [problem(gaussian("", 0), seed) for seed in (0, 0, 1)]
    for make in (lambda: Prototypes(clusters=20, batch_size=64), Random):
        one, same, other = (advanced(make(), each) for each in seen)
        assert torch.equal(one, same)
        assert not torch.equal(one, other)


def test_more_clusters_than_points_are_refused():
    with pytest.raises(ValueError, match="clusters = 301: at most one for each of the 300 points"):
        Prototypes(clusters=301, batch_size=64).begin(problem(gaussian("", 0)))


def test_random_values_are_uniform_and_independent_of_the_points():
    values = advanced(Random(), problem(gaussian("", 0, n=5000))).numpy()
    assert kstest(values, "uniform").pvalue > 0.01
