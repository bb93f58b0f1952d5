"""Accounts of portfolios against hand and published numbers, metrics against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from portfolio_books import COSTS, final, relatives

import bench.tasks.portfolio.books
from bench.tasks.portfolio.books import evaluate
from bench.tasks.portfolio.metrics import Measure, metrics
from methods.portfolio.benchmarks import BCRP, EG, UBAH, UCRP, Best
from methods.portfolio.reversion import PAMR
from methods.portfolio.strategy import Strategy


class Fixed(Strategy):
    """Given weights [T, m]."""

    def __init__(self, weights) -> None:
        self.path = torch.tensor(weights, dtype=torch.float64)[:, None, None]

    def begin(self, relatives, costs):
        return self.path[0]

    def update(self, t, weights, held, net):
        self.seen = held, net
        return self.path[t + 1]


# ---- the books


@pytest.mark.parametrize("toolbox", [False, True])
def test_books_by_hand(toolbox):
    x = torch.tensor([[1.2, 0.8], [0.5, 2.0], [1.0, 1.0]], dtype=torch.float64)
    strategy = Fixed([[0.5, 0.5], [0.25, 0.75], [1.0, 0.0]])
    paths, mixture = evaluate(strategy, x, torch.tensor([0.0, 0.1], dtype=torch.float64), toolbox_costs=toolbox)
    assert mixture is None
    gross = [1.0, 0.25 * 0.5 + 0.75 * 2.0, 1.0]  # 1, 1.625, 1
    held = [0.0, 0.0], [0.6, 0.4], [0.125 / 1.625, 1.5 / 1.625]
    for c, cost in enumerate((0.0, 0.1)):
        kept, traded = [], []
        for b, h in zip(strategy.path[:, 0, 0].tolist(), held):
            grown = [v / kept[-1] for v in h] if toolbox and kept else h
            traded.append(sum(abs(u - v) for u, v in zip(b, grown)))
            kept.append(1 - cost / 2 * traded[-1])
        np.testing.assert_allclose(paths.gross[:, c, 0], gross, rtol=1e-15)
        np.testing.assert_allclose(paths.traded[:, c, 0], traded, rtol=1e-14)
        np.testing.assert_allclose(paths.net[:, c, 0], np.multiply(gross, kept), rtol=1e-14)
    assert paths.traded[0, 0, 0] == 1, "the first purchase is a trade of everything"
    np.testing.assert_allclose(strategy.seen[0].flatten(), held[2], rtol=1e-15)
    np.testing.assert_allclose(strategy.seen[1].flatten(), paths.net[1, :, 0], rtol=0)


@pytest.mark.parametrize("mixture", [False, True])
@pytest.mark.parametrize("block", [1, 7, 16, 1000])
def test_blocks_of_periods_are_the_periods_one_by_one(block, mixture, monkeypatch):
    monkeypatch.setattr(bench.tasks.portfolio.books, "LONGEST", block)
    x, etas = relatives("djia")[:100], torch.tensor([[0.05], [1.0], [20.0]], dtype=torch.float64)
    slow = EG(eta=etas)
    slow.reads_accounts = True
    found, expected = (evaluate(s, x, COSTS, settings=3, mixture=mixture) for s in (EG(eta=etas), slow))
    for ours, theirs in zip(found, expected):
        for name in ("gross", "net", "traded", "off") if theirs else ():
            torch.testing.assert_close(getattr(ours, name), getattr(theirs, name), rtol=1e-12, atol=1e-14)


def test_a_strategy_that_reads_accounts_it_disclaims_fails_at_once():
    strategy = UBAH()
    strategy.reads_accounts = False
    with pytest.raises(AttributeError):
        evaluate(strategy, relatives("djia"), COSTS)


def test_wealth_with_costs_is_the_toolboxs():
    """Replay of the toolbox on DJIA at 0, .1, .25 and .5 %."""
    x = relatives("djia")
    found = {s.__class__.__name__: final(s, x, toolbox_costs=True)[:4] for s in (UCRP(), EG(eta=0.05))}
    np.testing.assert_allclose(found["UCRP"], [0.812726, 0.80942, 0.804487, 0.796329], atol=6e-7)
    np.testing.assert_allclose(found["EG"], [0.81003, 0.806882, 0.802182, 0.794409], atol=6e-7)
    own = final(UCRP(), x)
    assert own[0] == pytest.approx(found["UCRP"][0], rel=1e-14)
    assert own[3] != pytest.approx(found["UCRP"][3], rel=1e-6), "held weights over the gross return are another account"


# ---- metrics


PUBLISHED = {  # OLPS manual, pages 16 to 22, MSCI: final value, annual return, annual sd, Sharpe, maximum drawdown
    "eg": (EG(eta=0.05), [0.9260, -0.0184, 0.2512, -0.2324, 0.6438]),
    "pamr": (PAMR(), [15.2320, 0.9309, 0.3648, 2.4424, 0.5528]),
    "ucrp": (UCRP(), [0.9268, None, None, -0.2313, 0.6436]),
    "best": (Best(), [1.5040, 0.1036, None, 0.3201, 0.3935]),
    "bcrp": (BCRP(), [1.5057, None, None, None, None]),
}
COLUMNS = ("wealth", "annual_return", "annual_std", "sharpe", "max_drawdown")


def row_of(strategy: Strategy, x: torch.Tensor, **how) -> dict[str, float]:
    costs = COSTS[:1]
    return metrics(evaluate(strategy, x, costs)[0], x, costs, Measure(**how))[0]


@pytest.mark.parametrize("name", PUBLISHED)
def test_metrics_on_msci_are_the_toolbox_manuals(name):
    strategy, published = PUBLISHED[name]
    row = row_of(strategy, relatives("msci"))
    for column, value in zip(COLUMNS, published):
        if value is not None:
            assert round(row[column], 4) == value, column


def test_the_manuals_market_value_has_the_first_day_dropped():
    """.8986 in the manual's screens; with all days it is .9064."""
    x = relatives("msci")
    assert [round(row_of(UBAH(), part)["wealth"], 4) for part in (x[1:], x)] == [0.8986, 0.9064]


