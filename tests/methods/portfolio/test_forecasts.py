"""Forecasts of the next relatives against their formulas, and L1-medians against the minimum they stand for."""

from __future__ import annotations

import pytest
import torch
from portfolio_market import made

from methods.portfolio.forecasts import exponential_average, forecasts, median_of_prices, moving_average

FORECASTS = ("momentum", "reversion", "olmar1", "olmar2", "rmr")


def test_forecasts_are_their_formulas():
    x = made(12, 3)
    p = torch.cat([torch.ones_like(x[:1]), x.cumprod(0)])  # p_0, ..., p_T
    for t in range(12):
        last = p[max(0, t + 2 - 5) : t + 2]
        torch.testing.assert_close(moving_average(x, 5)[t], last.mean(0) / p[t + 1], rtol=1e-13, atol=0)
    phi = torch.ones(3, dtype=torch.float64)
    for t in range(12):
        phi = 0.3 + 0.7 * phi / x[t]
        torch.testing.assert_close(exponential_average(x, 0.3)[t], phi, rtol=1e-13, atol=0)
    torch.testing.assert_close(forecasts("reversion", x, 5, 0.5), 1 / x)
    assert torch.equal(forecasts("momentum", x, 5, 0.5), x)


def test_the_median_forecast_minimises_the_distances():
    x = made(12, 3)
    p = torch.cat([torch.ones_like(x[:1]), x.cumprod(0)])
    found = median_of_prices(x, 5)
    assert (found[:3] == 1).all(), "fewer than five prices say nothing"
    for t in range(3, 12):
        points, mu = p[t - 3 : t + 2], found[t] * p[t + 1]
        best = (points - mu).norm(dim=1).sum()
        for k in range(3):
            for change in (-1e-3, 1e-3):
                moved = mu.clone()
                moved[k] += change
                assert (points - moved).norm(dim=1).sum() > best


@pytest.mark.parametrize("name", FORECASTS)
@pytest.mark.parametrize("window", [1, 2, 5])
def test_forecasts_exist_for_short_histories(name, window):
    for periods in (1, 2, 3, 8):
        found = forecasts(name, made(periods), window, 0.5)
        assert found.shape == (periods, 5)
        assert found.isfinite().all()
