"""Classic mistakes in on-line portfolio selection, planted one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
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


@contextmanager
def whole_costs() -> Iterator[None]:
    """Each side of a trade pays gamma instead of gamma / 2."""
    from bench.tasks.portfolio.books import Books

    start = Books.__init__

    def doubled(self: Any, *arguments: Any) -> None:
        start(self, *arguments)
        self.half = 2 * self.half

    with patch.object(Books, "__init__", doubled):
        yield


@contextmanager
def no_costs() -> Iterator[None]:
    """Costs are never paid."""
    from bench.tasks.portfolio.books import Books

    start = Books.__init__

    def free(self: Any, *arguments: Any) -> None:
        start(self, *arguments)
        self.half = 0 * self.half

    with patch.object(Books, "__init__", free):
        yield


@contextmanager
def free_purchase() -> Iterator[None]:
    """The first purchase is free, as if the portfolio had been held before."""
    from bench.tasks.portfolio.books import Books

    settle = Books.settle

    def given(self: Any, first: int, weights: Any, x: Any) -> Any:
        if first == 0:
            self._held = weights[:1]
        return settle(self, first, weights, x)

    with patch.object(Books, "settle", given):
        yield


@contextmanager
def logarithms() -> Iterator[None]:
    """EG moves by log-relatives, eta log x, instead of eta x / (b . x)."""
    from methods.portfolio.benchmarks import EG

    def update(self: Any, t: int, weights: Any, held: Any, net: Any) -> Any:
        return (weights.log() + self.eta * self.relatives[t].log()).softmax(-1)

    with patch.object(EG, "update", update):
        yield


@contextmanager
def left_alone() -> Iterator[None]:
    """A constant rebalanced portfolio that is never rebalanced: buy and hold."""
    from methods.portfolio.benchmarks import UCRP

    with (
        patch.object(UCRP, "update", lambda self, t, weights, held, net: held / held.sum(-1, keepdim=True)),
        patch.object(UCRP, "reads_accounts", True),
    ):
        yield


@contextmanager
def gross_loss() -> Iterator[None]:
    """PAMR's loss is that of the growth before costs, where the toolbox takes it after them."""
    from methods.portfolio.reversion import PAMR

    update = PAMR.update

    def gross(self: Any, t: int, weights: Any, held: Any, net: Any) -> Any:
        return update(self, t, weights, held, (weights @ self.relatives[t])[..., None])

    with patch.object(PAMR, "update", gross):
        yield