def test_metrics_are_what_their_definitions_say():
    x = relatives("djia")[:100]
    paths = evaluate(PAMR(), x, COSTS)[0]
    rows = metrics(paths, x, COSTS, Measure(risk_free=0.03, periods_per_year=50))
    for c, row in enumerate(rows):
        net, gross, traded = (part[:, c, 0].numpy() for part in (paths.net, paths.gross, paths.traded))
        wealth = np.cumprod(net)
        path = np.append(1, wealth)
        apy = wealth[-1] ** (50 / 100) - 1
        sd = np.std(net - 1, ddof=1) * math.sqrt(50)
        drawdown = max(1 - path[t] / path[: t + 1].max() for t in range(len(path)))
        hold = np.append(1, np.cumprod(x.numpy(), 0).mean(1))
        hold = hold[1:] / hold[:-1] * np.where(np.arange(100) == 0, 1 - COSTS[c].item() / 2, 1)
        expected = {
            "cost": COSTS[c].item(),
            "wealth": wealth[-1],
            "log_wealth": np.log(wealth[-1]),
            "gross_wealth": np.prod(gross),
            "annual_return": apy,
            "annual_std": sd,
            "sharpe": (apy - 0.03) / sd,
            "max_drawdown": drawdown,
            "calmar": apy / drawdown,
            "turnover": traded[1:].mean(),
            "simplex_error": paths.off[:, c, 0].max().item(),
            "excess_return": (net - hold).mean(),
            "periods": 100,
        }
        assert row == pytest.approx(expected, rel=1e-9)


def test_buy_and_hold_has_no_turnover_and_no_excess_over_itself():
    x = relatives("sp500")
    for row in metrics(evaluate(UBAH(), x, COSTS)[0], x, COSTS, Measure()):
        assert abs(row["turnover"]) < 1e-12
        assert abs(row["excess_return"]) < 1e-15
        assert row["wealth"] == pytest.approx(1.341643864 * (1 - row["cost"] / 2), rel=1e-6)


def test_toolbox_annualisation_rounds_the_years():
    x = relatives("msci")  # 1043 / 252 = 4.14 years
    row, rounded = row_of(Best(), x), row_of(Best(), x, toolbox=True)
    assert row["annual_return"] == pytest.approx(row["wealth"] ** (252 / 1043) - 1)
    assert rounded["annual_return"] == pytest.approx(row["wealth"] ** (1 / 4) - 1)
