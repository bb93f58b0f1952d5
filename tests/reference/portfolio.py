"""A run of the portfolio task, one cost level and one setting at a time: books, metrics, and the choice of a setting."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import stdev
from typing import Any

import numpy as np
from reference.portfolio_strategies import strategy

Array = np.ndarray


@dataclass
class Book:
    """What a portfolio did in each period."""

    gross: list[float] = field(default_factory=list)
    net: list[float] = field(default_factory=list)
    traded: list[float] = field(default_factory=list)
    off: list[float] = field(default_factory=list)

    @property
    def wealth(self) -> float:
        return math.prod(self.net)


class Account:
    """Buys, pays half of the cost for each unit traded, and is left with what its weights drift to."""

    def __init__(self, m: int, cost: float, toolbox: bool) -> None:
        self.book, self.cost, self.toolbox, self.held = Book(), cost, toolbox, np.zeros(m)

    def period(self, b: Array, x: Array) -> tuple[Array, float]:
        traded, gross = float(abs(b - self.held).sum()), float(b @ x)
        net = gross * (1 - self.cost / 2 * traded)
        for values, value in zip(
            (self.book.gross, self.book.net, self.book.traded, self.book.off),
            (gross, net, traded, max(abs(b.sum() - 1), -b.min())),
        ):
            values.append(float(value))
        self.held = b * x / (net if self.toolbox else gross)
        return b * x / gross, net


def weights_and_book(
    name: str, x: Array, cost: float, seed: int, keys: Mapping, toolbox: bool
) -> tuple[list[Array], Book]:
    """What one setting bought in each period, and its book."""
    account, (b, rule), bought = Account(x.shape[1], cost, toolbox), strategy(name, x, cost, seed, keys), []
    for t, row in enumerate(x):
        bought.append(b)
        held, net = account.period(b, row)
        if t + 1 < len(x):
            b = rule(t, b, held, net)
    return bought, account.book


@dataclass
class Protocol:
    """The task's keys."""

    costs: Sequence[float]
    selection: str = "none"
    grid: Mapping[str, Sequence[float]] = field(default_factory=dict)
    landscape: Sequence[str] = ()
    path_points: int = 4
    risk_free: float = 0.04
    periods_per_year: int = 252
    toolbox_costs: bool = False
    toolbox_annualisation: bool = False


def run(name: str, x: Array, seed: int, keys: Mapping[str, Any], how: Protocol) -> tuple[list[dict], dict]:
    """All rows of the curve, and the final metrics."""
    chosen = [chosen_book(name, x, cost, seed, keys, how) for cost in how.costs]
    books, extras, judged = zip(*chosen)
    periods, rows = len(judged[0]), []
    points = {max(1, round(periods * k / how.path_points)) for k in range(1, how.path_points + 1)}
    for t in sorted(points):
        for cost, book in zip(how.costs, books):
            wealth = math.prod(book.net[:t])
            rows.append({"step": t, "cost": cost, "period": t, "log10_wealth": math.log10(wealth)})
    rows += mapped(name, x, seed, keys, how, periods)
    summaries = [
        {"step": periods, "cost": cost, **summary(book, judged[0], cost, how), **extra}
        for cost, book, extra in zip(how.costs, books, extras)
    ]
    last = {key: value for key, value in summaries[0].items() if key not in ("step", "cost")}
    return rows + summaries, last | {"gradient_evaluations": 0}


def settings(how: Protocol) -> list[dict[str, float]]:
    return [dict(zip(how.grid, values)) for values in itertools.product(*how.grid.values())]


def chosen_book(name: str, x: Array, cost: float, seed: int, keys: Mapping, how: Protocol) -> tuple[Book, dict, Array]:
    """The book that is judged, what there is to say of the choice, and the relatives that it is judged on."""

    def one(part: Array, setting: Mapping) -> tuple[list[Array], Book]:
        return weights_and_book(name, part, cost, seed, {**keys, **setting}, how.toolbox_costs)

    if how.selection == "none":
        return one(x, {})[1], {}, x
    if how.selection == "online":
        return (*together(x, cost, how, [one(x, setting) for setting in settings(how)]), x)
    third = len(x) // 3
    seen = x if how.selection == "hindsight" else x[:third]
    rest = x if how.selection == "hindsight" else x[third:]
    found = max(settings(how), key=lambda setting: one(seen, setting)[1].wealth)
    return one(rest, found)[1], {f"chosen_{key}": value for key, value in found.items()}, rest


def together(x: Array, cost: float, how: Protocol, members: list[tuple[list[Array], Book]]) -> tuple[Book, dict]:
    """Capital spread evenly over the members and left to grow; it pays for what it trades itself."""
    account = Account(x.shape[1], cost, how.toolbox_costs)
    for t, row in enumerate(x):
        shares = [math.prod(book.net[:t]) for _, book in members]
        account.period(sum(s * bought[t] for s, (bought, _) in zip(shares, members)) / sum(shares), row)
    best = max(math.log(book.wealth) for _, book in members)
    return account.book, {"regret": (best - math.log(account.book.wealth)) / len(x)}


def mapped(name: str, x: Array, seed: int, keys: Mapping, how: Protocol, periods: int) -> list[dict]:
    """For each pair of values of the two mapped keys, and each cost, the best over the others."""
    if not how.landscape:
        return []
    rows, (one, two) = [], how.landscape
    for pair in itertools.product(sorted(how.grid[one]), sorted(how.grid[two])):
        for cost in how.costs:
            logs = [
                math.log(weights_and_book(name, x, cost, seed, {**keys, **s}, how.toolbox_costs)[1].wealth)
                for s in settings(how)
                if (s[one], s[two]) == pair
            ]
            rows.append({"step": periods, "cost": cost, one: pair[0], two: pair[1], "best_log_wealth": max(logs)})
    return rows


def summary(book: Book, x: Array, cost: float, how: Protocol) -> dict[str, float]:
    """What is said of a path; ratios to a deviation or a fall that is none are left out."""
    periods, wealth = len(x), book.wealth
    years = periods / how.periods_per_year
    if how.toolbox_annualisation:
        years = max(1, math.floor(years + 0.5))
    apy, std = wealth ** (1 / years) - 1, stdev(book.net) * math.sqrt(how.periods_per_year)
    path = [1.0, *itertools.accumulate(book.net, lambda a, b: a * b)]
    fall = max(1 - now / max(path[: t + 1]) for t, now in enumerate(path))
    market, excess = [float(row.mean()) for row in np.vstack([np.ones_like(x[:1]), np.cumprod(x, axis=0)])], []
    for t, net in enumerate(book.net):
        excess.append(net - market[t + 1] / market[t] * (1 - cost / 2 if t == 0 else 1))
    row = {
        "wealth": wealth,
        "annual_return": apy,
        "annual_std": std,
        "max_drawdown": fall,
        "turnover": sum(book.traded[1:]) / (periods - 1),
        "excess_return": sum(excess) / periods,
        "gross_wealth": math.prod(book.gross),
        "log_wealth": math.log(wealth),
        "simplex_error": max(book.off),
        "periods": periods,
    }
    if std >= 1e-12:
        row["sharpe"] = (apy - how.risk_free) / std
    if fall >= 1e-12:
        row["calmar"] = apy / fall
    return row
