"""Anticor against its definition, and against the OLPS toolbox's code with and without the rounding errors that decide its ties."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from conftest import DATA
from portfolio_market import STRATEGIES, market, run, wealth
from threadpoolctl import threadpool_info

import methods.portfolio.anticor
from datasets.markets.olps import olps
from methods.portfolio.anticor import TIE, Anticor

# Final wealth: the toolbox's, which depends on how its rounding errors decide ties, and ours, where ties are ties.
REPLAYS = {
    ("anticor", "nyse_n"): ("2.10611e5", 210601.4987),
    ("anticor", "sp500"): ("5.60967", 5.603948115),
    ("anticor", "msci"): ("2.77467", 2.774693976),
    ("anticor", "djia"): ("1.62595", 1.625979067),
    ("anticor2", "nyse_o"): ("2.40881e8", 240272227.75),
    ("anticor2", "nyse_n"): ("6.20796e6", 6192390.309),
    ("anticor2", "tse"): ("39.386", 39.36281769),
    ("anticor2", "sp500"): ("5.89293", 5.902350299),
    ("anticor2", "msci"): ("3.22151", 3.220397107),
    ("anticor2", "djia"): ("2.28764", 2.285450801),
}


@cache
def final(strategy: str, name: str) -> float:
    return wealth(STRATEGIES[strategy](), market(name))


# ---- the definition, on markets without ties


def expert(data: np.ndarray, weights: np.ndarray, w: int) -> np.ndarray:
    """Borodin et al. (2004), one window, asset by asset."""
    if len(data) < 2 * w:
        return weights
    first, second = np.log(data[-2 * w : -w]), np.log(data[-w:])
    m, mean = data.shape[1], second.mean(0)
    cor = np.corrcoef(first.T, second.T)[:m, m:]
    claim = np.zeros((m, m))
    for i in range(m):
        for j in range(m):
            if mean[i] >= mean[j] - TIE and cor[i, j] > TIE:
                claim[i, j] = cor[i, j] + max(0, -cor[i, i]) + max(0, -cor[j, j])
    new = weights.copy()
    for i in range(m):
        for j in range(m):
            if claim[i].sum() > 0:
                moved = weights[i] * claim[i, j] / claim[i].sum()
                new[i] -= moved
                new[j] += moved
    return new


def defined_path(x: np.ndarray, longest: int, layers: int) -> np.ndarray:
    """Weights of BAH(Anticor) or BAH(Anticor(Anticor)), day by day."""
    (periods, m), n = x.shape, longest - 1
    inner, outer, growth = np.full((n, m), 1 / m), np.full((n, n), 1 / n), np.ones((periods, n))
    capital, path = np.ones(n), []
    for t in range(periods):
        inner = np.array([expert(x[:t], inner[k], k + 2) for k in range(n)])
        growth[t] = inner @ x[t]
        if layers == 1:
            path.append(capital @ inner / capital.sum())
            capital = capital * growth[t]
            continue
        outer = np.array([expert(growth[:t], outer[k], k + 2) for k in range(n)])
        path.append(capital @ outer / capital.sum() @ inner)
        inner = inner * x[t] / growth[t][:, None]
        gains = outer @ growth[t]
        capital, outer = capital * gains, outer * growth[t] / gains[:, None]
    return np.array(path)


@pytest.mark.parametrize(("layers", "longest"), [(1, 6), (2, 5)])
def test_anticor_is_its_definition_asset_by_asset(layers, longest):
    relatives = torch.exp(0.03 * torch.randn(45, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(5)))
    path = torch.cat(run(Anticor(max_window=longest, layers=layers), relatives)[1])[:, 0]
    np.testing.assert_allclose(path.numpy(), defined_path(relatives.numpy(), longest, layers), atol=1e-12)
    assert (path[-1] - path[0]).abs().max() > 0.05


# ---- the toolbox


def transferred(logs: np.ndarray, weights: np.ndarray, w: int, tie: float) -> np.ndarray:
    """One window in matrix form, as the toolbox computes it; its `>=` and `> 0` hold within `tie`."""
    if len(logs) < 2 * w:
        return weights
    early, late = logs[-2 * w : -w], logs[-w:]
    mean = late.mean(0)
    early, late = early - early.mean(0), late - mean
    scale = np.sqrt(np.outer((early**2).sum(0), (late**2).sum(0)))
    cor = np.divide(early.T @ late, scale, out=np.zeros_like(scale), where=scale > tie**2)
    own = np.maximum(0, -np.diag(cor))
    claims = (mean[:, None] >= mean - tie) & (cor > tie)
    claim = np.where(claims, cor + own[:, None] + own, 0.0)
    total = claim.sum(1, keepdims=True)
    moved = np.divide(weights[:, None] * claim, total, out=np.zeros_like(claim), where=total > 0)
    return weights - moved.sum(1) + moved.sum(0)


def toolbox_wealth(x: np.ndarray, tie: float, longest: int = 30) -> float:
    """Final wealth of BAH(Anticor(Anticor)) in the toolbox's order of operations: daily growths are a product of a vector and a matrix."""
    (periods, m), n = x.shape, longest - 1
    inner, outer, capital = np.full((n, m), 1 / m), np.full((n, n), 1 / n), np.ones(n)
    logs, growth_logs, total = np.log(x), np.zeros((periods, n)), 1.0
    for t in range(periods):
        for k in range(n):
            inner[k] = transferred(logs[:t], inner[k], k + 2, tie)
            outer[k] = transferred(growth_logs[:t], outer[k], k + 2, tie)
        weights = inner.T @ (capital @ outer / capital.sum())
        total *= x[t] @ weights / weights.sum()
        growth = x[t] @ inner.T
        growth_logs[t] = np.log(growth)
        gains = outer @ growth
        inner, outer, capital = inner * x[t] / growth[:, None], outer * growth / gains[:, None], capital * gains
    return total


