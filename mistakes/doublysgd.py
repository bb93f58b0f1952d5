"""Classic mistakes in implementations of doubly stochastic gradients, planted one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from bench.judge.selftest import Mistake


@contextmanager
def _noise(change: Callable[[Any, Any, tuple], Any]) -> Iterator[None]:
    """DoublySGD.noise as change(method, the right one, its arguments)."""
    from methods.noisy.doubly_sgd import DoublySGD

    right = DoublySGD.noise
    with patch.object(DoublySGD, "noise", lambda self, *arguments: change(self, right, arguments)):
        yield


def separate_draws() -> Any:
    """Shared noise is claimed, but every component draws its own."""
    import torch

    def change(method: Any, right: Any, arguments: tuple) -> Any:
        seeds, first, count, paths, dim = arguments
        drawn = right(method, seeds, first, count, paths * method.b, dim)  # b times as many paths ...
        parts = [part.unflatten(1, (paths, method.b)) for part in drawn.chunk(len(seeds), 1)]
        return torch.cat(parts, 1).squeeze(3)  # ... are the components of one

    return _noise(change)


def one_draw() -> Any:
    """The m draws of a step are one draw, m times."""
    return _noise(
        lambda method, right, arguments: right(method, *arguments)[..., :1, :].expand(-1, -1, -1, method.m, -1)
    )


def stale_noise() -> Any:
    """The draws are made once and used at every step: what looks like noise is a bias."""

    def change(method: Any, right: Any, arguments: tuple) -> Any:
        seeds, _, count, paths, dim = arguments
        return right(method, seeds, 0, 1, paths, dim).expand(count, -1, -1, -1, -1)

    return _noise(change)


@contextmanager
def fixed_blocks() -> Iterator[None]:
    """Reshuffling changes the order of the blocks, never the blocks."""
    import torch

    from bench.seeding import generator
    from methods.noisy.doubly_sgd import DoublySGD

    def permutations(self: Any, seed: int, epoch: int, paths: int) -> Any:
        order = torch.rand(paths, self.steps_per_epoch, generator=generator(seed, "order", epoch)).argsort(1)
        blocks = torch.arange(self.steps_per_epoch * self.b).view(-1, self.b)
        return blocks[order].flatten(1)

    with patch.object(DoublySGD, "_permutations", permutations):
        yield


@contextmanager
def biased_effective_batch() -> Iterator[None]:
    """b stands in for b_eff = (n - 1) b / (n - b), also without replacement."""
    from bench.tasks.doubly_stochastic.budget import Moments

    with patch.object(Moments, "subsampling_variance", lambda self, b, replacement=False: self.tau2 / b):
        yield


@contextmanager
def plain_mean() -> Iterator[None]:
    """Errors are taken from the plain mean of the centres; the optimum is the mean weighted by curvature."""
    from datasets.sums.noisy_quadratics import GammaQuadratics

    right = GammaQuadratics.__init__

    def wrong(self: Any, *arguments: Any, **more: Any) -> None:
        right(self, *arguments, **more)
        self.optimum = self.centres.mean(0)

    with patch.object(GammaQuadratics, "__init__", wrong):
        yield


FORMULA, STEPS = "doublysgd/variance_formula", "doublysgd/step_size"
GAMMA = {"dataset": "gamma_quadratics"}
MISTAKES = [
    Mistake("separate-draws", "shared noise that is not shared", FORMULA, {"method.rho": 1.0}, separate_draws),
    Mistake("one-draw", "one draw, m times", FORMULA, {"method.rho": 1.0}, one_draw),
    Mistake("stale-noise", "the same draws at every step", FORMULA, {"method.rho": 1.0}, stale_noise),
    Mistake(
        "fixed-blocks", "reshuffled order of fixed blocks", FORMULA, {"method.sampling": "reshuffling"}, fixed_blocks
    ),
    Mistake(
        "biased-effective-batch",
        "b for b_eff",
        FORMULA,
        {"method.sampling": "without_replacement"},
        biased_effective_batch,
    ),
    Mistake("plain-mean", "distance to the plain mean", STEPS, GAMMA, plain_mean),
]


# ---- weaker baselines and forgotten resets, which the tests of tests/mistakes notice


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
