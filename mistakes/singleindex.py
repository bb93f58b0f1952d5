"""Classic mistakes in implementations of batch reuse and its baselines, planted one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest.mock import patch

from bench.judge.selftest import Mistake


@contextmanager
def new_sample() -> Iterator[None]:
    """The second step draws a sample of its own (batches of two, the first for the first step): nothing is reused."""
    import torch

    from methods.two_layer.reuse_sgd import LookaheadSGD

    def twice(self: Any, batch: Any) -> Any:
        g = self.neurons.signal(batch.h, batch.y, self.squared)
        first = torch.cat([g[..., :1], torch.zeros_like(g[..., 1:])], -1)
        moved = batch.h + self.inner_lr * batch.inner(first)
        second = self.neurons.signal(moved, batch.y, self.squared)
        return None, self.lr * torch.cat([g[..., :1], second[..., 1:]], -1)

    with patch.object(LookaheadSGD, "move", twice):
        yield


@contextmanager
def no_biases() -> Iterator[None]:
    """ReLU neurons without biases, which have no He_3 coefficient."""
    from dataclasses import replace

    from bench.tasks.feature_learning.two_layer import TwoLayer

    neurons = TwoLayer.neurons
    with patch.object(TwoLayer, "neurons", lambda *a: replace(neurons(*a), b=None)):
        yield


@contextmanager
def gradient_at_w() -> Iterator[None]:
    """Extragradient descent whose outer gradient is taken at w after all."""
    from methods.two_layer.reuse_sgd import LookaheadSGD

    def plain(self: Any, batch: Any) -> Any:
        return None, self.lr * self.neurons.signal(batch.h, batch.y, self.squared)

    with patch.object(LookaheadSGD, "move", plain):
        yield


@contextmanager
def new_sample_in_pairs() -> Iterator[None]:
    """Algorithm 1 whose second step has a sample of its own (batches of two, the first for the first step)."""
    import torch

    from methods.two_layer.reuse_sgd import ReuseSGD

    def twice(self: Any, batch: Any) -> Any:
        one = torch.tensor([1.0, 0.0], dtype=batch.h.dtype, device=batch.h.device)
        beta = self.lr * one * self.neurons.signal(batch.h, batch.y, self.squared)
        moved = self.tangent(beta, batch.h) * batch.h + batch.inner(beta)
        second = self.lr * (1 - one) * self.neurons.signal(moved, batch.y, self.squared)
        return None, (1 - self.interpolation) * (beta + second)

    with patch.object(ReuseSGD, "move", twice):
        yield


@contextmanager
def renewed_projection() -> Iterator[None]:
    """Algorithm 1 with a projection that is renewed for the second step."""
    from methods.two_layer.reuse_sgd import ReuseSGD

    begin = ReuseSGD.begin

    def renewed(self: Any, *arguments: Any) -> None:
        begin(self, *arguments)
        self.renewed = True

    with patch.object(ReuseSGD, "begin", renewed):
        yield


@contextmanager
def no_weak_recovery() -> Iterator[None]:
    """Strong recovery, online SGD, from the first sample on."""
    from methods.two_layer.reuse_sgd import ReuseSGD

    begin = ReuseSGD.begin

    def at_once(self: Any, *arguments: Any) -> None:
        begin(self, *arguments)
        self.weak_until = 0.0

    with patch.object(ReuseSGD, "begin", at_once):
        yield


@contextmanager
def inner_step_by(power: float) -> Iterator[None]:
    """The inner step is divided by another power of d, `power` above 1."""
    from methods.two_layer.reuse_sgd import LookaheadSGD

    begin = LookaheadSGD.begin

    def divided(self: Any, *arguments: Any) -> None:
        begin(self, *arguments)
        self.inner_lr = self.inner_lr / self.dims**power

    with patch.object(LookaheadSGD, "begin", divided):
        yield


@contextmanager
def fixed_lambda() -> Iterator[None]:
    """lambda does not grow with d."""
    from methods.two_layer.feature_sgd import SmoothedSGD

    begin = SmoothedSGD.begin

    def fixed(self: Any, *arguments: Any) -> None:
        begin(self, *arguments)
        self.smoothing = self.smoothing / self.dims**0.25

    with patch.object(SmoothedSGD, "begin", fixed):
        yield


@contextmanager
def unsquared_length() -> Iterator[None]:
    """||x|| where the average over the sphere has ||x||^2."""
    from methods.two_layer import feature_sgd as module

    slope = module.smoothed_slope
    with patch.object(module, "smoothed_slope", lambda powers, u, r, lam2, d: slope(powers, u, r.sqrt(), lam2, d)):
        yield


@contextmanager
def frozen_second_layer() -> Iterator[None]:
    """All layers are said to be trained; the second one's step is lost."""
    from dataclasses import replace

    from methods.two_layer.all_layers import AllLayersGD

    move = AllLayersGD.move

    def frozen(self: Any, batch: Any) -> Any:
        a, moved = self.neurons.a, move(self, batch)
        self.neurons = replace(self.neurons, a=a)
        return moved

    with patch.object(AllLayersGD, "move", frozen):
        yield


