"""Classic mistakes in on-line portfolio selection, planted one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from bench.judge.selftest import Mistake
from mistakes.weakened.egab import WEAKENED, undrifted


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


def simple_return(row: dict[str, float], year: float) -> float:
    """The mean log return times the periods a year, without compounding."""
    return row["log_wealth"] / row["periods"] * year


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
    Mistake("third-before-costs", "the first third, before costs", "egab/first_third", FAMILY, chosen_before_costs),
    Mistake("evened-out", "capital spread anew every period", "egab/online", FAMILY, evened_out),
    Mistake("not-divided-online", "weights are not divided by their sum", "egab/online", FAMILY, not_divided),
    Mistake("no-costs", "costs are never paid", MARKETS, {"method": "pamr"}, no_costs),
    Mistake("part-of-the-data", "BCRP of the first half", MARKETS, {"method": "bcrp"}, part_of_the_data),
    Mistake("day-lost", "the first day is dropped", MARKETS, EG_MSCI, overrides=("task.drop_first=true",)),
    Mistake("no-risk-free-rate", "Sharpe without 4 %", MARKETS, EG_MSCI, overrides=("task.risk_free=0.0",)),
    Mistake(
        "simple-annualisation",
        "the annual return without compounding",
        MARKETS,
        EG_MSCI,
        planted(annual_return=simple_return),
    ),
    Mistake(
        "simple-annualisation-audit",
        "the annual return without compounding",
        "egab/audit_annualisation",
        {"task.toolbox_annualisation": False},
        planted(annual_return=simple_return),
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

CLAIMED = {"newton-reset", "stale-pamr", "stale-pamr2", "sigma-reset", "stale-olmar1", "stale-olmar2"}
MISTAKES += [
    replace(m, of=m.of | {"dataset": "msci"}) for m in WEAKENED if m.name in CLAIMED
]  # which claims notice too
