"""On-line portfolio selection: weights are chosen before a period's relatives are seen, trades cost in proportion to what is turned over.

Wealth is S_T = prod_t (b_t . x_t) (1 - (gamma / 2) ||b_t - held_{t-1}||_1) with held_{t-1} = b_{t-1} x_{t-1} / (b_{t-1} . x_{t-1}) and
held_0 = 0, so that the first purchase costs gamma / 2 (Li, Hoi, Sahoo & Liu, 2015, section 5.2.1; OLPS toolbox). Float64, sums of logs.

Shapes: T periods, m assets, C cost levels, K settings of hyper-parameters; all settings and cost levels advance in one batch.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from bench.build import build
from bench.errors import UserError
from bench.grid import product
from bench.market import Market
from bench.session import Session
from bench.types import NonNegativeInt, PositiveInt, Probability
from methods.strategy import Strategy

BATCHES_SEEDS = False
CHUNK = 16  # periods between looks at the clock
SHORTEST = 6  # periods: a third and a rest with a standard deviation


# ---- the books


@dataclass(frozen=True)
class Paths:
    """What portfolios did in each period: gross and net growth, ||b_t - held_{t-1}||_1, and max(|sum b_t - 1|, -min b_t); [T, C, K]."""

    gross: Tensor
    net: Tensor
    traded: Tensor
    off: Tensor

    def of(self, setting: Tensor) -> Paths:
        """One setting for each cost level [C]: paths with K = 1."""
        index = setting[None, :, None].expand(len(self.net), -1, 1)
        return Paths(*(path.gather(2, index) for path in (self.gross, self.net, self.traded, self.off)))

    def log_wealth(self) -> Tensor:
        """log S_T, [C, K]."""
        return self.net.log().sum(0)


class Books:
    """The accounts of portfolios that are rebalanced every period.

    Args:
        costs: gamma [C].
        toolbox: held weights are divided by the net return instead of the gross one, as in the OLPS toolbox.
    """

    def __init__(self, periods: int, costs: Tensor, settings: int, toolbox: bool) -> None:
        self.half, self.toolbox = costs[:, None] / 2, toolbox
        self.paths = Paths(*(costs.new_empty(periods, len(costs), settings) for _ in range(4)))
        self._held: Tensor | float = 0.0

    def settle(self, t: int, weights: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Buy `weights` [C, K, m] for period t, earn x [m]. Returns what they drifted to [C, K, m] and the net growth [C, K, 1]."""
        gross = weights @ x
        traded = (weights - self._held).abs_().sum(-1)
        kept = 1 - self.half * traded
        self.paths.gross[t], self.paths.net[t], self.paths.traded[t] = gross, gross * kept, traded
        self.paths.off[t] = torch.maximum((weights.sum(-1) - 1).abs_(), -weights.amin(-1))
        held = weights * x / gross[..., None]
        self._held = held / kept[..., None] if self.toolbox else held
        return held, self.paths.net[t][..., None]


def evaluate(
    strategy: Strategy,
    relatives: Tensor,
    costs: Tensor,
    *,
    settings: int = 1,
    toolbox_costs: bool = False,
    mixture: bool = False,
    tick: Callable[[], None] = lambda: None,
) -> tuple[Paths, Paths | None]:
    """Run a strategy through relatives [T, m] at cost levels [C].

    Args:
        settings: K, the number of settings in the strategy's batch.
        mixture: keep second books, of capital spread evenly over the settings and left to grow: the portfolio
            sum_k S_{k,t-1} b_{k,t} / sum_k S_{k,t-1}, which pays for its own trades alone.
        tick: called after each period.

    Returns:
        The paths of the settings, and that of the mixture (K = 1) or None.
    """
    books = Books(len(relatives), costs, settings, toolbox_costs)
    mixed = Books(len(relatives), costs, 1, toolbox_costs) if mixture else None
    log_wealth = costs.new_zeros(len(costs), settings)
    weights = strategy.begin(relatives, costs)
    for t, x in enumerate(relatives):
        held, net = books.settle(t, weights, x)
        if mixed is not None:
            share = log_wealth.softmax(-1)[:, None, :]  # [C, 1, K]
            mixed.settle(t, share @ weights.expand(-1, settings, -1), x)
            log_wealth += net[..., 0].log()
        if t + 1 < len(relatives):
            weights = strategy.update(t, weights, held, net)
        tick()
    return books.paths, mixed.paths if mixed else None


# ---- metrics


@dataclass(frozen=True)
class Measure:
    """How the metrics are annualised; toolbox: T / periods_per_year is rounded to whole years, at least one."""

    risk_free: float = 0.04
    periods_per_year: int = 252
    toolbox: bool = False