@contextmanager
def few_samples() -> Iterator[None]:
    """The second phase takes its first 512 samples, however many it is given."""
    from bench.tasks.feature_learning import cells

    fit = cells.ridge_error

    def on_few(w: Any, neurons: Any, given: Any, test: Any, penalties: Any) -> Any:
        return fit(w, neurons, tuple(part[:, :512] for part in given), test, penalties)

    with patch.object(cells, "ridge_error", on_few):
        yield


@contextmanager
def parity_of_the_label() -> Iterator[None]:
    """An exponent of 2 does for a polynomial that is not even as well."""
    from bench.tasks.feature_learning.hermite import information_exponent
    from datasets.teachers import single_index as module

    def first(link: Any) -> tuple[int, int] | None:
        exponents = ((i, information_exponent(lambda z, i=i: link(z) ** i)) for i in range(1, 9))
        return next(((i, k) for i, k in exponents if k is not None and k <= 2), None)

    with patch.object(module, "label_power", first):
        yield


SCALING = ("singleindex/scaling", {"method": "reuse_map"})
PAIRS = "a new sample in the second step"
EGD = ("singleindex/repetition", {"method": "egd"})
MISTAKES = [
    Mistake("parity-of-the-label", "2 is enough for every label", "singleindex/label_powers", {}, parity_of_the_label),
    Mistake("new-sample", PAIRS, *SCALING, new_sample, ("method.batch_size=2",)),
    Mistake(
        "no-biases", "the online baseline without biases", "singleindex/recovery", {"method": "online_sgd"}, no_biases
    ),
    Mistake("gradient-at-w", "the outer gradient at w", "singleindex/multi_index", {"method": "egd"}, gradient_at_w),
    Mistake(
        "no-interaction",
        "the network's output is left out of the squared loss",
        "singleindex/multi_index",
        {"method": "egd"},
        overrides=("method.loss=correlation",),
    ),
    Mistake(
        "new-sample-in-pairs",
        "a new sample in the second step of Algorithm 1",
        "singleindex/activations",
        {"method": "reuse_sgd"},
        new_sample_in_pairs,
        ("method.batch_size=2",),
    ),
    Mistake(
        "renewed-projection",
        "the projection renewed for the second step",
        "singleindex/projection",
        {"method": "reuse_sgd"},
        renewed_projection,
    ),
    Mistake(
        "no-weak-recovery",
        "the variant without weak recovery",
        "singleindex/projection",
        {"method": "reuse_sgd_renewed"},
        no_weak_recovery,
    ),
    Mistake(
        "large-dimension-step-polynomial",
        "steps that shrink with d^2.5, as large as they should be at d = 32",
        "singleindex/activations",
        {"method": "reuse_sgd", "model.activation": "polynomial"},
        overrides=("method.lr_power=2.5", "method.lr=54.3"),
    ),
    Mistake(
        "few-samples", "fitted on 512 samples always", "singleindex/second_phase", {"method": "reuse_sgd"}, few_samples
    ),
    Mistake(
        "no-new-biases",
        "no biases in the second phase",
        "singleindex/second_phase",
        {"method": "reuse_sgd"},
        overrides=("task.ridge_bias=0.0",),
    ),
    Mistake(
        "new-sample-tuned",
        PAIRS,
        "singleindex/scaling_tuned",
        {"method": "reuse_map"},
        new_sample,
        ("method.batch_size=2",),
    ),
    Mistake(
        "large-dimension-step",
        "steps that shrink with d^1.5, as large as they should be at d = 64",
        *EGD,
        overrides=("method.lr_power=1.5", "method.lr=0.8"),
    ),
    Mistake("gradient-at-w-repetition", "the outer gradient at w", *EGD, gradient_at_w),
    Mistake(
        "inner-step-d-squared",
        "an inner step of c / d^2",
        "singleindex/inner_step",
        {},
        partial(inner_step_by, 1.0),
    ),
    Mistake(
        "inner-step-d-root",
        "an inner step of c / d^1.5",
        "singleindex/inner_step",
        {},
        partial(inner_step_by, 0.5),
    ),
    Mistake(
        "fixed-lambda",
        "a lambda that does not grow with d",
        "singleindex/smoothing",
        {"method.smoothing": 1.0},
        fixed_lambda,
    ),
    Mistake(
        "unsquared-length",
        "||x|| for its square",
        "singleindex/smoothing_tuned",
        {"method.smoothing": 1.0},
        unsquared_length,
    ),
    Mistake(
        "no-sample-ratio",
        "a step size without the factor n / d",
        "singleindex/multipass",
        {"method.fresh": True},
        overrides=("method.lr=0.14",),
    ),
    Mistake(
        "frozen-second-layer",
        "the second layer's step is lost",
        "singleindex/figure1b_layers",
        {"method": "all_layers_gd"},
        frozen_second_layer,
    ),
    Mistake(
        "one-step",
        "one step on the one batch, not 100",
        "singleindex/same_samples",
        {"method": "same_batch_gd"},
        overrides=("method.steps=1",),
    ),
]
