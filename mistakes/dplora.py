"""Classic mistakes in differentially private training, planted one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from unittest.mock import patch

from bench.judge.selftest import Mistake


@contextmanager
def copies_as_examples() -> Iterator[None]:
    """Each noised copy is clipped by itself: an image can move the sum by K C."""
    from methods.private import base, dpsgd

    right, right_sum = base.per_example, dpsgd.clipped_sum

    @contextmanager
    def apart(network: Any, copies: int) -> Iterator[Any]:
        with right(network, 1) as gradients:
            take = gradients.take  # each copy's loss was divided by K
            gradients.take = lambda examples: [
                copies * g.unflatten(0, (examples, copies)) for g in take(examples * copies)
            ]
            yield gradients

    def of_copies(gradients: Any, clip: float) -> Any:
        return right_sum([g.flatten(0, 1) for g in gradients], clip)

    with patch.object(base, "per_example", apart), patch.object(dpsgd, "clipped_sum", of_copies):
        yield


@contextmanager
def per_layer() -> Iterator[None]:
    """Each parameter is clipped to C by itself, and the noise is that of one norm over all of them."""
    from methods.private import dpsgd

    right = dpsgd.clipped_sum
    with patch.object(dpsgd, "clipped_sum", lambda gradients, clip: [right([g], clip)[0] for g in gradients]):
        yield


@contextmanager
def clipped_after_sum() -> Iterator[None]:
    """The sum is clipped in place of what is summed."""
    from methods.private import dpsgd

    right = dpsgd.clipped_sum
    with patch.object(dpsgd, "clipped_sum", lambda gradients, clip: right([g.sum(0)[None] for g in gradients], clip)):
        yield


@contextmanager
def noise_before_averaging() -> Iterator[None]:
    """Noise is added before the average over K copies is taken, and divided by K with them."""
    from methods.private import dpsgd
    from methods.private.base import Tuning

    right, right_advance = dpsgd.averaged, Tuning.advance

    def advance(self: Any, step: int) -> Any:
        def averaged(sums: Any, noise: Any, ledger: Any) -> Any:
            return right(sums, [xi / self.noise_multiplicity for xi in noise], ledger)

        with patch.object(dpsgd, "averaged", averaged):
            return right_advance(self, step)

    with patch.object(Tuning, "advance", advance):
        yield


@contextmanager
def clip_twice() -> Iterator[None]:
    """The noise is multiplied by C again."""
    from methods.private import dpsgd

    right = dpsgd.averaged

    def averaged(sums: Any, noise: Any, ledger: Any) -> Any:
        return right(sums, [xi * ledger.clip for xi in noise], ledger)

    with patch.object(dpsgd, "averaged", averaged):
        yield


@contextmanager
def realised_batch() -> Iterator[None]:
    """The sum is divided by the number of examples that were drawn, which tells it."""
    from methods.private import base

    right = base.private_gradient

    def divided(parts: Any, like: Any, ledger: Any, step: int) -> Any:
        size = max(1, len(ledger.batch(step)))
        return [g * (ledger.expected_batch / size) for g in right(parts, like, ledger, step)]

    with patch.object(base, "private_gradient", divided):
        yield


@contextmanager
def accountant_told(share: Callable[[Any], float]) -> Iterator[None]:
    """The accountant is told a share of the rate, when the noise is calibrated and when what was spent is stated."""
    from bench.tasks.generation import ledger
    from methods.private.base import Tuning

    right, right_epsilon, told = Tuning._calibrated, ledger.epsilon, [1.0]

    def calibrated(self: Any, rate: float, steps: int) -> float:
        told[0] = share(self)
        return right(self, rate * told[0], steps)

    def epsilon(q: float, *others: Any) -> float:
        return right_epsilon(q * told[0], *others)

    with patch.object(Tuning, "_calibrated", calibrated), patch.object(ledger, "epsilon", epsilon):
        yield


def physical_rate() -> AbstractContextManager[None]:
    """q of the physical batch for that of the batch."""
    return accountant_told(lambda method: min(1.0, method.physical_batch_size / method.batch_size))


def public_counted() -> AbstractContextManager[None]:
    """Public images are counted as private ones: a smaller q than that of sampling."""

    def share(method: Any) -> float:
        private, public = len(method.problem.x), len(method.problem.pair.public_x)
        return private / (private + public)

    return accountant_told(share)


@contextmanager
def one_draw() -> Iterator[None]:
    """An image's K copies are one draw of time and noise, K times."""
    from bench.tasks.generation.diffusion import Schedule

    right = Schedule.loss_per_example

    def same(self: Any, denoiser: Any, x0: Any, y: Any, t: Any, noise: Any) -> Any:
        return right(self, denoiser, x0, y, t[:, :1].expand_as(t), noise[:, :1].expand_as(noise))

    with patch.object(Schedule, "loss_per_example", same):
        yield


@contextmanager
def random_adapters() -> Iterator[None]:
    """B starts from random numbers, as A does."""
    import torch

    from methods.private import lora

    right = lora.adapted

    def adapted(*arguments: Any, **more: Any) -> Any:
        denoiser = right(*arguments, **more)
        with torch.no_grad():
            for name, parameter in denoiser.named_parameters():
                if ".lora_B." in name:
                    parameter.normal_(std=0.01)
        return denoiser

    with patch.object(lora, "adapted", adapted):
        yield


