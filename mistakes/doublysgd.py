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


def one_draw_for_all() -> Any:
    """Components are said to draw noise of their own, but share one."""
    return _noise(lambda method, right, arguments: right(method, *arguments)[:, :, :1].expand(-1, -1, method.b, -1, -1))


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
def formula_blind_to_sharing() -> Iterator[None]:
    """The formula leaves out what components have in common."""
    from datasets.sums.noisy_quadratics import GammaQuadratics

    right = GammaQuadratics.moments
    with patch.object(GammaQuadratics, "moments", lambda *arguments: right(*arguments).independent()):
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


@contextmanager
def per_coordinate() -> Iterator[None]:
    """The variance of a coordinate is taken for the trace of the covariance."""
    from bench.tasks.doubly_stochastic.variance import Variance

    right = Variance._sampled

    def wrong(self: Any, method: Any) -> Any:
        return [v / len(self.point) for v in right(self, method)]

    with patch.object(Variance, "_sampled", wrong):
        yield


@contextmanager
def reshuffled_each_step() -> Iterator[None]:
    """A new permutation at every step in place of one an epoch: independent minibatches."""
    from bench.seeding import generator
    from methods.noisy.doubly_sgd import DoublySGD

    def blocks(self: Any, seed: int, first: int, count: int, paths: int) -> Any:
        return self._subsets(generator(seed, "order", first, self.b), count, paths)

    with patch.object(DoublySGD, "_blocks", blocks):
        yield


@contextmanager
def mid_epoch() -> Iterator[None]:
    """Errors are taken in the middle of an epoch, where reshuffling has seen half of the components."""
    from methods.noisy.doubly_sgd import DoublySGD

    right = DoublySGD.update

    def update(self: Any, x: Any, g: Any, t: int) -> Any:
        x = right(self, x, g, t)
        if (t + 1) % self.steps_per_epoch == self.steps_per_epoch // 2:
            self.middle = x
        return x

    with patch.object(DoublySGD, "update", update), patch.object(DoublySGD, "answer", lambda self, x: self.middle):
        yield


@contextmanager
def doubled_step() -> Iterator[None]:
    """Steps are twice as long as said, which weakens a baseline: its error is twice as large."""
    from methods.noisy.doubly_sgd import DoublySGD

    right = DoublySGD.step_sizes
    with patch.object(DoublySGD, "step_sizes", lambda self, t: 2 * right(self, t)):
        yield


