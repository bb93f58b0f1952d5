"""Weaker baselines of private tuning, planted one at a time; the tests of tests/mistakes notice each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from bench.judge.selftest import Mistake


@contextmanager
def half_sums() -> Iterator[None]:
    """Half of the clipped sum."""
    from methods.private import dpsgd

    right = dpsgd.clipped_sum
    with patch.object(dpsgd, "clipped_sum", lambda gradients, clip: [part / 2 for part in right(gradients, clip)]):
        yield


@contextmanager
def half_rate() -> Iterator[None]:
    """Half of the step size."""
    from methods.private.base import Tuning

    begin = Tuning.begin

    def slower(self: Any, problem: Any) -> int:
        self.lr /= 2
        return begin(self, problem)

    with patch.object(Tuning, "begin", slower):
        yield


@contextmanager
def moved() -> Iterator[None]:
    """The public network, a little off."""
    from methods.private.public_only import PublicOnly

    begin = PublicOnly.begin

    def off(self: Any, problem: Any) -> int:
        for parameter in problem.denoiser.parameters():
            parameter.data.add_(0.01)
        return begin(self, problem)

    with patch.object(PublicOnly, "begin", off):
        yield


@contextmanager
def twice_counted() -> Iterator[None]:
    """Images are counted with twice their weight, which takes sensitivity from the features."""
    from methods.private import mepf

    with patch.object(mepf, "COUNT", 2 * mepf.COUNT):
        yield


@contextmanager
def an_epoch_late(kind: str) -> Iterator[None]:
    """The epoch after the one that is chosen, the first after the last."""
    from methods.private import choice

    owner = getattr(choice, kind)
    choose = owner.choose
    with patch.object(owner, "choose", lambda self, *shares: (choose(self, *shares) + 1) % len(shares[1])):
        yield


CHOICES = {"last_epoch": "LastEpoch", "validated_epoch": "ValidatedEpoch", "tested_epoch": "TestedEpoch"}
PLANTS = {
    "dp_full": half_sums,
    "dp_attention": half_sums,
    "dp_scratch": half_sums,
    "lora": half_rate,
    "public_only": moved,
    "dp_mepf": twice_counted,
}
WEAKENED = [
    Mistake(f"{name}-weaker", plant.__doc__ or "", "dplora/digits", {"method": name}, plant)
    for name, plant in PLANTS.items()
]
WEAKENED += [
    Mistake("dplora_released-weaker", "half of the sum", "dplora/step", {"method": "dplora_released"}, half_sums),
    *(
        Mistake(
            f"{name}-late",
            "an epoch late",
            "dplora/test_selection",
            {"method": name},
            lambda kind=kind: an_epoch_late(kind),
        )
        for name, kind in CHOICES.items()
    ),
]
FORGOTTEN: list[Mistake] = []
