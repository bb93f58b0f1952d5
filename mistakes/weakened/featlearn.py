"""Weaker baselines and forgotten resets of feature learning, planted one at a time; the tests of tests/mistakes notice each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from bench.judge.selftest import Mistake
from mistakes.featlearn import FEATURES, NONE, first_layer_only


@contextmanager
def _gradients(change: Any) -> Iterator[None]:
    """Stage 3 along change(by_a, by_w)."""
    from methods.two_layer.regularised_gd import RegularisedGD

    right = RegularisedGD._gradients
    with patch.object(RegularisedGD, "_gradients", lambda self, *arguments: change(*right(self, *arguments))):
        yield


@contextmanager
def stale_rows() -> Iterator[None]:
    """The step is computed and then not taken."""
    from methods.two_layer.regularised_gd import FeatureRegression

    first = FeatureRegression.first

    def stays(self: Any, oracle: Any, signs: Any, rows: Any) -> Any:
        first(self, oracle, signs, rows)
        return rows

    with patch.object(FeatureRegression, "first", stays):
        yield


@contextmanager
def heavy_ridge() -> Iterator[None]:
    """Ten thousand times the ridge that is stated."""
    from methods.two_layer.regularised_gd import FeatureRegression

    second = FeatureRegression.second

    def heavy(self: Any, oracle: Any, rows: Any) -> Any:
        self.ridge = 1e4 * self.ridge
        return second(self, oracle, rows)

    with patch.object(FeatureRegression, "second", heavy):
        yield


@contextmanager
def decayed_once() -> Iterator[None]:
    """The weight decay never falls."""
    from methods.two_layer.regularised_gd import RegularisedGD

    decay = RegularisedGD.decay
    with patch.object(RegularisedGD, "decay", lambda self, t: decay(self, 0)):
        yield


@contextmanager
def one_minibatch() -> Iterator[None]:
    """Stage 3 from one minibatch, over and over."""
    from methods.two_layer.regularised_sgd import RegularisedSGD

    right = RegularisedSGD._gradients
    with patch.object(RegularisedSGD, "_gradients", lambda self, oracle, t, a, w: right(self, oracle, 0, a, w)):
        yield


RECOVERY = "featlearn/recovery"
WEAKENED = [
    Mistake("heavy-ridge", "a ridge too large", FEATURES[0], {"method": "random_features"}, heavy_ridge),
    Mistake("stale-rows", "a step that is not taken", *FEATURES, stale_rows),
    Mistake(
        "small-steps",
        "a tenth of the gradient",
        *NONE,
        lambda: _gradients(lambda by_a, by_w: (by_a / 10, by_w / 10)),
    ),
    Mistake("uphill", "the output weights go uphill", *NONE, lambda: _gradients(lambda by_a, by_w: (-by_a, by_w))),
    Mistake(
        "first-layer-alone", "weight decay on W alone", RECOVERY, {"method": "regularised_gd_fixed"}, first_layer_only
    ),
    Mistake("decayed-once", "a weight decay that never falls", RECOVERY, {"method": "random_start_gd"}, decayed_once),
]
FORGOTTEN = [
    Mistake(
        "one-minibatch-of-three",
        "one minibatch for all steps of stage 3",
        "featlearn/sampled",
        {"method": "regularised_sgd"},
        one_minibatch,
    )
]
