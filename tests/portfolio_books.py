"""Markets and final wealths for the tests of the portfolio task."""

from __future__ import annotations

import torch

from bench.tasks.portfolio.books import evaluate
from datasets.markets.olps import olps
from methods.portfolio.strategy import Strategy

COSTS = torch.tensor([0.0, 0.001, 0.0025, 0.005, 0.01], dtype=torch.float64)


def relatives(name: str) -> torch.Tensor:
    return olps("nowhere", name=name).relatives


def final(strategy: Strategy, x: torch.Tensor, costs: torch.Tensor = COSTS, **more) -> list[float]:
    """Final wealth at each cost level."""
    return evaluate(strategy, x, costs, **more)[0].log_wealth().exp()[:, 0].tolist()