def metrics(paths: Paths, relatives: Tensor, costs: Tensor, how: Measure) -> list[dict[str, float]]:
    """The metrics of paths with K = 1, a row for each cost level. r_t = net growth - 1, S_0 = 1 before the first purchase.

    wealth, log_wealth: S_T and its natural logarithm, net of costs; gross_wealth: the same weights without their costs.
    annual_return (APY): S_T^(252 / T) - 1.        annual_std: standard deviation of r (ddof = 1) times sqrt(252).
    sharpe: (APY - 0.04) / annual_std.             max_drawdown: max_t 1 - S_t / max_{s <= t} S_s.
    calmar: APY / max_drawdown.                    turnover: mean over t >= 2 of ||b_t - held_{t-1}||_1, from 0 to 2.
    simplex_error: max_t of |sum b_t - 1| and of a negative weight.
    excess_return: mean of r_t - r_t of buying and holding all assets evenly (which pays for its purchase), a period.
    """
    periods = len(relatives)
    log_net = paths.net[..., 0].log().cumsum(0)  # [T, C]
    path = torch.cat([torch.zeros_like(log_net[:1]), log_net])
    years = periods / how.periods_per_year
    years = max(1, math.floor(years + 0.5)) if how.toolbox else years
    apy = (log_net[-1] / years).expm1()
    std = paths.net[..., 0].std(0) * math.sqrt(how.periods_per_year)
    drawdown = -(path - path.cummax(0).values).amin(0).expm1()
    hold = torch.cat([torch.ones_like(relatives[:1]), relatives.cumprod(0)]).mean(1)
    hold = (hold[1:] / hold[:-1])[:, None].repeat(1, len(costs))
    hold[0] *= 1 - costs / 2
    columns = {
        "cost": costs,
        "wealth": log_net[-1].exp(),
        "annual_return": apy,
        "annual_std": std,
        "sharpe": (apy - how.risk_free) / std,
        "max_drawdown": drawdown,
        "calmar": apy / drawdown,
        "turnover": paths.traded[1:, :, 0].mean(0),
        "excess_return": (paths.net[..., 0] - hold).mean(0),
        "gross_wealth": paths.gross[..., 0].log().sum(0).exp(),
        "log_wealth": log_net[-1],
        "simplex_error": paths.off[..., 0].amax(0),
    }
    rows = zip(*(column.tolist() for column in columns.values()))
    return [dict(zip(columns, row)) | {"periods": periods} for row in rows]


# ---- the run


def run(
    session: Session,
    state: dict[str, Any] | None,
    *,
    costs: list[Probability],
    risk_free: float,
    periods_per_year: PositiveInt,
    selection: Literal["none", "hindsight", "first_third", "online"],
    grid: dict[str, list[float]] | None,
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

    Rows of the path have `cost`, `period` and `log10_wealth`. A run takes seconds: a stopped one starts afresh.
    """
    if not costs or len(set(costs)) < len(costs) or max(costs) >= 1:
        raise UserError(f"task.costs = {costs}: distinct cost levels below 1")
    if grid is not None and selection == "none":
        raise UserError("task.grid: a grid needs task.selection = hindsight, first_third or online")
    if grid is None and selection in ("hindsight", "online"):
        raise UserError(f"task.selection = '{selection}': needs task.grid, as {{method key: [values]}}")
    trial = Trial(session, costs, toolbox_costs, grid or {})
    trial.load(drop_first, max_periods)
    paths, more = trial.select(selection)
    how = Measure(risk_free, periods_per_year, toolbox_annualisation)
    found = metrics(paths, trial.relatives[-len(paths.net) :], trial.costs, how)
    rows = [row | extra for row, extra in zip(found, more)]
    (seed_run,) = session.runs
    for row in itertools.chain(_path_rows(paths, costs, path_points), rows):
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

    def __init__(self, session: Session, costs: list[float], toolbox: bool, grid: Mapping[str, list[float]]) -> None:
        self.session, self.node, self.toolbox = session, session.job.parts["method"], toolbox
        self.device = session.device.device
        self.costs = torch.tensor(costs, dtype=torch.float64, device=self.device)
        self.values = product(grid, self.node, self.device)
        self.done = 0

    def load(self, drop_first: bool, max_periods: int | None) -> None:
        """The market's relatives [T, m]."""
        market: Market = build("dataset", self.session.job.parts["dataset"], self.session.job.settings.data_root)
        self.relatives = market.relatives.to(self.device)[int(drop_first) :][:max_periods]
        if len(self.relatives) < SHORTEST:
            raise UserError(f"{len(self.relatives)} periods are too few to invest in; at least {SHORTEST}")

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
        best = paths.log_wealth().nan_to_num(nan=-math.inf).argmax(-1)  # [C]
        values = {name: value[best] for name, value in values.items()}  # [C, 1]: a setting for each cost level
        if third is not None:
            paths = self._evaluate(x[third:], values)[0]
            best = torch.arange(len(best), device=self.device) if values else best
        chosen = {f"chosen_{name}": value[:, 0].tolist() for name, value in values.items()}
        return paths.of(best), [{name: value[c] for name, value in chosen.items()} for c in range(len(best))]

    def _evaluate(self, x: Tensor, values: dict[str, Tensor], mixture: bool = False) -> tuple[Paths, Paths | None]:
        strategy = build("method", {**self.node, **values}, self.session.runs[0].seed)
        settings = len(next(iter(values.values()), [0]))
        self.session.examples += len(x) * settings
        more = {"settings": settings, "toolbox_costs": self.toolbox, "mixture": mixture, "tick": self._tick}
        return evaluate(strategy, x, self.costs, **more)

    def _tick(self) -> None:
        self.done += 1
        if self.done % CHUNK == 0:
            self.session.progress.step(self.done)
            if self.session.due():
                self.session.save({})  # of use to a request to stop alone
