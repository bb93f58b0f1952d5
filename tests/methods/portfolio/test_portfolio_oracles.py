"""Strategies against slow, literal versions of their formulas, and special cases with known answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from portfolio_market import made, market, run, wealth
from scipy.optimize import brentq

from methods.portfolio.benchmarks import EG, UBAH, UCRP, UP, Best
from methods.portfolio.ons import ONS
from methods.portfolio.reversion import CWMR, OLMAR1, PAMR, RMR, TCO1
from methods.portfolio.strategy import project


@pytest.mark.parametrize("variant", ["var", "stdev"])
def test_cwmr_meets_its_confidence_constraint(variant):
    """lambda from the constraint, by bisection: epsilon - mu' . x = phi V' (var) or phi sqrt(V') (stdev), V' = x^T Sigma' x."""
    x = torch.tensor([1.02, 0.97, 1.05, 0.99, 1.0], dtype=torch.float64)
    m, epsilon, phi = len(x), 0.9, 2.0
    mu, sigma = np.full(m, 1 / m), np.full(m, 1 / m**2)
    v, w, mean = sigma @ x.numpy() ** 2, sigma @ x.numpy(), sigma @ x.numpy() / sigma.sum()

    def excess(step: float) -> float:
        short = epsilon - mu @ x.numpy() + step * (v - mean * w)
        if variant == "var":
            return short - phi * v / (1 + 2 * step * phi * v)
        return short - phi * (np.sqrt((step * phi * v) ** 2 + 4 * v) - step * phi * v) / 2

    step = brentq(excess, 0, 1e9, xtol=1e-9, rtol=1e-14)
    expected = project(torch.from_numpy(mu - step * sigma * (x.numpy() - mean)))
    weights = run(CWMR(variant=variant, epsilon=epsilon, phi=phi), torch.stack([x, x]))[1][1][0, 0]
    torch.testing.assert_close(weights, expected, rtol=0, atol=1e-9)


def test_rmr_forecasts_from_the_last_w_prices_that_start_at_one():
    relatives = made(20, 4)
    phi = RMR(window=5).forecast(relatives)
    assert torch.equal(phi[:5], relatives[:5])
    prices = torch.cat([torch.ones(1, 4, dtype=torch.float64), relatives[1:].cumprod(0)])
    for t in range(5, 20):
        rows = prices[t - 4 : t + 1].numpy()
        y = np.median(rows, 0)
        for _ in range(2000):  # Weiszfeld
            inverse = 1 / np.linalg.norm(rows - y, axis=1).clip(1e-12)
            y = inverse @ rows / inverse.sum()
        np.testing.assert_allclose(phi[t].numpy(), y / rows[-1], atol=1e-6)


def test_olmar_forecasts_the_mean_of_prices_over_the_last():
    relatives = made(12, 3)
    phi, prices = OLMAR1(window=5).forecast(relatives), relatives.cumprod(0)
    assert torch.equal(phi[:5], relatives[:5])
    for t in range(5, 12):
        torch.testing.assert_close(phi[t], prices[t - 4 : t + 1].mean(0) / prices[t], rtol=1e-13, atol=0)


def test_pamr_steps_back_to_its_threshold():
    """An unconstrained step makes b_{t+1} . x_t = epsilon; the three variants are ordered and meet at C = infinity."""
    x = torch.tensor([[1.01, 0.99, 1.0, 1.0]] * 2, dtype=torch.float64)
    plain, first, second = (run(PAMR(epsilon=0.999, variant=v, C=1e9), x)[1][1] for v in (0, 1, 2))
    assert (plain[0, 0] @ x[0]).item() == pytest.approx(0.999, abs=1e-12)
    torch.testing.assert_close(first, plain, rtol=0, atol=1e-12)
    torch.testing.assert_close(second, plain, rtol=0, atol=1e-6)
    capped = run(PAMR(epsilon=0.999, variant=1, C=2.0), x)[1][1][0, 0]
    torch.testing.assert_close(capped, 0.25 - 2 * (x[0] - x[0].mean()), rtol=0, atol=1e-12)


def test_pamr_keeps_its_step_over_a_day_without_moves():
    x = made(3, 4)
    x[1] = 1
    strategy = PAMR()
    path = run(strategy, x)[1]
    assert torch.equal(path[2], path[1]), "the direction is 0"
    strategy.begin(x, x.new_zeros(1))
    weights, net = path[0], (path[0] * x[0]).sum(-1, keepdim=True)
    strategy.update(0, weights, weights, net)
    tau = strategy.tau.clone()
    strategy.update(1, path[1], path[1], net.new_ones(1, 1, 1))
    assert torch.equal(strategy.tau, tau)


def test_tco_does_not_trade_what_does_not_pay():
    relatives, costs = made(8, 4), (0.0, 0.9)
    path = run(TCO1(), relatives, costs)[1]
    held = path[3] * relatives[3] / (path[3] * relatives[3]).sum(-1, keepdim=True)
    torch.testing.assert_close(path[4][1], held[1], rtol=0, atol=1e-15)
    v = 1 / relatives[3] / (held[0, 0] @ (1 / relatives[3]))
    torch.testing.assert_close(path[4][0, 0], project(held[0, 0] + 10 * (v - v.mean())), rtol=0, atol=1e-14)


def test_buy_and_hold_trades_once():
    relatives, gamma = market("djia"), 0.01
    free = relatives.prod(0)
    assert wealth(UBAH(), relatives, gamma) == pytest.approx(free.mean().item() * (1 - gamma / 2), rel=1e-12)
    assert wealth(Best(), relatives, gamma) == pytest.approx(free.max().item() * (1 - gamma / 2), rel=1e-12)
    assert wealth(UCRP(), relatives) == pytest.approx(relatives.mean(1).prod().item(), rel=1e-12)


def test_universal_wealth_is_the_mean_wealth_of_its_samples():
    relatives, strategy = made(40, 3), UP(3, samples=500)
    value = wealth(strategy, relatives)
    assert value == pytest.approx((strategy.portfolios @ relatives.T).prod(1).mean().item(), rel=1e-12)
    assert value == wealth(UP(3, samples=500), relatives)
    assert value != wealth(UP(4, samples=500), relatives)


def test_eg_is_universal_on_nyse():
    """log(BCRP / EG) / T < 5e-4, with BCRP's wealth 250.59707."""
    gap = np.log(250.59707 / wealth(EG(), market("nyse_o"))) / len(market("nyse_o"))
    assert 0 < gap < 5e-4


def test_ons_mixes_with_uniform():
    relatives = made()
    assert all((w - 0.2).abs().max() < 1e-15 for w in run(ONS(eta=1.0), relatives)[1])
    assert min(w.min().item() for w in run(ONS(eta=0.5), relatives)[1]) >= 0.1
