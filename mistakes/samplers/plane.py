"""Classic mistakes in reflected replica exchange samplers, planted one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from unittest.mock import patch

from bench.judge.selftest import Mistake


@contextmanager
def begun(kind: str, change: Callable[[Any], None]) -> Iterator[None]:
    """Samplers of this class, each changed as soon as it has begun."""
    from methods.sampling import langevin

    owner = getattr(langevin, kind)
    begin = owner.begin

    def changed(self: Any, *arguments: Any) -> None:
        begin(self, *arguments)
        change(self)

    with patch.object(owner, "begin", changed):
        yield


@contextmanager
def reversed_sampler_swap() -> Iterator[None]:
    """Positions are exchanged by delta (U_cold - U_hot): the sign of the release's image code."""
    from methods.sampling.langevin import ReplicaSGLD

    right = ReplicaSGLD._exchange

    def reversed_(self: Any, x: Any, energies: Any, uniform: Any, pairs: Any) -> Any:
        return right(self, x, -energies, uniform, pairs)

    with patch.object(ReplicaSGLD, "_exchange", reversed_):
        yield


def no_swap() -> AbstractContextManager[None]:
    """Two chains that never meet."""
    return begun("ReplicaSGLD", lambda method: setattr(method, "swap", "none"))


def frozen_hot_chain() -> AbstractContextManager[None]:
    """The hot chain has the cold one's temperature."""

    def cold(method: Any) -> None:
        lr, spread = method._rates
        method._rates = lr, spread[:1].expand_as(spread)

    return begun("ReplicaSGLD", cold)


def correction_reversed() -> AbstractContextManager[None]:
    """The correction is added where it is to be taken off."""
    return begun("ReplicaSGLD", lambda method: setattr(method, "_bias", -method._bias))


def no_correction() -> AbstractContextManager[None]:
    """Noisy energies are taken for exact ones."""
    return begun("ReplicaSGLD", lambda method: setattr(method, "_bias", 0 * method._bias))


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
def unreflected() -> Iterator[None]:
    """The domain is asked for and not heeded."""
    from bench.tasks.sampling.domains import Domain

    with patch.object(Domain, "reflect", lambda self, x, y: y):
        yield


def relative_steps() -> AbstractContextManager[None]:
    """Step sizes that grow with the domain's area: as many steps cross any domain."""

    def relative(method: Any) -> None:
        part = (method.domain.diameter / 4) ** 2
        lr, spread = method._rates
        method._rates = lr * part, spread * part**0.5

    return begun("ReplicaSGLD", relative)


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
    Mistake("no-swap-pooled", "chains that never meet", *POOLED, no_swap),
    Mistake("reversed-swap-pooled", "energies of the other sign", *POOLED, reversed_sampler_swap),
]
