"""Forecasts of the next period's price relatives, for all periods at once. Row t uses the relatives up to t alone.

Shapes: relatives and forecasts [T, m] float64, p_t the prices (cumulative products).
"""

from __future__ import annotations

import torch
from torch import Tensor

from methods.reversion import l1_median


def forecasts(name: str, relatives: Tensor, window: int, decay: float) -> Tensor:
    """The forecasts by name, [T, m].

    Args:
        window: number w of prices of olmar1 and rmr.
        decay: weight of the constant 1 in olmar2, in (0, 1).
    """
    if name == "momentum":
        return relatives
    if name == "reversion":
        return 1 / relatives
    if name == "olmar2":
        return exponential_average(relatives, decay)
    return {"olmar1": moving_average, "rmr": median_of_prices}[name](relatives, window)


def moving_average(relatives: Tensor, window: int) -> Tensor:
    """Mean of the last w prices over p_t (Li & Hoi, 2012, OLMAR-1); early on, of the prices there are, from p_0 = 1."""
    term, total = torch.ones_like(relatives), torch.ones_like(relatives)
    count = torch.ones_like(relatives[:, :1])
    for k in range(min(window - 1, len(relatives))):
        term = term[min(k, 1) :] / relatives[: len(relatives) - k]  # p_{t-k-1} / p_t of the rows t >= k
        total[k:] += term
        count[k:] += 1
    return total / count


def exponential_average(relatives: Tensor, decay: float) -> Tensor:
    """phi_{t+1} = a 1 + (1 - a) phi_t / x_t with phi_1 = 1 (Li, Hoi, Sahoo & Liu, 2015, OLMAR-2)."""
    phi, found = torch.ones_like(relatives[0]), torch.empty_like(relatives)
    for t, x in enumerate(relatives):
        phi = torch.div(phi, x).mul_(1 - decay).add_(decay)
        found[t] = phi
    return found


def median_of_prices(relatives: Tensor, window: int) -> Tensor:
    """L1-median of the last w prices over p_t (Huang et al., 2013, RMR), from p_0 = 1; ones, which say nothing, while there are fewer."""
    prices = torch.cat([torch.ones_like(relatives[:1]), relatives.cumprod(0)])
    found = torch.ones_like(relatives)
    first = max(window - 2, 0)  # the row that sees p_0 ... p_{w-1}
    if len(relatives) > first:
        windows = prices.unfold(0, window, 1).transpose(1, 2)[-len(relatives) :]  # [.., w, m]
        found[first:] = l1_median(windows) / prices[first + 1 :]
    return found
