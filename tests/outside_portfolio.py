"""Outside references of the portfolio baselines: the OLPS toolbox's final wealths, numpy's definition, scipy's integrals and minimisers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from outside_made import made, module, of_test
from portfolio_market import MARKETS, market, run, wealth
from portfolio_market import made as moves
from scipy.integrate import quad
from scipy.optimize import minimize, minimize_scalar

from methods.portfolio.strategy import Strategy

GOLDEN = "methods/portfolio/test_portfolio_golden.py"
ANTICOR = "methods/portfolio/test_anticor.py"
DJIA = {"dataset": "djia"}


def _strategy(name: str, **more: float) -> Strategy:
    return made(name, 0, **DJIA, **more)


def _toolbox(name: str) -> Callable[[], None]:
    """The toolbox's final wealths on two markets, where it has both."""

    def check() -> None:
        golden = module(GOLDEN)
        for where in ("djia", "sp500"):
            printed = golden.GOLDEN[name][MARKETS.index(where)]
            if printed is not None:
                value = wealth(_strategy(name), market(where))
                assert golden.matches(value, printed, 1e-5 if name == "ons" else 1e-6), f"{value:.9g}, not {printed}"

    return check


def up() -> None:
    """Two assets: Cover's integrals over the constant portfolios (b, 1 - b), by scipy."""
    x = torch.exp(0.3 * torch.randn(12, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(3)))

    def capital(b: float, periods: int) -> float:
        return float(np.prod(x[:periods].numpy() @ [b, 1 - b]))

    path = run(_strategy("up", samples=40_000), x)[1]
    for t in (0, 4, 11):
        total = quad(capital, 0, 1, args=(t,))[0]
        mean = quad(lambda b, t=t: b * capital(b, t), 0, 1)[0] / total
        assert float(path[t][..., 0]) == pytest.approx(mean, abs=0.01)
    assert wealth(_strategy("up", samples=40_000), x) == pytest.approx(quad(capital, 0, 1, args=(12,))[0], rel=0.02)


def _nearest(point: np.ndarray, *constraints: dict, bounds: tuple[float, None] | None = None) -> np.ndarray:
    """scipy's nearest point to `point` whose entries sum to 1."""
    whole = {"type": "eq", "fun": lambda b: b.sum() - 1}
    found = minimize(
        lambda b: ((b - point) ** 2).sum(),
        np.full(len(point), 1 / len(point)),
        jac=lambda b: 2 * (b - point),
        method="SLSQP",
        constraints=[whole, *constraints],
        bounds=None if bounds is None else [bounds] * len(point),
        options={"ftol": 1e-15, "maxiter": 500},
    )
    assert found.success or found.status == 8, found.message
    return found.x


def rmr() -> None:
    """The L1-median, the passive-aggressive step and the simplex by scipy's minimisers."""
    x = moves(14, 3, seed=1).numpy() ** 3
    prices = np.vstack([np.ones(3), x[1:]]).cumprod(0)
    path = [w[0, 0].numpy() for w in run(_strategy("rmr", epsilon=1.2), torch.from_numpy(x))[1]]
    for t in range(6, 13):
        rows = prices[t - 4 : t + 1]
        median = minimize(lambda y, rows=rows: np.linalg.norm(rows - y, axis=1).sum(), rows.mean(0) + 1e-4, tol=1e-12).x
        phi = median / rows[-1]
        wanted = {"type": "ineq", "fun": lambda b, phi=phi: b @ phi - 1.2}
        step = _nearest(path[t], wanted)
        np.testing.assert_allclose(path[t + 1], _nearest(step, bounds=(0, None)), atol=2e-3)


def tco1() -> None:
    """Each weight minimises (b - held - u)^2 / 2 + rho gamma |b - held|, by scipy, and then the simplex."""
    x, gamma = moves(9, 4, seed=2), 0.004
    path = [w[0, 0].numpy() for w in run(_strategy("tco1"), x, (gamma,))[1]]
    moved = 0
    for t in range(8):
        held = path[t] * x[t].numpy() / (path[t] @ x[t].numpy())
        gain = 1 / x[t].numpy() / (held @ (1 / x[t].numpy()))
        free = []
        for h, u in zip(held, 10 * (gain - gain.mean())):
            objective = lambda b, h=h, u=u: (b - h - u) ** 2 / 2 + 10 * gamma * abs(b - h)  # noqa: E731
            free.append(minimize_scalar(objective, (h - 1, h + 1), tol=1e-12).x)
        np.testing.assert_allclose(path[t + 1], _nearest(np.array(free), bounds=(0, None)), atol=1e-5)
        moved += np.abs(path[t + 1] - held).max() > 0.01
    assert moved > 3


def _anticor(name: str, layers: int, longest: int) -> Callable[[], None]:
    """numpy's correlations, asset by asset, and the toolbox's wealth on DJIA to the size of its rounding."""

    def check() -> None:
        of_test(ANTICOR, "test_anticor_is_its_definition_asset_by_asset", layers, longest)()
        printed = float(module(ANTICOR).REPLAYS[name, "djia"][0])
        assert wealth(_strategy(name), market("djia")) == pytest.approx(printed, rel=3e-3)

    return check


TOOLBOX = ("ubah", "best", "ucrp", "bcrp", "eg", "ons", "pamr", "pamr1", "pamr2", "cwmr_var", "olmar1", "olmar2")
REFERENCES = {
    **{name: _toolbox(name) for name in TOOLBOX},
    "up": up,
    "rmr": rmr,
    "tco1": tco1,
    "anticor": _anticor("anticor", 1, 6),
    "anticor2": _anticor("anticor2", 2, 5),
    "cwmr_stdev": of_test(
        "methods/portfolio/test_portfolio_oracles.py", "test_cwmr_meets_its_confidence_constraint", "stdev"
    ),
}
