"""Weaker baselines of the samplers, planted one at a time; the tests of tests/mistakes notice each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from unittest.mock import patch

from bench.judge.selftest import Mistake
from mistakes.samplers.lorenz import RELEASED
from mistakes.samplers.mixing import unit_noise, whole_rise
from mistakes.samplers.plane import FLOWER, LEAKAGE, begun, clamped, no_swap


@contextmanager
def half_noise() -> Iterator[None]:
    """sqrt(eta tau) for sqrt(2 eta tau)."""
    from methods.sampling.langevin import SGLD

    rates = SGLD.rates

    def halved(self: Any, t: int) -> Any:
        lr, spread = rates(self, t)
        return lr, spread / 2**0.5

    with patch.object(SGLD, "rates", halved):
        yield


def one_cycle() -> AbstractContextManager[None]:
    """The step size falls once and is never raised again."""
    return begun("CyclicalSGLD", lambda method: setattr(method, "cycles", 1))


def no_penalty() -> AbstractContextManager[None]:
    """The penalty is read and not used."""
    return begun("SGLD", lambda method: setattr(method, "penalty", 0.0))


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
def unreflected_energies() -> Iterator[None]:
    """Exchanges by the energies of the proposals, before they are mirrored."""
    from methods.sampling.langevin import ReplicaSGLD

    step = ReplicaSGLD.step

    def early(self: Any, t: int, x: Any, gradient: Any, energy: Any, normal: Any, uniform: Any) -> Any:
        lr, spread = self.rates(t)
        proposals = x - lr * gradient(x) + spread * normal
        return step(self, t, x, gradient, lambda moved: energy(proposals), normal, uniform)

    with patch.object(ReplicaSGLD, "step", early):
        yield


def _of(where: tuple[str, dict[str, str]], method: str) -> tuple[str, dict[str, str]]:
    return where[0], {"method": method}


WEAKENED = [
    Mistake("sgld-half-noise", "too little noise", *_of(LEAKAGE, "sgld"), half_noise),
    Mistake("r-sgld-clamped", "steps end on the boundary", *_of(LEAKAGE, "r_sgld"), clamped),
    Mistake("cycsgld-one-cycle", "no restarts", *_of(LEAKAGE, "cycsgld"), one_cycle),
    Mistake("r-cycsgld-one-cycle", "no restarts", *_of(FLOWER, "r_cycsgld"), one_cycle),
    Mistake("resgld-no-exchange", "chains that never meet", *_of(LEAKAGE, "resgld"), no_swap),
    Mistake("resgld-l2-no-penalty", "nothing in place of the constraint", *_of(LEAKAGE, "resgld_l2"), no_penalty),
    Mistake("sgld-lorenz-half-noise", "too little noise", *_of(RELEASED, "sgld_lorenz"), half_noise),
    Mistake("cycsgld-lorenz-one-cycle", "no restarts", *_of(RELEASED, "cycsgld_lorenz"), one_cycle),
    Mistake("cold-whole-rise", "not the law", "r2sgld/spectrum", {"method": "reflected_langevin"}, whole_rise),
    Mistake("hot-unit-noise", "no temperature", "r2sgld/spectrum", {"method": "reflected_langevin_hot"}, unit_noise),
]
FORGOTTEN = [
    Mistake("earlier-normal", "the normal of the point that was left", "r2sgld/normals", {}, earlier_normal),
    Mistake("unreflected-energies", "energies of proposals", *_of(LEAKAGE, "r2sgld"), unreflected_energies),
]
