"""Classic mistakes in values by optimal transport, planted one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from bench.judge.selftest import Mistake


@contextmanager
def reads(change: Callable[[Any], Any]) -> Iterator[None]:
    """Methods whose problem is changed before they begin."""
    from methods.valuation.transport import Transport

    begin = Transport.begin
    with patch.object(Transport, "begin", lambda self, problem: begin(self, change(problem))):
        yield


@contextmanager
def sign_flipped() -> Iterator[None]:
    """The gradient itself is the value."""
    from methods.valuation import transport

    right = transport.calibrated
    with patch.object(transport, "calibrated", lambda f: -right(f)):
        yield


@contextmanager
def uncentred() -> Iterator[None]:
    """Potentials are compared across batches as they are."""
    from methods.valuation import transport

    with patch.object(transport, "calibrated", lambda f: f.double()):
        yield


@contextmanager
def no_label_cost() -> Iterator[None]:
    """Costs are of features alone."""
    from methods.valuation.transport import Transport

    with patch.object(Transport, "_weights", lambda self: (self.feature_weight, 0.0)):
        yield


@contextmanager
def unshuffled() -> Iterator[None]:
    """Batches are stretches of the points sorted by label."""
    import torch

    from methods.valuation import sava

    def by_label(y: Any, order: Any, seed: int, side: int) -> Any:
        return torch.argsort(y, stable=True) if side == 1 else right(y, order, seed, side)

    right = sava.ordered
    with patch.object(sava, "ordered", by_label):
        yield


@contextmanager
def plan_transposed() -> Iterator[None]:
    """The plan between batches is read along its columns."""
    from methods.valuation import sava

    right = sava.coupling

    def transposed(cost: Any, epsilon: float) -> Any:
        return right(cost, epsilon).T.reshape(cost.shape)

    with patch.object(sava, "coupling", transposed):
        yield


def reference_labels() -> AbstractContextManager[None]:
    """The training side has the reference points' labels, in their order, over and over."""
    import torch

    def relabelled(problem: Any) -> Any:
        places = torch.arange(len(problem.y), device=problem.y.device) % len(problem.reference_y)
        return replace(problem, y=problem.reference_y[places])

    return reads(relabelled)


def own_statistics() -> AbstractContextManager[None]:
    """Each side's features are normalised by its own mean and deviation, shifts between them lost."""

    def normal(x: Any) -> Any:
        return (x - x.mean(0)) / x.std(0).clamp_min(1e-12)

    return reads(lambda problem: replace(problem, x=normal(problem.x), reference_x=normal(problem.reference_x)))


GAUSSIAN = ("sava/gaussian", {"method": "sava"})
BATCHES = ("sava/batch_size", {})
SQUASH = ("sava/squash", {"method": "sava"})
MISTAKES = [
    Mistake("sign-flipped", "high gradients have high values", *GAUSSIAN, sign_flipped),
    Mistake("no-label-cost", "costs of features alone", *GAUSSIAN, no_label_cost),
    Mistake("unshuffled", "batches sorted by label", *GAUSSIAN, unshuffled),
    Mistake("reference-labels", "the training side has the reference's labels", *GAUSSIAN, reference_labels),
    Mistake("sign-flipped-batches", "high gradients have high values", *BATCHES, sign_flipped),
    Mistake("sign-flipped-squash", "high gradients of SAVA have high values", *SQUASH, sign_flipped),
    Mistake(
        "sign-flipped-outer",
        "high gradients have high values where a plan weighs them",
        "sava/outer",
        {"method.outer": "ot"},
        sign_flipped,
    ),
    Mistake(
        "no-label-cost-first",
        "distances of the first pair are lost",
        "sava/outer",
        {"method.label_distances": "first_pair"},
        no_label_cost,
    ),
    Mistake(
        "sign-flipped-weights",
        "high gradients of LAVA have high values",
        "sava/label_cost",
        {"method.label_weight": 0.0},
        sign_flipped,
    ),
    Mistake(
        "sign-flipped-schedule",
        "high gradients of the released schedule have high values",
        "sava/converged",
        {"method.schedule": "geomloss"},
        sign_flipped,
    ),
    Mistake(
        "sign-flipped-cifar10",
        "high gradients of SAVA have high values",
        "sava/cifar10_detection",
        {"method": "sava"},
        sign_flipped,
    ),
    Mistake(
        "sign-flipped-notebook",
        "high gradients of LAVA have high values",
        "sava/lava_notebook",
        {"method": "lava"},
        sign_flipped,
    ),
    Mistake(
        "sign-flipped-prune",
        "the best points of SAVA are left out",
        "sava/digits_prune",
        {"method": "sava"},
        sign_flipped,
    ),
    Mistake(
        "sign-flipped-prune-cifar10",
        "the best images of SAVA are left out",
        "sava/cifar10_prune",
        {"method": "sava"},
        sign_flipped,
    ),
    Mistake(
        "sign-flipped-pixels",
        "high gradients have high values where the plan is of features",
        "sava/outer_pixels",
        {"method.outer": "ot"},
        sign_flipped,
    ),
]
