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
    from datasets.sums.quadratics import GammaQuadratics

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
