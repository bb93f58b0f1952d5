"""Classic mistakes in implementations of SSVR, planted one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from bench.judge.selftest import Mistake


@contextmanager
def stored_gradient() -> Iterator[None]:
    """g(x_{t-1}; B_{t-1}) from memory stands in for g(x_{t-1}; B_t): one pass a step, and no variance is reduced."""
    from methods.sign.ssvr import SSVR

    estimate = SSVR._estimate

    def remembering(self: Any, closure: Any) -> Any:
        moves = estimate(self, closure)
        for group in self.param_groups:
            for p in self._active(group)[0]:
                self.state[p]["yesterday"] = p.grad.clone()
        return moves

    def from_memory(self: Any, points: Any, closure: Any, here: Any = None) -> Any:
        return {p: self.state[p]["yesterday"] for p in points}

    with patch.object(SSVR, "_estimate", remembering), patch.object(SSVR, "_gradient_at", from_memory):
        yield


@contextmanager
def other_batch() -> Iterator[None]:
    """The second pass draws a minibatch of its own: the noise of the two gradients no longer cancels."""
    from bench.tasks.finite_sum.loop import Descent

    stochastic = Descent._stochastic

    def redrawing(self: Any, active: int, sample: Any) -> Any:
        again, self._drawn = getattr(self, "_drawn", None) == self.step, self.step
        return stochastic(self, active, sample.flip(-1) if again else sample)  # coordinates are independent draws

    with patch.object(Descent, "_stochastic", redrawing):
        yield


@contextmanager
def _beta(change: Any) -> Iterator[None]:
    from methods.sign.ssvr import SSVR

    theory = SSVR.theory

    def changed(*arguments: Any) -> dict[str, float]:
        values = theory(*arguments)
        return {**values, "beta": change(values["beta"])}

    with patch.object(SSVR, "theory", staticmethod(changed)):
        yield


ONLY = {"method": "ssvr"}
MISTAKES = [
    Mistake("stored-gradient", "the stored gradient of the last step", "ssvr/rate_stochastic", ONLY, stored_gradient),
    Mistake("no-variance-reduction", "beta = 1", "ssvr/rate_stochastic", ONLY, lambda: _beta(lambda beta: 1.0)),
    Mistake("other-batch", "a second pass on another minibatch", "ssvr/rate_stochastic", ONLY, other_batch),
    Mistake(
        "beta-reversed", "beta weights the old gradient", "ssvr/rate_stochastic", ONLY, lambda: _beta(lambda b: 1 - b)
    ),
]
