"""Weaker baselines and forgotten resets of doubly stochastic SGD, planted one at a time; the tests of tests/mistakes notice each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from bench.judge.selftest import Mistake
from mistakes.doublysgd import stale_noise


@contextmanager
def _update(change: Callable[[Any, Any], Any], kind: str = "DoublySGD") -> Iterator[None]:
    """A step along change(x, g) in place of g."""
    import methods.noisy.doubly_sgd as module

    owner = getattr(module, kind)
    right = owner.update
    with patch.object(owner, "update", lambda self, x, g, t: right(self, x, change(x, g), t)):
        yield


def small_step() -> Any:
    """A tenth of the step size."""
    return _update(lambda x, g: g / 10)


def uphill() -> Any:
    """The first coordinate goes uphill."""
    import torch

    return _update(lambda x, g: torch.cat([-g[..., :1], g[..., 1:]], -1))


@contextmanager
def moments_kept() -> Iterator[None]:
    """Adam begins a descent with the moments of the one before."""
    from methods.noisy.doubly_sgd import DoublyAdam

    begin = DoublyAdam.begin

    def kept(self: Any, x: Any, *more: Any) -> Any:
        before = getattr(self, "_first", None), getattr(self, "_second", None)
        found = begin(self, x, *more)
        if before[0] is not None:
            self._first, self._second = before
        return found

    with patch.object(DoublyAdam, "begin", kept):
        yield


@contextmanager
def one_permutation() -> Iterator[None]:
    """Reshuffling goes through the first epoch's permutation in every epoch."""
    from methods.noisy.doubly_sgd import DoublySGD

    permutations = DoublySGD._permutations
    with patch.object(DoublySGD, "_permutations", lambda self, seed, epoch, paths: permutations(self, seed, 0, paths)):
        yield


@contextmanager
def one_minibatch() -> Iterator[None]:
    """Every step has the minibatch of the first."""
    from methods.noisy.doubly_sgd import DoublySGD

    right = DoublySGD.minibatches

    def first_again(self: Any, seeds: Any, first: int, count: int, paths: int) -> Any:
        return right(self, seeds, 0, 1, paths).expand(count, -1, -1)

    with patch.object(DoublySGD, "minibatches", first_again):
        yield


ADAM = "doublysgd/gaussian_vi"
COMPARED = "doublysgd/references"
WEAKENED = [
    Mistake("small-singly", "a tenth of the step", COMPARED, {"method": "singly_sgd"}, small_step),
    Mistake("one-minibatch", "the same minibatch at every step", COMPARED, {"method": "singly_sgd"}, one_minibatch),
    Mistake("stale-full-batch", "the same draws at every step", COMPARED, {"method": "full_batch_sgd"}, stale_noise),
    Mistake("uphill-descent", "one coordinate uphill", COMPARED, {"method": "gradient_descent"}, uphill),
    Mistake("moments-kept", "moments of an earlier descent", ADAM, {"method": "doubly_adam"}, moments_kept),
]
FORGOTTEN = [
    Mistake(
        "one-permutation", "one permutation for all epochs", COMPARED, {"method": "doubly_sgd_rr"}, one_permutation
    ),
]
