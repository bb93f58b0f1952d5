"""Classic mistakes in on-line portfolio selection, planted one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from bench.judge.selftest import Mistake


@contextmanager
def clip_and_divide() -> Iterator[None]:
    """Negative weights are cut and the rest divided by its sum: not the Euclidean projection."""
    import methods.portfolio.reversion

    def clipped(v: Any) -> Any:
        positive = v.clamp_min(0)
        return positive / positive.sum(-1, keepdim=True)

    with patch.object(methods.portfolio.reversion, "project", clipped):
        yield


@contextmanager
def undrifted() -> Iterator[None]:
    """Trades are counted from the last weights, not from what they drifted to."""
    from bench.tasks.portfolio.books import Books

    settle = Books.settle

    def counted(self: Any, first: int, weights: Any, x: Any) -> Any:
        found = settle(self, first, weights, x)  # one period: the experiment keeps the toolbox's accounts
        self._held = weights
        return found

    with patch.object(Books, "settle", counted):
        yield


@contextmanager
def early_step() -> Iterator[None]:
    """OLMAR-1 takes its first step one period too early."""
    from methods.portfolio.reversion import OLMAR1

    with patch.object(OLMAR1, "first", 0):
        yield


@contextmanager
def look_ahead() -> Iterator[None]:
    """The forecast of a period is computed with that period's prices."""
    from methods.portfolio.reversion import OLMAR2

    forecast = OLMAR2.forecast
    with patch.object(OLMAR2, "forecast", lambda self, relatives: forecast(self, relatives).roll(-1, 0)):
        yield


@contextmanager
def swapped() -> Iterator[None]:
    """The divergence with its arguments exchanged: alpha and beta trade places."""
    from methods.portfolio.egab import Geometry

    build = Geometry.__init__

    def exchanged(self: Any, alpha: Any, beta: Any, *more: Any, **named: Any) -> None:
        build(self, beta, alpha, *more, **named)

    with patch.object(Geometry, "__init__", exchanged):
        yield


COSTS = "egab/toolbox_costs"
MISTAKES = [
    Mistake("first-day", "the first day is dropped", COSTS, {}, overrides=("task.drop_first=true",)),
    Mistake("clip-and-divide", "clip and divide for the projection", COSTS, {"method": "olmar1"}, clip_and_divide),
    Mistake("wrong-holdings", "costs on the wrong holdings", COSTS, {}, undrifted),
    Mistake("early-step", "OLMAR-1 steps one period early", COSTS, {"method": "olmar1"}, early_step),
    Mistake("look-ahead", "OLMAR-2 sees the period it bets on", COSTS, {"method": "olmar2"}, look_ahead),
    Mistake("swapped", "alpha and beta swapped", "egab/identity_eg", {"method": "egab_n"}, swapped),
]
