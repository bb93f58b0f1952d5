"""A person's own arrays: what fits, and what is one line."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transport_points import problem, valued

from methods.valuation.arrays import problem_of
from methods.valuation.lava import LAVA, lava_values
from methods.valuation.sava import SAVA, sava_values

X, Y = np.arange(12.0).reshape(6, 2), np.array([3, 3, 5, 5, 5, 3])
OTHER_X, OTHER_Y = X[:3] + 1, np.array([5, 3, 3])


def test_arrays_tensors_and_lists_are_the_same_problem():
    p = problem()
    given = p.x.numpy(), p.y.numpy() * 10 + 7, p.reference_x.tolist(), (p.reference_y * 10 + 7).tolist()
    assert torch.equal(lava_values(*given), valued(LAVA(), p))
    found = sava_values(*given, batch_size=30, seed=0)
    assert torch.equal(found, valued(SAVA(batch_size=30), p))
    assert not torch.equal(found, sava_values(*given, batch_size=30, seed=1))
    assert not torch.equal(found, sava_values(*given, batch_size=60))


def test_labels_are_numbered_in_their_order():
    p = problem_of(X, Y, OTHER_X, OTHER_Y)
    assert (p.y.tolist(), p.reference_y.tolist(), p.num_classes) == ([0, 0, 1, 1, 1, 0], [1, 0, 0], 2)
    words = problem_of(X, ["cat", "cat", "dog", "dog", "dog", "cat"], OTHER_X, ["dog", "cat", "cat"])
    assert words.y.tolist() == p.y.tolist()
    assert problem_of(X, Y.astype(float), OTHER_X, OTHER_Y).y.tolist() == p.y.tolist()
    assert problem_of(X.astype(np.float32), Y, OTHER_X, OTHER_Y).reference_x.dtype == torch.float32


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({0: X[0]}, r"features: shape \[2\], wanted \[points, features\]"),
        ({0: X[:0]}, r"features: shape \[0, 2\]"),
        ({0: [[1.0], [2.0, 3.0]]}, "features: no array of numbers"),
        ({0: np.where(X == 7, np.nan, X)}, "features: NaN or infinite in row 3"),
        ({2: np.where(OTHER_X == 1, np.inf, OTHER_X)}, "reference_features: NaN or infinite in row 0"),
        ({2: OTHER_X[:, :1]}, "reference_features: 1 columns, features have 2"),
        ({1: Y[:4]}, r"labels: shape \[4\], wanted \[6\]"),
        ({1: Y + 0.5}, "labels: integers or words, not float64"),
        ({1: Y + 1}, "labels: 4, 6 of no reference point"),
        ({3: ["a", "b", "c"]}, "words on one side"),
        ({0: X + 0j}, "is no type of a feature"),
        ({0: torch.tensor(X).to_sparse()}, r"features: a dense tensor is wanted, features\.to_dense"),
        ({1: torch.tensor(Y).bfloat16()}, "labels: no array of integers or words"),
        ({1: torch.tensor(Y).to_sparse()}, "labels: no array of integers or words"),
        ({1: [3, [3], 5, 5, 5, 3]}, "labels: no array of integers or words"),
        ({3: np.array([5, 3, 1e30])}, "reference_labels: numbers beyond 64 bits"),
        ({3: np.array([5, 3, 2**63], np.uint64)}, "reference_labels: numbers beyond 64 bits"),
        ({0: X.astype(np.float32) * 1e20}, "features: column 0 goes .* beyond 1e\\+15 overflow"),
        ({0: X.astype(np.float32), 2: OTHER_X * 1e39}, "features: column 0 goes .* overflow"),
        (
            {0: X.astype(np.float32), 2: OTHER_X * 1e-60},
            "reference_features: column 0 varies by less than torch.float32",
        ),
    ],
)
def test_what_does_not_fit_is_one_line(changed, said):
    given = [changed.get(k, array) for k, array in enumerate((X, Y, OTHER_X, OTHER_Y))]
    for values in (sava_values, lava_values):
        with pytest.raises(ValueError, match=said) as caught:
            values(*given)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"schedule": "convergd"}, "schedule = 'convergd': Input should be 'geomloss' or 'converged'"),
        ({"schedule": [-1.0]}, r"schedule = \[-1.0\]: .*greater than 0"),
        ({"schedule": []}, r"schedule = \[\]: "),
        ({"backend": "flsh"}, "backend = 'flsh': Input should be 'torch' or 'flash'"),
        ({"backend": "flash"}, "backend = flash: runs on a CUDA device"),
        ({"scaling": 1.0}, "scaling = 1.0: Input should be less than 1"),
        ({"scaling": -0.5}, "scaling = -0.5: Input should be greater than 0"),
        ({"scaling": 0.9999999}, r"scaling = 0.9999999: .* updates, at most 10,000"),
        ({"label_weight": -1.0}, "label_weight = -1.0: "),
        ({"feature_weight": float("nan")}, "feature_weight = nan: "),
        ({"epsilon": 0.0}, "epsilon = 0.0: Input should be greater than 0"),
        ({"label_points": 0}, "label_points = 0: "),
        ({"label_points": True}, "label_points = True: "),
        ({"epsilom": 1.0}, "epsilom = 1.0: no such key; did you mean 'epsilon'"),
        ({"shared": 1}, "shared = 1: no such key"),
        ({"diameter": 1e200}, r"diameter = 1e\+200: at most 1e\+150"),
        ({"feature_weight": 1e308}, "6 values are NaN or infinite"),
    ],
)
def test_a_key_that_does_not_fit_is_one_line(keys, said):
    for values in (sava_values, lava_values):
        with pytest.raises(ValueError, match=f"^{values.__name__}: {said}") as caught:
            values(X, Y, OTHER_X, OTHER_Y, **keys)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"batch_size": 0}, "batch_size = 0: Input should be greater than or equal to 2"),
        ({"batch_size": 1}, "batch_size = 1: Input should be greater than or equal to 2"),
        ({"batch_size": 2.5}, "batch_size = 2.5: "),
        ({"batch_size": "4"}, "batch_size = '4': "),
        ({"reference_batch_size": -1}, "reference_batch_size = -1: "),
        ({"label_distances": "per-pair"}, "label_distances = 'per-pair': "),
        ({"outer": "unifrom"}, "outer = 'unifrom': "),
        ({"outer": "released"}, "outer = released: weighs batches by their pixels"),
        ({"order": "nonsense"}, "order = 'nonsense': "),
        ({"outer_epsilon": 0.0}, "outer_epsilon = 0.0: "),
        ({"seed": 0.5}, "seed = 0.5: "),
        ({"seed": "a"}, "seed = 'a': "),
    ],
)
def test_a_key_of_batches_that_does_not_fit_is_one_line(keys, said):
    with pytest.raises(ValueError, match=f"^sava_values: {said}"):
        sava_values(X, Y, OTHER_X, OTHER_Y, **keys)


def test_keys_of_numpy_and_whole_floats_fit():
    keys = {
        "batch_size": np.int64(4),
        "epsilon": np.float32(1),
        "label_weight": 1,
        "label_points": None,
        "seed": np.int32(1),
    }
    found = sava_values(X, Y, OTHER_X, OTHER_Y, schedule=(4, 1.0), **keys)
    wanted = sava_values(X, Y, OTHER_X, OTHER_Y, batch_size=4, label_points=None, seed=1, schedule=[4.0, 1.0])
    assert torch.equal(found, wanted)


def test_integers_keep_what_double_precision_keeps():
    """Seconds of 2023, 3 apart; single precision has one number in 128."""
    seconds = np.stack([1_700_000_000 + 3 * np.arange(6), np.arange(6) % 2], 1)
    found = sava_values(seconds, Y, seconds[:3] + 1, OTHER_Y)
    wanted = sava_values(seconds - [1_700_000_000, 0], Y, seconds[:3] + 1 - [1_700_000_000, 0], OTHER_Y)
    assert found.std() > 0
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-6)
