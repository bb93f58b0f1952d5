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
    ],
)
def test_what_does_not_fit_is_one_line(changed, said):
    given = [changed.get(k, array) for k, array in enumerate((X, Y, OTHER_X, OTHER_Y))]
    for values in (sava_values, lava_values):
        with pytest.raises(ValueError, match=said) as caught:
            values(*given)
        assert "\n" not in str(caught.value)
