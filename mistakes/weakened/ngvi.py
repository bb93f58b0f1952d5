"""Weaker baselines and forgotten resets of variational inference, planted one at a time; the tests of tests/mistakes notice each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from bench.judge.selftest import Mistake
from mistakes.ngvi import RATE


@contextmanager
def moments_reset() -> Iterator[None]:
    """Adam's second moments are thrown away every tenth step."""
    from methods.variational.gaussian_vi import AdamVI

    update = AdamVI.update

    def forgetful(self: Any, t: int, g: Any, hessian: Any) -> None:
        if t % 10 == 9:
            self.state["second_mean"].zero_()
        update(self, t, g, hessian)

    with patch.object(AdamVI, "update", forgetful):
        yield


@contextmanager
def _rate(kind: str, change: Any) -> Iterator[None]:
    """Another step size: change(the right one's function, method, t)."""
    from methods.variational import gaussian_vi

    owner = getattr(gaussian_vi, kind)
    right = owner.rate
    with patch.object(owner, "rate", lambda self, t: change(right, self, t)):
        yield


@contextmanager
def loose_prox() -> Iterator[None]:
    """The proximal operator of twice the entropy."""
    from methods.variational import gaussian_vi

    right = gaussian_vi.entropy_prox_
    with patch.object(gaussian_vi, "entropy_prox_", lambda diagonal, rate: right(diagonal, 2 * rate)):
        yield


@contextmanager
def one_minibatch() -> Iterator[None]:
    """Every chunk of steps has the minibatches of the first."""
    from bench.tasks.inference.estimators import EnergyGradients

    draw = EnergyGradients._draw

    def again(self: Any, chunk: int) -> None:
        draw(self, 0)
        self._chunk = chunk

    with patch.object(EnergyGradients, "_draw", again):
        yield


COMPARED = "ngvi/conjugate_sgd"
WEAKENED = [
    Mistake("moments-reset", "Adam's moments are forgotten", COMPARED, {"method": "adam_vi"}, moments_reset),
    Mistake(
        "small-projected",
        "a tenth of the step",
        COMPARED,
        {"method": "projected_sgd"},
        lambda: _rate("ProjectedSGD", lambda right, method, t: right(method, t) / 10),
    ),
    Mistake(
        "undecayed",
        "steps that do not fall",
        COMPARED,
        {"method": "proximal_sgd"},
        lambda: _rate("ProximalSGD", lambda right, method, t: right(method, 0)),
    ),
    Mistake("loose-prox", "the entropy twice", COMPARED, {"method": "proximal_sgd"}, loose_prox),
]
FORGOTTEN = [Mistake("minibatches-again", "the same minibatches in every chunk", RATE[0], RATE[1], one_minibatch)]