@contextmanager
def half_batch() -> Iterator[None]:
    """Minibatches hold half of their components twice."""
    from methods.noisy.doubly_sgd import DoublySGD

    right = DoublySGD.minibatches

    def minibatches(self: Any, *arguments: Any) -> Any:
        half = right(self, *arguments)[..., : self.b // 2]
        return half.repeat(1, 1, 2)

    with patch.object(DoublySGD, "minibatches", minibatches):
        yield


@contextmanager
def smoothness_for_convexity() -> Iterator[None]:
    """The decreasing step size has L where mu belongs: too small too soon."""
    from methods.noisy.doubly_sgd import DoublySGD

    right = DoublySGD.__init__

    def wrong(self: Any, n: int, smoothness: float, strong_convexity: float, **more: Any) -> None:
        right(self, n, smoothness, strong_convexity, **more)
        self.mu = smoothness

    with patch.object(DoublySGD, "__init__", wrong):
        yield


@contextmanager
def blind_to_sharing() -> Iterator[None]:
    """The pilot sample is read as if components drew noise of their own."""
    from bench.tasks.doubly_stochastic import variance

    right = variance.measure
    with patch.object(variance, "measure", lambda *arguments: right(*arguments).independent()):
        yield


@contextmanager
def one_component() -> Iterator[None]:
    """Minibatches hold their first component b times, as a wrong broadcast of the index would have it."""
    from methods.noisy.base import DoublyStochastic

    right = DoublyStochastic.minibatches

    def minibatches(self: Any, *arguments: Any) -> Any:
        return right(self, *arguments)[..., :1].expand(-1, -1, self.b)

    with patch.object(DoublyStochastic, "minibatches", minibatches):
        yield


@contextmanager
def stale_draws() -> Iterator[None]:
    """As `stale_noise`, of Adam as well."""
    from methods.noisy.base import DoublyStochastic

    right = DoublyStochastic.noise

    def noise(self: Any, seeds: Any, first: int, count: int, paths: int, dim: int) -> Any:
        return right(self, seeds, 0, 1, paths, dim).expand(count, -1, -1, -1, -1)

    with patch.object(DoublyStochastic, "noise", noise):
        yield


FORMULA, STEPS, RATIO, REFERENCES, SPLITS, TRADEOFF, SEPARATE, COMPLEXITY, TOOL, VI, LOGISTIC = (
    f"doublysgd/{name}"
    for name in (
        "variance_formula",
        "step_size",
        "reshuffling_ratio",
        "references",
        "split_descent",
        "variance_tradeoff",
        "variance_separate",
        "complexity",
        "budget_tool",
        "gaussian_vi",
        "logistic",
    )
)
SHARED, RESHUFFLED = {"method.rho": 1.0}, {"method.sampling": "reshuffling"}
INDEPENDENT = {"method.sampling": "without_replacement"}
QUIET, NOISY = {"dataset.noise": 0.1}, {"dataset.noise": 0.4}
DOUBLED = "a baseline whose steps are twice as long"


def _reference(method: str) -> dict[str, Any]:
    return {"method": method, "method.schedule": "constant"}


MISTAKES = [
    Mistake("separate-draws", "shared noise that is not shared", FORMULA, SHARED, separate_draws),
    Mistake("one-draw", "one draw, m times", FORMULA, SHARED, one_draw),
    Mistake("stale-noise", "the same draws at every step", FORMULA, SHARED, stale_noise),
    Mistake("fixed-blocks", "reshuffled order of fixed blocks", FORMULA, RESHUFFLED, fixed_blocks),
    Mistake("biased-effective-batch", "b for b_eff", FORMULA, INDEPENDENT, biased_effective_batch),
    Mistake(
        "separate-draws-tradeoff", "shared noise that is not shared", TRADEOFF, {}, separate_draws, ("task.draws=600",)
    ),
    Mistake(
        "per-coordinate", "a coordinate's variance for the trace", TRADEOFF, {}, per_coordinate, ("task.draws=1000",)
    ),
    Mistake(
        "formula-blind-to-sharing",
        "a formula without common noise",
        TRADEOFF,
        {},
        formula_blind_to_sharing,
        ("task.draws=0",),
    ),
    Mistake("one-draw-for-all", "noise of their own that is shared", SEPARATE, {"method.budget": 16}, one_draw_for_all),
    Mistake(
        "separate-draws-descent",
        "shared noise that is not shared",
        SPLITS,
        {"dataset.heterogeneity": 0.01},
        separate_draws,
    ),
    Mistake("stale-noise-descent", "the same draws at every step", SPLITS, {"dataset.heterogeneity": 1.0}, stale_noise),
    Mistake("plain-mean", "distance to the plain mean", STEPS, {"dataset": "gamma_quadratics"}, plain_mean),
    Mistake("each-step", "a permutation a step, not an epoch", RATIO, {**RESHUFFLED, **QUIET}, reshuffled_each_step),
    Mistake("each-step-tuned", "a permutation a step, not an epoch", COMPLEXITY, RESHUFFLED, reshuffled_each_step),
    Mistake("half-batch-tuned", "half of a minibatch, twice", COMPLEXITY, RESHUFFLED, half_batch),
    Mistake("mid-epoch", "errors in the middle of an epoch", RATIO, {**RESHUFFLED, **QUIET}, mid_epoch),
    Mistake(
        "one-step-size", "one step size for every epsilon", COMPLEXITY, INDEPENDENT, overrides=("task.lrs=[8.2e-4]",)
    ),
    Mistake("doubled-step", DOUBLED, RATIO, {**INDEPENDENT, **NOISY}, doubled_step),
    Mistake("half-batch", "a baseline with half of its minibatch", RATIO, {**INDEPENDENT, **NOISY}, half_batch),
    Mistake("one-component-ratio", "a minibatch is its first component", RATIO, {**RESHUFFLED, **QUIET}, one_component),
    Mistake("doubled-step-singly", DOUBLED, REFERENCES, _reference("singly_sgd"), doubled_step),
    Mistake("doubled-step-full", DOUBLED, REFERENCES, _reference("full_batch_sgd"), doubled_step),
    Mistake("doubled-step-constant", DOUBLED, REFERENCES, _reference("doubly_sgd"), doubled_step),
    Mistake(
        "smoothness-for-convexity",
        "L for mu in the schedule",
        REFERENCES,
        {"method": "doubly_sgd", "method.schedule": "two_stage"},
        smoothness_for_convexity,
    ),
    Mistake("one-component", "a minibatch is its first component", VI, RESHUFFLED, one_component),
    Mistake("stale-draws", "the same draws at every step", VI, {"method.rho": 0.0}, stale_draws),
    Mistake("half-batch-logistic", "half of a minibatch, twice", LOGISTIC, RESHUFFLED, half_batch),
    Mistake("blind-to-sharing", "a pilot read as separate draws", TOOL, SHARED, blind_to_sharing),
]
