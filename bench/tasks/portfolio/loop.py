"""On-line portfolio selection: weights are chosen before a period's relatives are seen, trades cost in proportion to what is turned over.

`books` says how wealth is counted, `metrics` what is said of it; here is how settings of a method are chosen, and what is logged.

Shapes: T periods, m assets, C cost levels, K settings of hyper-parameters.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from bench.errors import UserError
from bench.run.build import build
from bench.run.grid import product
from bench.run.session import Session
from bench.tasks.portfolio.books import Paths, evaluate
from bench.tasks.portfolio.market import Market
from bench.tasks.portfolio.metrics import Measure, metrics
from bench.tasks.portfolio.protocol import Strategy
from bench.types import NonNegativeInt, PositiveInt, Probability

BATCHES_SEEDS = False
CHUNK = 16  # periods between looks at the clock
YEAR = 252  # periods, of a market without dates
SHORTEST = 6  # periods: a third and a rest with a standard deviation


def run(
    session: Session,
    state: dict[str, Any] | None,
    *,
    costs: list[Probability],
    risk_free: float,
    periods_per_year: PositiveInt | None,
    selection: Literal["none", "hindsight", "first_third", "online"],
    grid: dict[str, list[float]] | None,
    landscape: list[str] | None,
    path_points: NonNegativeInt,
    max_periods: PositiveInt | None,
    drop_first: bool,
    toolbox_costs: bool,
    toolbox_annualisation: bool,
) -> None:
    """Log the wealth path, then a row of `metrics` for each cost level; those of the first level are the final metrics.

    Selection over the grid, for each cost level by itself; `chosen_<name>` in the metrics is what was chosen:
        hindsight: the largest final wealth, known only afterwards: an upper envelope, no strategy.
        first_third: the largest wealth on the first third of the periods. It starts afresh (even weights, first purchase charged)
            on the rest, and all numbers are of the rest. Without a grid: the method itself on the rest.
        online: no look-ahead. Capital is spread evenly over the grid and left to grow, see `evaluate`; `regret` is
            (log S_T of the grid's best - log S_T of the mixture) / T.

    landscape, two keys of the grid of a hindsight run: rows with each pair of their values and `best_log_wealth`, the largest final
    log wealth over the grid's other keys.

    periods_per_year None: from the market's dates. What was found in a user's file is said once, with the periods a year.

    Rows of the path have `cost`, `period` and `log10_wealth`. A run takes seconds: a stopped one starts afresh.
    """
    if not costs or len(set(costs)) < len(costs) or max(costs) >= 1:
        raise UserError(f"task.costs = {costs}: distinct cost levels below 1")
    if grid is not None and selection == "none":
        raise UserError("task.grid: a grid needs task.selection = hindsight, first_third or online")
    if grid is None and selection in ("hindsight", "online"):
        raise UserError(f"task.selection = '{selection}': needs task.grid, as {{method key: [values]}}")
    if landscape is not None and (selection != "hindsight" or len(set(landscape) & set(grid or {})) != 2):
        raise UserError(f"task.landscape = {landscape}: two keys of task.grid, with task.selection=hindsight")
    trial = Trial(session, costs, toolbox_costs, grid or {}, landscape or [])
    market = trial.load(drop_first, max_periods)
    periods_per_year = periods_per_year or market.periods_per_year or YEAR
    if market.about and session.seeds[0] == session.job.settings.seeds[0]:
        session.report(f"{market.about}; {periods_per_year} periods a year")
    paths, more = trial.select(selection)
    how = Measure(risk_free, periods_per_year, toolbox_annualisation)
    found = metrics(paths, trial.relatives[-len(paths.net) :], trial.costs, how)
    rows = [row | extra for row, extra in zip(found, more)]
    (seed_run,) = session.runs
    for row in itertools.chain(_path_rows(paths, costs, path_points), trial.landscape, rows):
        seed_run.log(row.get("period", len(paths.net)), **row)
    session.progress.note(len(trial.relatives), cost=costs[0], wealth=rows[0]["wealth"])
    finite = all(math.isfinite(row["log_wealth"]) for row in rows)
    seed_run.finish("finished" if finite else "diverged", **{k: v for k, v in rows[0].items() if k != "cost"})


def _path_rows(paths: Paths, costs: list[float], points: int) -> Iterator[dict[str, float]]:
    """The net wealth at `points` periods, evenly spaced and the last among them."""
    periods = len(paths.net)
    chosen = sorted({max(1, round(periods * (k + 1) / points)) for k in range(points)})
    logs = paths.net[..., 0].log().cumsum(0) / math.log(10)  # [T, C]
    for period in chosen:
        for cost, value in zip(costs, logs[period - 1].tolist()):
            yield {"cost": cost, "period": period, "log10_wealth": value}


class Trial:
    """The method of a session on its market: one batch of all settings of the grid, and the choice among them."""

    def __init__(
        self,
        session: Session,
        costs: list[float],
        toolbox: bool,
        grid: Mapping[str, list[float]],
        mapped: Sequence[str],
    ) -> None:
        self.session, self.node, self.toolbox = session, session.job.parts["method"], toolbox
        self.device = session.device.device
        self.costs = torch.tensor(costs, dtype=torch.float64, device=self.device)
        self.values = product(grid, self.node, self.device)
        self.mapped, self.landscape = mapped, []  # type: ignore[var-annotated]
        self.done = 0

    def load(self, drop_first: bool, max_periods: int | None) -> Market:
        """The market, of whose relatives [T, m] the first or the last may be left out."""
        market: Market = build("dataset", self.session.job.parts["dataset"], self.session.job.settings.data_root)
        self.relatives = market.relatives.to(self.device)[int(drop_first) :][:max_periods]
        if len(self.relatives) < SHORTEST:
            raise UserError(f"{len(self.relatives)} periods are too few to invest in; at least {SHORTEST}")
        return market

    def select(self, selection: str) -> tuple[Paths, list[dict[str, float]]]:
        """Paths with K = 1 of what `selection` chooses, and for each cost level what there is to say of the choice."""
        x, values = self.relatives, self.values
        self.session.begin(len(x))
        if selection == "online":
            paths, mixture = self._evaluate(x, values, mixture=True)
            assert mixture is not None
            regret = (paths.log_wealth().amax(-1) - mixture.log_wealth()[:, 0]) / len(x)
            return mixture, [{"regret": value} for value in regret.tolist()]
        third = len(x) // 3 if selection == "first_third" else None
        paths = self._evaluate(x[:third], values)[0]
        log_wealth = paths.log_wealth().nan_to_num(nan=-math.inf)
        self.landscape = list(self._landscape(log_wealth)) if self.mapped else []
        best = log_wealth.argmax(-1)  # [C]
        values = {name: value[best] for name, value in values.items()}  # [C, 1]: a setting for each cost level
        if third is not None:
            paths = self._evaluate(x[third:], values)[0]
            best = torch.arange(len(best), device=self.device) if values else best
        chosen = {f"chosen_{name}": value[:, 0].tolist() for name, value in values.items()}
        return paths.of(best), [{name: value[c] for name, value in chosen.items()} for c in range(len(best))]

    def _landscape(self, log_wealth: Tensor) -> Iterator[dict[str, float]]:
        """For each cost level and pair of values of the two mapped keys the largest of log_wealth [C, K]."""
        pairs = torch.cat([self.values[name] for name in self.mapped], 1)  # [K, 2]
        for pair in pairs.unique(dim=0):
            best = log_wealth[:, (pairs == pair).all(1)].amax(1)
            for cost, value in zip(self.costs.tolist(), best.tolist()):
                yield {"cost": cost, **dict(zip(self.mapped, pair.tolist())), "best_log_wealth": value}

    def _evaluate(self, x: Tensor, values: dict[str, Tensor], mixture: bool = False) -> tuple[Paths, Paths | None]:
        strategy: Strategy = build("method", {**self.node, **values}, self.session.runs[0].seed)
        settings = len(next(iter(values.values()), [0]))
        self.session.examples += len(x) * settings
        more = {"settings": settings, "toolbox_costs": self.toolbox, "mixture": mixture, "tick": self._tick}  # type: dict[str, Any]
        return evaluate(strategy, x, self.costs, **more)

    def _tick(self) -> None:
        self.done += 1
        if self.done % CHUNK == 0:
            self.session.progress.step(self.done)
            if self.session.due():
                try:
                    self.session.save({})  # stops here if a stop was asked for
                finally:
                    self.session.clear()  # there is nothing to resume