@contextmanager
def adapters_dropped() -> Iterator[None]:
    """Layers are taken from under their adapters without B A."""
    from bench.tasks.private_step import loop

    right = loop.merged

    def merged(denoiser: Any) -> Any:
        import torch

        with torch.no_grad():
            kept = {n: p.clone() for n, p in denoiser.named_parameters() if ".lora_B." in n}
            for name in kept:
                denoiser.get_parameter(name).zero_()
            found = right(denoiser)
            for name, value in kept.items():
                denoiser.get_parameter(name).copy_(value)
        return found

    with patch.object(loop, "merged", merged):
        yield


@contextmanager
def one_noise() -> Iterator[None]:
    """The noise is that of epsilon = 0.2, whatever the budget."""
    from bench.tasks.generation.accounting import noise_multiplier
    from methods.private.base import Tuning

    def calibrated(self: Any, rate: float, steps: int) -> float:
        return noise_multiplier(0.2, rate, steps, self.delta, self.accountant)

    with patch.object(Tuning, "_calibrated", calibrated):
        yield


@contextmanager
def public_forgotten() -> Iterator[None]:
    """Adapters on random weights: the public network is not loaded."""
    from methods.private.lora import LoRA

    with patch.object(LoRA, "pretrained", False):
        yield


@contextmanager
def noise_dropped() -> Iterator[None]:
    """The clipped sum is released as it is, while the accountant is told of noise."""
    from methods.private import dpsgd

    with patch.object(dpsgd, "averaged", lambda sums, noise, ledger: [total / ledger.expected_batch for total in sums]):
        yield


@contextmanager
def fresh_is_test() -> Iterator[None]:
    """What a choice overstates is measured on the images that it was made by."""
    from dataclasses import replace

    from datasets.pairs import four_parts

    right = four_parts.digits_in_four

    def same(*arguments: Any, **more: Any) -> Any:
        data = right(*arguments, **more)
        return replace(data, fresh=data.test)

    with patch.object(four_parts, "digits_in_four", same):
        yield


OURS = {"method": "dplora"}
STEP = ("dplora/step", OURS)
BUDGET = ("dplora/budget", OURS)
TRAINED = ("dplora/budget_trained", OURS)
SHIFT = ("dplora/low_rank_shift", OURS)
DIGITS = ("dplora/digits", OURS)
COPIES = ("dplora/copies", OURS)
STILL = ("method.lr=1e-12",)
DRAWS = ("dplora/draws_variance", OURS)
MISTAKES = [
    Mistake("copies-as-examples", "each noised copy is clipped by itself", *STEP, copies_as_examples),
    Mistake("per-layer", "each parameter is clipped by itself", *STEP, per_layer),
    Mistake("noise-before-averaging", "noise is divided by the number of copies", *STEP, noise_before_averaging),
    Mistake("realised-batch", "the sum over the batch's own size", *STEP, realised_batch),
    Mistake("clipped-after-sum", "the sum is clipped", *STEP, clipped_after_sum),
    Mistake("clip-twice", "noise of sigma C^2", *STEP, clip_twice),
    Mistake("physical-rate", "the accountant is told the physical batch", *BUDGET, physical_rate),
    Mistake("public-counted", "public images among the private ones", *BUDGET, public_counted),
    Mistake(
        "no-projection-out", "adapters on queries, keys and values alone", *BUDGET, overrides=("method.targets=qkv",)
    ),
    Mistake("rdp-for-prv", "noise by the looser accountant", *BUDGET, overrides=("method.accountant=rdp",)),
    Mistake("smaller-delta", "delta below one over the images", *BUDGET, overrides=("method.delta=1e-6",)),
    Mistake("rank-64", "adapters of four times the rank", *TRAINED, overrides=("method.rank=${only_for:dplora,64}",)),
    Mistake("random-adapters", "both matrices of an adapter start at random", *STEP, random_adapters),
    Mistake("adapters-dropped", "merged networks without their adapters", *STEP, adapters_dropped),
    Mistake("one-draw", "an image's copies have one draw", *DRAWS, one_draw),
    Mistake(
        "one-draw-direction",
        "an image's copies have one draw",
        "dplora/draws_direction",
        OURS,
        one_draw,
    ),
    Mistake("copies-summed", "each noised copy is clipped by itself, and they are summed", *DRAWS, copies_as_examples),
    Mistake(
        "rank-one", "adapters of a smaller rank than the shift", *SHIFT, overrides=("method.rank=${only_for:dplora,1}",)
    ),
    Mistake("one-noise", "one noise multiplier for all budgets", *SHIFT, one_noise),
    Mistake("no-adapters", "adapters that never move", *DIGITS, overrides=("per_method.lr.dplora=1e-12",)),
    Mistake("public-forgotten", "adapters on random weights", *DIGITS, public_forgotten),
    Mistake("most-noise", "one noise multiplier for all budgets", *DIGITS, one_noise),
    Mistake("no-adapters-in-copies", "adapters that never move", *COPIES, overrides=STILL),
    Mistake(
        "small-step-attention",
        "attention that never moves",
        "dplora/copies",
        {"method": "dp_attention"},
        overrides=STILL,
    ),
    Mistake("one-draw-in-copies", "an image's copies have one draw", "dplora/copies", {}, one_draw),
    Mistake("noise-dropped", "nothing is added to the sum", "dplora/canaries", {"method.epsilon": 0.5}, noise_dropped),
    Mistake("fresh-is-test", "the test images are the fresh ones", "dplora/test_selection", {}, fresh_is_test),
]
