"""Weaker baselines and forgotten resets of portfolio selection, planted one at a time; the tests of tests/mistakes notice each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from bench.judge.selftest import Mistake


@contextmanager
def _changed(module: str, kind: str, **members: Any) -> Iterator[None]:
    """A class of methods.portfolio with other members: each is told the right one."""
    from importlib import import_module

    owner = getattr(import_module(f"methods.portfolio.{module}"), kind)
    planted = {name: change(getattr(owner, name)) for name, change in members.items()}
    with patch.multiple(owner, **planted):
        yield


def rebalanced() -> Any:
    """Buy and hold goes back to even weights."""
    return _changed("benchmarks", "UBAH", update=lambda right: lambda self, t, weights, held, net: weights)


def drifting() -> Any:
    """The constant portfolio is let drift every second period."""

    def change(right: Any) -> Any:
        def update(self: Any, t: int, weights: Any, held: Any, net: Any) -> Any:
            drifted = weights * self.relatives[t]
            return drifted / drifted.sum(-1, keepdim=True) if t % 2 else weights

        return update

    return _changed("benchmarks", "UCRP", update=change)


def half_seen(kind: str) -> Any:
    """Hindsight of the first half alone."""

    def change(right: Any) -> Any:
        return lambda self, relatives, costs: right(self, relatives[: len(relatives) // 2], costs)

    return _changed("benchmarks", kind, begin=change)


def stale(module: str, kind: str) -> Any:
    """An update that sees the relatives of the period before."""

    def change(right: Any) -> Any:
        return lambda self, t, weights, held, net: right(self, max(t - 1, 0), weights, held, net)

    return _changed(module, kind, update=change)


@contextmanager
def smaller_eta() -> Iterator[None]:
    """A tenth of EG's step."""
    from methods.portfolio.benchmarks import EG

    begin = EG.begin

    def small(self: Any, relatives: Any, costs: Any) -> Any:
        self.eta = self.eta / 10
        return begin(self, relatives, costs)

    with patch.object(EG, "begin", small):
        yield


@contextmanager
def newton_reset() -> Iterator[None]:
    """The sums of the online Newton step are thrown away every fiftieth period."""
    from methods.portfolio.ons import ONS

    update = ONS.update

    def forgetful(self: Any, t: int, weights: Any, held: Any, net: Any) -> Any:
        if t % 50 == 49:
            self.total.zero_()
        return update(self, t, weights, held, net)

    with patch.object(ONS, "update", forgetful):
        yield


@contextmanager
def sigma_reset() -> Iterator[None]:
    """Confidence-weighted reversion without its confidence: Sigma is what it was at the start."""
    from methods.portfolio.reversion import CWMR

    update = CWMR.update

    def forgetful(self: Any, t: int, weights: Any, held: Any, net: Any) -> Any:
        self.sigma = weights.new_full(weights.shape, weights.shape[-1] ** -2.0)
        return update(self, t, weights, held, net)

    with patch.object(CWMR, "update", forgetful):
        yield


@contextmanager
def half_a_step() -> Iterator[None]:
    """The confidence's quantile is half of what is stated."""
    from methods.portfolio.reversion import CWMR

    begin = CWMR.begin

    def small(self: Any, relatives: Any, costs: Any) -> Any:
        self.phi = self.phi / 2
        return begin(self, relatives, costs)

    with patch.object(CWMR, "begin", small):
        yield


@contextmanager
def mean_for_median() -> Iterator[None]:
    """The mean of the last prices stands in for their L1-median."""
    from methods.portfolio import forecasts

    with patch.object(forecasts, "l1_median", lambda points: points.mean(1)):
        yield


@contextmanager
def free_trades() -> Iterator[None]:
    """Transaction cost optimisation that does not know of costs."""
    from methods.portfolio.reversion import TCO1

    begin = TCO1.begin
    with patch.object(TCO1, "begin", lambda self, relatives, costs: begin(self, relatives, 0 * costs)):
        yield


@contextmanager
def late_windows() -> Iterator[None]:
    """Anticor's windows end a day early."""
    from methods.portfolio import anticor

    transfers = anticor.transfers
    with patch.object(anticor, "transfers", lambda logs, window: transfers(logs.roll(1, 0), window)):
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


MARKETS, COSTS = "egab/markets", "egab/toolbox_costs"
PAMR = ("reversion", "PAMR")
WEAKENED = [
    Mistake("rebalanced", "buy and hold that trades", MARKETS, {"method": "ubah"}, rebalanced),
    Mistake("drifting", "constant rebalancing every second period", MARKETS, {"method": "ucrp"}, drifting),
    Mistake("half-best", "the best asset of the first half", MARKETS, {"method": "best"}, lambda: half_seen("Best")),
    Mistake("half-bcrp", "the best of the first half", MARKETS, {"method": "bcrp"}, lambda: half_seen("BCRP")),
    Mistake("stale-up", "stale relatives", MARKETS, {"method": "up"}, lambda: stale("benchmarks", "UP")),
    Mistake("small-eg", "a tenth of the step", MARKETS, {"method": "eg"}, smaller_eta),
    Mistake("newton-reset", "sums that are forgotten", MARKETS, {"method": "ons"}, newton_reset),
    Mistake("late-anticor", "windows of the day before", MARKETS, {"method": "anticor"}, late_windows),
    Mistake("late-anticor2", "windows of the day before", MARKETS, {"method": "anticor2"}, late_windows),
    *(Mistake(f"stale-{name}", "stale relatives", MARKETS, {"method": name}, lambda: stale(*PAMR))
      for name in ("pamr", "pamr1", "pamr2")),
    Mistake("sigma-reset", "Sigma is forgotten", MARKETS, {"method": "cwmr_var"}, sigma_reset),
    Mistake("half-a-step", "half the quantile", MARKETS, {"method": "cwmr_stdev"}, half_a_step),
    Mistake("stale-olmar1", "stale relatives", MARKETS, {"method": "olmar1"}, lambda: stale("reversion", "OLMAR1")),
    Mistake("stale-olmar2", "stale relatives", MARKETS, {"method": "olmar2"}, lambda: stale("reversion", "OLMAR2")),
    Mistake("mean-for-median", "the mean for the median", MARKETS, {"method": "rmr"}, mean_for_median),
    Mistake("free-trades", "costs left out", MARKETS, {"method": "tco1"}, free_trades),
]  # fmt: skip
FORGOTTEN = [Mistake("holdings-kept", "holdings of before the period", COSTS, {}, undrifted)]