def test_two_layers_are_the_toolboxs_with_exact_ties():
    assert toolbox_wealth(market("djia").numpy(), TIE) == pytest.approx(final("anticor2", "djia"), rel=1e-9)


@pytest.mark.parametrize("source", [pytest.param("mat", marks=pytest.mark.data), "csv"])
def test_the_toolboxs_two_layers_with_its_own_rounding(source):
    """29 experts that have not started are equal, but a product of a vector and a matrix adds the last column up in another order.

    On the toolbox's own file OpenBLAS's kernels for AVX-512 give the number to the digits written down; other kernels, and the copy of
    the data that went through cumulative products, decide the ties in other ways.
    """
    if source == "mat" and not (DATA / "olps").is_dir():
        pytest.skip(f"no OLPS .mat files in {DATA.name}/olps")
    relatives = olps(str(DATA), name="djia", source=source).relatives.numpy()
    value, printed = toolbox_wealth(relatives, 0.0), float(REPLAYS["anticor2", "djia"][0])
    assert value == pytest.approx(printed, rel=3e-3)
    assert value != pytest.approx(final("anticor2", "djia"), rel=1e-5)
    if source == "mat" and any(info.get("architecture") == "SkylakeX" for info in threadpool_info()):
        assert value == pytest.approx(printed, abs=5e-6)


@pytest.mark.parametrize(("strategy", "name"), REPLAYS)
def test_anticor_with_ties_is_within_rounding_of_the_toolbox(strategy, name):
    """Ties are many: prices that come back to where they were and, in the second layer, experts that have not started."""
    printed, ours = REPLAYS[strategy, name]
    value = final(strategy, name)
    assert value == pytest.approx(ours, rel=1e-6)
    assert value == pytest.approx(float(printed), rel=3e-3)


@pytest.mark.parametrize("name", ["sp500", "msci", "djia"])
def test_the_toolboxs_one_layer_is_among_the_values_that_rounding_errors_give(name, monkeypatch):
    """Its literal rule, `mu2_i >= mu2_j`, on relatives changed in the last bit (not the exact 1s: they are no rounding)."""
    monkeypatch.setattr(methods.portfolio.anticor, "TIE", 0.0)
    relatives, values = market(name), []
    for seed in range(10):
        noise = torch.rand(relatives.shape, dtype=relatives.dtype, generator=torch.Generator().manual_seed(seed))
        changed = torch.where(relatives == 1, relatives, relatives * (1 + 4e-16 * (2 * noise - 1)))
        values.append(wealth(Anticor(), changed))
    golden = float(REPLAYS["anticor", name][0])
    assert min(values) < golden < max(values)
    assert max(values) / min(values) - 1 > 1e-6, "no number of this strategy has six digits"


@pytest.mark.parametrize("strategy", ["anticor", "anticor2"])
def test_our_anticor_does_not_depend_on_rounding_errors(strategy):
    relatives = market("djia")
    noise = torch.rand(relatives.shape, dtype=relatives.dtype, generator=torch.Generator().manual_seed(0))
    changed = relatives * (1 + 4e-16 * (2 * noise - 1))
    assert wealth(STRATEGIES[strategy](), changed) == pytest.approx(final(strategy, "djia"), rel=1e-10)
