"""Classic mistakes in reflected replica exchange samplers, planted one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from bench.judge.selftest import Mistake


@contextmanager
def reversed_sampler_swap() -> Iterator[None]:
    """Positions are exchanged by delta (U_cold - U_hot): the sign of the release's image code."""
    from methods.sampling.langevin import ReplicaSGLD

    right = ReplicaSGLD._exchange

    def reversed_(self: Any, x: Any, energies: Any, uniform: Any, pairs: Any) -> Any:
        return right(self, x, -energies, uniform, pairs)

    with patch.object(ReplicaSGLD, "_exchange", reversed_):
        yield


@contextmanager
def no_swap() -> Iterator[None]:
    """Two chains that never meet."""
    from methods.sampling.langevin import ReplicaSGLD

    begin = ReplicaSGLD.begin

    def alone(self: Any, *arguments: Any) -> None:
        begin(self, *arguments)
        self.swap = "none"

    with patch.object(ReplicaSGLD, "begin", alone):
        yield


@contextmanager
def frozen_hot_chain() -> Iterator[None]:
    """The hot chain has the cold one's temperature."""
    from methods.sampling.langevin import ReplicaSGLD

    begin = ReplicaSGLD.begin

    def cold(self: Any, *arguments: Any) -> None:
        begin(self, *arguments)
        lr, spread = self._rates
        self._rates = lr, spread[:1].expand_as(spread)

    with patch.object(ReplicaSGLD, "begin", cold):
        yield


@contextmanager
def correction_reversed() -> Iterator[None]:
    """The correction is added where it is to be taken off."""
    from methods.sampling.langevin import ReplicaSGLD

    begin = ReplicaSGLD.begin

    def turned(self: Any, *arguments: Any) -> None:
        begin(self, *arguments)
        self._bias = -self._bias

    with patch.object(ReplicaSGLD, "begin", turned):
        yield


@contextmanager
def no_correction() -> Iterator[None]:
    """Noisy energies are taken for exact ones."""
    from methods.sampling.langevin import ReplicaSGLD

    begin = ReplicaSGLD.begin

    def trusting(self: Any, *arguments: Any) -> None:
        begin(self, *arguments)
        self._bias = 0 * self._bias

    with patch.object(ReplicaSGLD, "begin", trusting):
        yield


@contextmanager
def clamped() -> Iterator[None]:
    """A step that leaves the domain ends on its boundary."""
    from bench.tasks.sampling.domains import Domain

    def onto(self: Any, x: Any, y: Any) -> Any:
        import torch

        b, _ = self.boundary(x, y)
        return torch.where(self.inside(b)[..., None], b, x)

    with patch.object(Domain, "_mirrored", onto):
        yield


@contextmanager
def one_mirror() -> Iterator[None]:
    """What is still outside after one mirror stays there."""
    from bench.tasks.sampling.domains import Domain, mirror

    with patch.object(Domain, "_mirrored", lambda self, x, y: mirror(y, *self.boundary(x, y))):
        yield


@contextmanager
def earlier_normal() -> Iterator[None]:
    """Mirrored about the normal at the angle of the point that was left, not of the boundary's point."""
    from bench.tasks.sampling.curved import Flower

    boundary = Flower.boundary

    def at_start(self: Any, x: Any, y: Any) -> Any:
        b, _ = boundary(self, x, y)
        return b, self.normal(x)

    with patch.object(Flower, "boundary", at_start):
        yield


@contextmanager
def unreflected() -> Iterator[None]:
    """The domain is asked for and not heeded."""
    from bench.tasks.sampling.domains import Domain

    with patch.object(Domain, "reflect", lambda self, x, y: y):
        yield


@contextmanager
def relative_steps() -> Iterator[None]:
    """Step sizes that grow with the domain's area: as many steps cross any domain."""
    from methods.sampling.langevin import ReplicaSGLD

    begin = ReplicaSGLD.begin

    def relative(self: Any, x: Any, domain: Any, *more: Any) -> None:
        begin(self, x, domain, *more)
        part = (domain.diameter / 4) ** 2
        lr, spread = self._rates
        self._rates = lr * part, spread * part**0.5

    with patch.object(ReplicaSGLD, "begin", relative):
        yield


FLOWER = ("r2sgld/flower", {"method": "r2sgld"})
LEAKAGE = ("r2sgld/leakage", {"method": "r2sgld"})
UNIFORM = ("r2sgld/normals", {})
POOLED = ("r2sgld/swap_bias", {})
NOISY = ("r2sgld/noisy_swaps", {})
MISTAKES = [
    Mistake("reversed-swap", "exchanges by energies of the other sign", *FLOWER, reversed_sampler_swap),
    Mistake("no-swap", "two chains that never meet", *FLOWER, no_swap),
    Mistake("frozen-hot-chain", "a hot chain at the cold temperature", *FLOWER, frozen_hot_chain),
    Mistake("no-swap-unbounded", "two chains that never meet", *LEAKAGE, no_swap),
    Mistake("no-reflection", "steps that leave stay outside", "r2sgld/leakage", {}, unreflected),
    Mistake("one-mirror", "corners are not looked at", "r2sgld/leakage", {}, one_mirror),
    Mistake("fixed-step-share", "steps that grow with the domain", "r2sgld/diameter", {}, relative_steps),
    Mistake("fixed-step-share-short", "as above", "r2sgld/diameter_short", {}, relative_steps),
    Mistake("no-correction", "energies taken for exact", *NOISY, no_correction),
    Mistake("correction-reversed", "a correction of the other sign", *NOISY, correction_reversed),
    Mistake("clamped", "steps end on the boundary", *UNIFORM, clamped),
    Mistake("earlier-normal", "the normal of another point", *UNIFORM, earlier_normal),
    Mistake("no-swap-pooled", "chains that never meet", *POOLED, no_swap),
    Mistake("reversed-swap-pooled", "energies of the other sign", *POOLED, reversed_sampler_swap),
]