@contextmanager
def part_of_the_data() -> Iterator[None]:
    """The best constant rebalanced portfolio of the first half, called that of all periods."""
    import methods.portfolio.benchmarks as benchmarks

    best = benchmarks.best_constant
    with patch.object(benchmarks, "best_constant", lambda relatives: best(relatives[: len(relatives) // 2])):
        yield


@contextmanager
def measured(**changes: Callable[[dict[str, float], float], float]) -> Iterator[None]:
    """Metrics by another definition: each of `changes` makes it from the row and the periods a year."""
    import bench.tasks.portfolio.loop as loop

    metrics = loop.metrics

    def other(paths: Any, relatives: Any, costs: Any, how: Any) -> Any:
        rows = metrics(paths, relatives, costs, how)
        return [row | {k: make(row, how.periods_per_year) for k, make in changes.items()} for row in rows]

    with patch.object(loop, "metrics", other):
        yield


@contextmanager
def not_divided() -> Iterator[None]:
    """The multiplicative update without the division by the sum."""
    import methods.portfolio.egab as egab

    with patch.object(egab, "normalised", lambda log_w: log_w.exp().clamp(min=egab.FLOOR)):
        yield


@contextmanager
def mean_gradient() -> Iterator[None]:
    """The multiplier of the projection is the mean of the gradient for every (alpha, beta), which holds at (1, 1) alone."""
    from methods.portfolio.egab import EGABP

    with patch.object(EGABP, "centred", lambda self, w, log_w, g: g - g.mean(-1, keepdim=True)):
        yield


@contextmanager
def first_setting() -> Iterator[None]:
    """All settings of a batch get the (alpha, beta) of EG, as a wrong broadcast would have it."""
    from methods.portfolio.egab import Geometry

    build = Geometry.__init__

    def one(self: Any, alpha: Any, beta: Any, *more: Any, **named: Any) -> None:
        build(self, 0 * alpha, 0 * beta + 1, *more, **named)

    with patch.object(Geometry, "__init__", one):
        yield


@contextmanager
def seen() -> Iterator[None]:
    """EGAB's forecast of a period is made with that period's prices."""
    import methods.portfolio.egab as egab

    forecasts = egab.forecasts
    with patch.object(egab, "forecasts", lambda *arguments: forecasts(*arguments).roll(-1, 0)):
        yield


@contextmanager
def chosen_before_costs() -> Iterator[None]:
    """The setting is chosen by the wealth before costs, for every cost level."""
    from bench.tasks.portfolio.books import Paths

    with patch.object(Paths, "log_wealth", lambda self: self.gross.log().sum(0).expand_as(self.net[0])):
        yield


@contextmanager
def evened_out() -> Iterator[None]:
    """The capital of a mixture is spread anew over all settings in every period, instead of left to grow."""
    from bench.tasks.portfolio.books import Mixture

    follow = Mixture.follow

    def evened(self: Any, first: int, weights: Any, x: Any, net: Any) -> None:
        follow(self, first, weights, x, net.new_ones(net.shape))

    with patch.object(Mixture, "follow", evened):
        yield


def planted(**changes: Callable[[dict[str, float], float], float]) -> Callable[[], AbstractContextManager[None]]:
    """`measured`, to be planted."""
    return lambda: measured(**changes)


COSTS, MARKETS, HINDSIGHT = "egab/toolbox_costs", "egab/markets", "egab/hindsight"
EG_MSCI = {"method": "eg", "dataset": "msci"}
FAMILY, PROJECTED = {"method": "egab_n"}, {"method": "egab_p"}
MISTAKES = [
    Mistake("first-day", "the first day is dropped", COSTS, {}, overrides=("task.drop_first=true",)),
    Mistake("clip-and-divide", "clip and divide for the projection", COSTS, {"method": "olmar1"}, clip_and_divide),
    Mistake("wrong-holdings", "costs on the target weights, not on the drifted ones", COSTS, {}, undrifted),
    Mistake("early-step", "OLMAR-1 steps one period early", COSTS, {"method": "olmar1"}, early_step),
    Mistake("look-ahead", "OLMAR-2 sees the period it bets on", COSTS, {"method": "olmar2"}, look_ahead),
    Mistake("whole-costs", "gamma on each side of a trade", COSTS, {"method": "ucrp"}, whole_costs),
    Mistake("free-purchase", "the first purchase is free", COSTS, {"method": "ucrp"}, free_purchase),
    Mistake("gross-holdings", "holdings over the gross return", COSTS, {}, overrides=("task.toolbox_costs=false",)),
    Mistake("logarithms", "EG on log-relatives", COSTS, {"method": "eg"}, logarithms),
    Mistake("left-alone", "UCRP is never rebalanced", COSTS, {"method": "ucrp"}, left_alone),
    Mistake("gross-loss", "PAMR's loss before costs", COSTS, {"method": "pamr"}, gross_loss),
    Mistake("swapped", "alpha and beta swapped", "egab/identity_eg", FAMILY, swapped),
    Mistake("not-divided", "weights not divided by their sum", "egab/identity_eg", FAMILY, not_divided),
    Mistake("mean-gradient", "a Euclidean multiplier", "egab/identity_line", PROJECTED, mean_gradient),
    Mistake("off-simplex", "weights not divided by their sum", HINDSIGHT, FAMILY, not_divided),
    Mistake("first-setting", "one (alpha, beta) for a whole batch", HINDSIGHT, FAMILY, first_setting),
    Mistake("seen", "EGAB sees the period it bets on", HINDSIGHT, {**FAMILY, "dataset": "djia"}, seen),
    Mistake("chosen-before-costs", "hindsight before costs", HINDSIGHT, FAMILY, chosen_before_costs),
    Mistake("third-before-costs", "the first third, before costs", "egab/first_third", FAMILY, chosen_before_costs),
    Mistake("evened-out", "capital spread anew every period", "egab/online", FAMILY, evened_out),
    Mistake("no-costs", "costs are never paid", MARKETS, {"method": "pamr"}, no_costs),
    Mistake("part-of-the-data", "BCRP of the first half", MARKETS, {"method": "bcrp"}, part_of_the_data),
    Mistake("day-lost", "the first day is dropped", MARKETS, EG_MSCI, overrides=("task.drop_first=true",)),
    Mistake("no-risk-free-rate", "Sharpe without 4 %", MARKETS, EG_MSCI, overrides=("task.risk_free=0.0",)),
    Mistake(
        "simple-annualisation",
        "the annual return without compounding",
        MARKETS,
        EG_MSCI,
        planted(annual_return=lambda row, year: row["log_wealth"] / row["periods"] * year),
    ),
    Mistake(
        "population-deviation",
        "a deviation divided by T",
        MARKETS,
        EG_MSCI,
        planted(annual_std=lambda row, year: row["annual_std"] * (1 - 1 / row["periods"]) ** 0.5),
    ),
    Mistake(
        "drawdown-from-the-start",
        "a drawdown from the first day's wealth, not from the highest",
        MARKETS,
        EG_MSCI,
        planted(max_drawdown=lambda row, year: 1 - row["wealth"]),
    ),
    *(
        Mistake(
            f"half-turnover-{method}",
            "half of the turnover",
            MARKETS,
            {"method": method, "dataset": "msci"},
            planted(turnover=lambda row, year: row["turnover"] / 2),
        )
        for method in ("pamr", "olmar1", "eg")
    ),
]


# ---- weaker baselines and forgotten resets, which the tests of tests/mistakes notice


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


MARKETS, FIRST = "egab/markets", "egab/toolbox_costs"
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
CLAIMED = {"newton-reset", "late-anticor2", "stale-pamr", "stale-pamr2", "sigma-reset", "stale-olmar1", "stale-olmar2"}
MISTAKES += [
    replace(m, of=m.of | {"dataset": "djia"}) for m in WEAKENED if m.name in CLAIMED
]  # claims notice these too
