"""EGAB and EG on the price relatives of a simulated market whose prices return to where they were, beside buying and holding. Prints what a
wealth of 1 grows to in 1000 days, without costs and where a full turnover costs 0.1 %."""

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from bench.tasks.portfolio.books import evaluate
from methods.portfolio.benchmarks import EG, UBAH
from methods.portfolio.egab import EGABN

torch.manual_seed(0)
log_prices = torch.zeros(1001, 6, dtype=torch.float64)
for t in range(1000):
    log_prices[t + 1] = 0.95 * log_prices[t] + 0.01 * torch.randn(6, dtype=torch.float64)
relatives = log_prices.diff(dim=0).exp()  # [periods, assets]: prices over those of the day before
costs = torch.tensor([0.0, 0.001], dtype=torch.float64)

egab = EGABN(alpha=0.5, beta=1.0, eta=20.0, forecast="olmar1")
for name, strategy in (("EGAB-N", egab), ("EG", EG(eta=0.05)), ("buy and hold", UBAH())):
    paths, _ = evaluate(strategy, relatives, costs)
    free, paid = paths.log_wealth()[:, 0].exp().tolist()
    print(f"{name}: wealth {free:.3f}, after costs {paid:.3f}")
