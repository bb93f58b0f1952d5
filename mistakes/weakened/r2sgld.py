"""Weaker baselines of the samplers, planted one at a time; the tests of tests/mistakes notice each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from bench.judge.selftest import Mistake
from mistakes.samplers.lorenz import RELEASED
from mistakes.samplers.mixing import unit_noise, whole_rise
from mistakes.samplers.plane import FLOWER, LEAKAGE, clamped


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


@contextmanager
def one_cycle() -> Iterator[None]:
    """The step size falls once and is never raised again."""
    from methods.sampling.langevin import CyclicalSGLD

    begin = CyclicalSGLD.begin

    def once(self: Any, *arguments: Any) -> None:
        begin(self, *arguments)
        self.cycles = 1

    with patch.object(CyclicalSGLD, "begin", once):
        yield


@contextmanager
def no_exchange() -> Iterator[None]:
    """Exchanges are counted and not made."""
    from methods.sampling.langevin import ReplicaSGLD

    right = ReplicaSGLD._exchange

    def counted(self: Any, x: Any, *arguments: Any) -> Any:
        right(self, x, *arguments)
        return x

    with patch.object(ReplicaSGLD, "_exchange", counted):
        yield


@contextmanager
def no_penalty() -> Iterator[None]:
    """The penalty is read and not used."""
    from methods.sampling.langevin import SGLD

    begin = SGLD.begin

    def forgetful(self: Any, *arguments: Any) -> None:
        begin(self, *arguments)
        self.penalty = 0.0

    with patch.object(SGLD, "begin", forgetful):
        yield


def _of(where: tuple[str, dict[str, str]], method: str) -> tuple[str, dict[str, str]]:
    return where[0], {"method": method}


WEAKENED = [
    Mistake("sgld-half-noise", "too little noise", *_of(LEAKAGE, "sgld"), half_noise),
    Mistake("r-sgld-clamped", "steps end on the boundary", *_of(LEAKAGE, "r_sgld"), clamped),
    Mistake("cycsgld-one-cycle", "no restarts", *_of(LEAKAGE, "cycsgld"), one_cycle),
    Mistake("r-cycsgld-one-cycle", "no restarts", *_of(FLOWER, "r_cycsgld"), one_cycle),
    Mistake("resgld-no-exchange", "chains that never meet", *_of(LEAKAGE, "resgld"), no_exchange),
    Mistake("resgld-l2-no-penalty", "nothing in place of the constraint", *_of(LEAKAGE, "resgld_l2"), no_penalty),
    Mistake("sgld-lorenz-half-noise", "too little noise", *_of(RELEASED, "sgld_lorenz"), half_noise),
    Mistake("cycsgld-lorenz-one-cycle", "no restarts", *_of(RELEASED, "cycsgld_lorenz"), one_cycle),
    Mistake("cold-whole-rise", "not the law", "r2sgld/spectrum", {"method": "reflected_langevin"}, whole_rise),
    Mistake("hot-unit-noise", "no temperature", "r2sgld/spectrum", {"method": "reflected_langevin_hot"}, unit_noise),
]
FORGOTTEN: list[Mistake] = []
