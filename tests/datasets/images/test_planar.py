"""Points of the plane: shapes, noise, sizes, and how near the bytes are to scikit-learn's own points."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import make_circles, make_moons
from sklearn.neighbors import KNeighborsClassifier

from bench.errors import UserError
from bench.seeding import stream_seed
from bench.tasks.classification.images import LabelledImages
from datasets.images.planar import TEST, circles, spirals, two_moons

ALL = [two_moons, circles, spirals]


def points(x: torch.Tensor, box, noise: float) -> np.ndarray:
    """Coordinates of bytes."""
    low, high = np.array(box).T + 4 * noise * np.array([[-1], [1]])
    return low + x[:, :, 0, 0].numpy() / 255 * (high - low)


@pytest.mark.parametrize(
    ("made", "theirs", "box", "noise"),
    [
        (two_moons, make_moons, ((-1, 2), (-0.5, 1)), 0.15),
        (circles, lambda *a, **k: make_circles(*a, factor=0.5, **k), ((-1, 1), (-1, 1)), 0.1),
    ],
)
def test_test_points_are_scikit_learn_s_to_half_a_byte(made, theirs, box, noise):
    data = made("", 3, test_size=500, noise=noise)
    wanted, y = theirs(500, noise=noise, random_state=stream_seed(3, "data", TEST) % 2**32)
    found = points(data.test_x, box, noise)
    half = (np.array(box).T[1] - np.array(box).T[0] + 8 * noise) / 255 / 2 + 1e-9
    inside = (np.abs(wanted - np.array(box).mean(1)) < (half * 255 - half)).all(1)
    at = [np.abs(found - point).max(1).argmin() for point in wanted[inside]]  # the order is another
    assert inside.mean() > 0.99
    assert (np.abs(found[at] - wanted[inside]) <= half).mean() > 0.99
    assert (data.test_y.numpy()[at] == y[inside]).mean() > 0.99


def test_spirals_without_noise_are_their_formula():
    data = spirals("", 0, test_size=300, noise=0.0, turns=1.25)
    found = points(data.test_x, ((-1, 1), (-1, 1)), 0.0)
    r = np.hypot(*found.T)
    angle = 2 * np.pi * 1.25 * r + np.pi * data.test_y.numpy()
    np.testing.assert_allclose(found, r[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1), atol=0.05)
    assert 0.09 < r.min() < 0.2
    assert 0.95 < r.max() < 1.01


@pytest.mark.parametrize("made", ALL)
def test_sizes_classes_and_seeds(made):
    data, other = (made("", seed, train_size=101, val_size=20, test_size=60) for seed in (0, 1))
    assert isinstance(data, LabelledImages)
    assert data.train_x.shape == (101, 2, 1, 1)
    assert (len(data.val_y), len(data.test_y), data.num_classes) == (20, 60, 2)
    for y in (data.train_y, data.val_y, data.test_y):
        assert abs(int(y.sum()) - len(y) / 2) <= 1
    assert data.fingerprint() == made("", 0, train_size=101, val_size=20, test_size=60).fingerprint()
    assert data.fingerprint() != other.fingerprint()
    overlap = set(map(tuple, data.train_x.flatten(1).tolist())) & set(map(tuple, data.test_x.flatten(1).tolist()))
    assert len(overlap) < 10, "test points are drawn anew"


@pytest.mark.parametrize("made", ALL)
def test_classes_can_be_told_apart_but_not_by_a_line(made):
    data = made("", 0)
    x, y = data.train_x.flatten(1).numpy().astype(float), data.train_y.numpy()
    near = KNeighborsClassifier(5).fit(x, y).score(data.test_x.flatten(1), data.test_y)
    design = np.c_[np.ones(400), x]
    line = np.linalg.lstsq(design, 2.0 * y - 1, rcond=None)[0]
    straight = ((np.c_[np.ones(2000), data.test_x.flatten(1)] @ line > 0) == data.test_y.numpy()).mean()
    assert near > 0.93
    assert straight < 0.92


def test_noise_and_label_noise():
    wild, calm = (two_moons("", 0, noise=noise).train_x.float().std(0).min() for noise in (1.0, 0.0))
    assert wild < calm, "the box grows with the noise"
    data = two_moons("", 0, label_noise=0.25)
    assert int((data.train_y != data.train_y_clean).sum()) == 100


def test_one_point_is_refused():
    with pytest.raises(UserError, match="at least 2 points"):
        two_moons("", 0, train_size=1)
