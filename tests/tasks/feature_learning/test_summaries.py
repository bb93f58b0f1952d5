"""What is reported of a cell's rows, by hand: means and maxima over neurons, of a seed's settings the best, slopes over dimensions."""

from __future__ import annotations

import math

import pytest
import torch

from bench.tasks.feature_learning.cells import summary, tuned
from bench.tasks.feature_learning.hitting import HittingTimes
from bench.tasks.feature_learning.loop import _slopes


def test_overlaps_of_one_direction_are_sizes_averaged_over_neurons():
    cosines = torch.tensor([[[0.6], [-0.8], [0.1]], [[0.0], [0.2], [1.0]]], dtype=torch.float64)  # [P, N, k]
    found = summary(cosines, aligned_at=0.6)
    assert found["overlap_mean"].tolist() == pytest.approx([0.5, 0.4])
    assert found["overlap_max"].tolist() == pytest.approx([0.8, 1.0])
    assert found["aligned"].tolist() == pytest.approx([2 / 3, 1 / 3]), "at the border counts, the other sign too"
    assert set(found) == {"overlap_mean", "overlap_max", "aligned"}


def test_overlaps_of_two_directions_are_lengths_of_the_projection_and_the_largest_for_each():
    cosines = torch.tensor([[[0.6, 0.8], [0.0, -0.5]]], dtype=torch.float64)
    found = summary(cosines, aligned_at=0.9)
    assert {name: values.tolist() for name, values in found.items()} == {
        "overlap_mean": [0.75],
        "overlap_max": [1.0],
        "aligned": [0.5],
        "overlap_1": [0.6],
        "overlap_2": [0.8],
    }


def test_the_best_setting_is_the_first_to_hit():
    rows = [
        {"overlap_mean": 0.9, "overlap_max": 0.9, "lr": 0.1, "hitting_time": 300.0},
        {"overlap_mean": 0.4, "overlap_max": 1.0, "lr": 0.3, "hitting_time": 200.0},
        {"overlap_mean": 0.1, "overlap_max": 0.2, "lr": 1.0},
    ]
    wanted = {"tuned_overlap_mean": 0.9, "tuned_overlap_max": 1.0, "tuned_hitting_time": 200.0, "tuned_lr": 0.3}
    assert tuned(rows) == wanted
    assert tuned(rows[2:]) == {"tuned_overlap_mean": 0.1, "tuned_overlap_max": 0.2}


def test_slopes_are_of_logarithms_and_need_every_dimension():
    last = [{"hitting_time": 3.0 * d**1.5, "tuned_hitting_time": 5.0 * d} for d in (8, 16, 64)]
    assert _slopes([8, 16, 64], last) == pytest.approx({"hitting_slope": 1.5, "tuned_hitting_slope": 1.0})
    assert _slopes([8, 16, 64], [last[0], {"tuned_hitting_time": math.e}, last[2]]).keys() == {"tuned_hitting_slope"}
    assert _slopes([8], last[:1]) == {}


def test_recovery_is_of_the_mean_over_neurons_and_of_a_seed_s_median_path():
    """Two neurons, two directions, four paths of one seed; steps of one sample. Lengths of projections: 0.5 and h, of mean (0.5 + h) / 2."""
    second = torch.tensor([[0.0, 1.0, 1.0, 1.0], [0.0, 0.65, 0.65, 1.0], [0.9, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    first = torch.tensor([0.3, -0.4]).expand(4, 4, 1, 2)  # [S, P, 1, k], of length 0.5
    cosines = torch.cat([first, torch.stack([second.T, 0 * second.T], -1)[:, :, None]], 2)[:, None].double()
    hitting = HittingTimes((1, 4), replicates=4, threshold=0.6, stay=0.0, device=torch.device("cpu"))
    hitting.watch(cosines, 0, 1)
    assert hitting.hit.tolist() == [[2.0, 4.0, 1.0, math.inf]], "one neuron above the threshold is not enough"
    assert hitting.of_seeds().tolist() == [[2.0]], "the lower one of the two in the middle"
