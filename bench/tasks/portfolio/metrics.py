"""What is said of a portfolio's path: wealth, risk and trading, net of costs.

Shapes: T periods, m assets, C cost levels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.tasks.portfolio.books import Paths

ROUNDING = 1e-12


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
    sharpe and calmar are left out where they have no divisor: wealth that never falls, or that grows by the same factor.
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
    rows = [dict(zip(columns, row)) for row in zip(*(column.tolist() for column in columns.values()))]
    return [_defined(row) | {"periods": periods} for row in rows]


def _defined(row: dict[str, float]) -> dict[str, float]:
    """A row without the ratios to a deviation or a drawdown that is zero to rounding."""
    none = {ratio for ratio, size in (("sharpe", "annual_std"), ("calmar", "max_drawdown")) if row[size] < ROUNDING}
    return {name: value for name, value in row.items() if name not in none}
