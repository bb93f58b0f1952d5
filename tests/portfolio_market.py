"""Six markets of the OLPS toolbox, a small evaluation loop, and the strategies with the toolbox's default parameters."""

from __future__ import annotations

import csv
import io
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution

import numpy as np
import pytest
import torch
from torch import Tensor

from methods.portfolio.anticor import Anticor
from methods.portfolio.benchmarks import BCRP, EG, UBAH, UCRP, UP, Best
from methods.portfolio.ons import ONS
from methods.portfolio.reversion import CWMR, OLMAR1, OLMAR2, PAMR, RMR, TCO1
from methods.portfolio.strategy import Strategy

MARKETS = ("nyse_o", "nyse_n", "tse", "sp500", "msci", "djia")

STRATEGIES = {
    "ubah": UBAH,
    "best": Best,
    "ucrp": UCRP,
    "bcrp": BCRP,
    "up": UP,
    "eg": EG,
    "ons": ONS,
    "anticor": Anticor,
    "anticor2": lambda: Anticor(layers=2),
    "pamr": PAMR,
    "pamr1": lambda: PAMR(variant=1),
    "pamr2": lambda: PAMR(variant=2),
    "cwmr_var": CWMR,
    "cwmr_stdev": lambda: CWMR(variant="stdev"),
    "olmar1": OLMAR1,
    "olmar2": OLMAR2,
    "rmr": RMR,
    "tco1": TCO1,
}


@cache
def market(name: str) -> Tensor:
    """Price relatives of one market, [T, m], from the cumulative products that universal-portfolios ships; T counts the first day."""
    try:
        files = distribution("universal-portfolios").files or []
    except PackageNotFoundError:
        pytest.skip("universal-portfolios, which ships the OLPS data, is not installed")
    (path,) = [file for file in files if file.match(f"universal/data/{name}.csv")]
    rows = list(csv.reader(io.StringIO(path.locate().read_text(encoding="utf-8", errors="replace"))))[1:]
    cumulative = np.array(rows, dtype=np.float64)
    return torch.from_numpy(np.concatenate([cumulative[:1], cumulative[1:] / cumulative[:-1]]))


def made(periods: int = 60, assets: int = 5, seed: int = 0) -> Tensor:
    """Log-normal relatives with daily moves of 3%, some of them exactly 1, and one day without any move."""
    generator = torch.Generator().manual_seed(seed)
    moves = 0.03 * torch.randn(periods, assets, dtype=torch.float64, generator=generator)
    moves[torch.rand(periods, assets, generator=generator) < 0.1] = 0
    moves[periods // 3] = 0
    return moves.exp()


def run(strategy: Strategy, relatives: Tensor, costs=(0.0,), toolbox: bool = False) -> tuple[Tensor, list[Tensor]]:
    """Log-wealth [C, K] at the end, and the weights of every period.

    A period's growth is (b . x)(1 - gamma / 2 ||b - held||_1), with nothing held at first.

    Args:
        toolbox: charge costs on holdings divided by the growth after costs, which sum to more than 1, as the OLPS toolbox does.
    """
    costs = torch.tensor(costs, dtype=relatives.dtype)
    weights, before, log_wealth, path = strategy.begin(relatives, costs), 0.0, 0.0, []
    for t, x in enumerate(relatives):
        path.append(weights)
        gross = (weights * x).sum(-1, keepdim=True)
        net = gross * (1 - costs[:, None, None] / 2 * (weights - before).abs().sum(-1, keepdim=True))
        log_wealth = log_wealth + net[..., 0].log()
        held = weights * x / gross
        before = weights * x / net if toolbox else held
        weights = strategy.update(t, weights, held, net)
    return log_wealth, path


def wealth(strategy: Strategy, relatives: Tensor, gamma: float = 0.0, toolbox: bool = False) -> float:
    """Final wealth of one setting at one cost."""
    return run(strategy, relatives, (gamma,), toolbox)[0].exp().item()
