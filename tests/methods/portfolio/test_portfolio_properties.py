"""What every portfolio strategy keeps: weights on the simplex, no look-ahead, a batch equal to its parts."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from portfolio_market import MARKETS, STRATEGIES, made, market, run
from scipy.optimize import minimize
from torch import Tensor

from methods.portfolio.benchmarks import BCRP, EG
from methods.portfolio.forecasts import l1_median
from methods.portfolio.ons import ONS, minimise
from methods.portfolio.reversion import CWMR, OLMAR1, OLMAR2, PAMR, RMR, TCO1
from methods.portfolio.strategy import project

COSTS = (0.0, 0.005, 0.01)
ONLINE = [name for name in STRATEGIES if name not in ("best", "bcrp")]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_weights_stay_on_the_simplex_with_costs(strategy):
    for relatives in (made(), made(assets=2), market("djia")[:150]):
        log_wealth, path = run(STRATEGIES[strategy](), relatives, COSTS)
        weights = torch.stack([each.expand(3, 1, -1) for each in path])
        assert (weights.sum(-1) - 1).abs().max() < 1e-12
        assert weights.min() >= 0
        assert torch.isfinite(log_wealth).all()
        assert (log_wealth[:, 0].diff() < 0).all(), "costs cost"


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_market_without_moves_or_with_equal_moves_does_no_harm(strategy):
    for relatives in (torch.ones(12, 4, dtype=torch.float64), torch.full((12, 4), 1.01, dtype=torch.float64)):
        log_wealth, path = run(STRATEGIES[strategy](), relatives, (0.0,))
        assert log_wealth.item() == pytest.approx(relatives.log().sum(0)[0].item(), abs=1e-12)
        assert all((w.sum(-1) - 1).abs().max() < 1e-12 and w.min() >= 0 for w in path)


@pytest.mark.parametrize("strategy", ONLINE)
def test_the_future_changes_nothing_to_the_last_bit(strategy):
    """Relatives change after day s; the weights of the days up to s + 1 do not. With the longest window of Anticor at work."""
    assert not STRATEGIES[strategy]().hindsight
    for relatives, last in ((made(100, 6), 75), (market("tse")[:80], 66)):
        changed = relatives.clone()
        changed[last + 1 :] = made(len(relatives), relatives.shape[1], seed=7)[last + 1 :]
        before, after = (run(STRATEGIES[strategy](), x, COSTS)[1] for x in (relatives, changed))
        assert all(torch.equal(a, b) for a, b in zip(before[: last + 2], after[: last + 2]))
        if strategy not in ("ubah", "ucrp"):
            assert not torch.equal(before[-1], after[-1])


@pytest.mark.parametrize("strategy", ["best", "bcrp"])
def test_hindsight_looks_ahead_and_says_so(strategy):
    assert STRATEGIES[strategy]().hindsight
    first = [run(STRATEGIES[strategy](), x)[1][0] for x in (made(), made(seed=1))]
    assert not torch.equal(*first)


BATCHES = [
    (EG, {"eta": (0.05, 2.0)}),
    (ONS, {"delta": (0.125, 1.0), "beta": (1.0, 0.5), "eta": (0.0, 0.3)}),
    (PAMR, {"epsilon": (0.5, 0.9)}),
    (PAMR, {"epsilon": (0.5, 0.9), "C": (1.0, 30.0), "variant": 1}),
    (PAMR, {"epsilon": (0.5, 0.9), "C": (1.0, 500.0), "variant": 2}),
    (CWMR, {"epsilon": (0.5, 0.9), "phi": (2.0, 0.5)}),
    (CWMR, {"epsilon": (0.5, 0.9), "phi": (2.0, 0.5), "variant": "stdev"}),
    (OLMAR1, {"epsilon": (10.0, 1.1)}),
    (OLMAR2, {"epsilon": (10.0, 1.1), "alpha": (0.5, 0.9)}),
    (RMR, {"epsilon": (5.0, 1.1)}),
    (TCO1, {"eta": (10.0, 1.0), "rho": (10.0, 1.0)}),
]


@pytest.mark.parametrize(("strategy", "keys"), BATCHES)
def test_a_batch_of_settings_equals_one_by_one(strategy, keys):
    relatives = made()
    batch = {k: torch.tensor(v, dtype=torch.float64)[:, None] if isinstance(v, tuple) else v for k, v in keys.items()}
    log_wealth, path = run(strategy(**batch), relatives, COSTS)
    assert log_wealth.shape == (3, 2)
    for k in range(2):
        one = {name: v[k] if isinstance(v, tuple) else v for name, v in keys.items()}
        for c, cost in enumerate(COSTS):
            alone, alone_path = run(strategy(**one), relatives, (cost,))
            assert log_wealth[c, k].item() == pytest.approx(alone.item(), abs=1e-12)
            for together, single in zip(path, alone_path):
                picked = together.expand(3, 2, -1)[c, k]
                torch.testing.assert_close(picked, single[0, 0], rtol=0, atol=1e-11)
    assert log_wealth[0, 0] != log_wealth[0, 1]


def supports(m: int) -> list[list[int]]:
    return [list(s) for n in range(1, m + 1) for s in itertools.combinations(range(m), n)]


def brute_force(matrix: np.ndarray, linear: np.ndarray) -> np.ndarray:
    """Minimiser of p^T A p / 2 - c . p over the simplex: the best feasible stationary point over all supports."""
    best, answer = np.inf, None
    for s in supports(len(linear)):
        system = np.block([[matrix[np.ix_(s, s)], np.ones((len(s), 1))], [np.ones((1, len(s))), np.zeros((1, 1))]])
        p = np.zeros(len(linear))
        p[s] = np.linalg.solve(system, np.append(linear[s], 1))[:-1]
        value = p @ matrix @ p / 2 - linear @ p
        if p.min() >= -1e-12 and value < best:
            best, answer = value, p
    return answer


def test_project_is_the_nearest_point_of_the_simplex():
    v = 2 * torch.randn(40, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = [brute_force(np.eye(5), row) for row in v.numpy()]
    np.testing.assert_allclose(project(v).numpy(), expected, atol=1e-12)
    inside = project(v)
    torch.testing.assert_close(project(inside), inside, rtol=0, atol=1e-15)
    batched = project(v.reshape(2, 4, 5, 5))
    assert torch.equal(batched.reshape(40, 5), inside)


def test_project_keeps_to_the_simplex_at_any_size():
    for size in (1e-12, 1.0, 1e6, 1e17, 1e250):
        v = size * torch.randn(20, 30, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        p = project(v)
        assert (p.sum(-1) - 1).abs().max() < 1e-14
        assert p.min() >= 0


def test_projection_in_the_norm_of_a_is_the_minimiser():
    generator = torch.Generator().manual_seed(0)
    for scale in (0.1, 1.0, 30.0):
        for _ in range(10):
            root = torch.randn(5, 5, dtype=torch.float64, generator=generator)
            matrix, linear = (
                torch.eye(5, dtype=torch.float64) + root @ root.T,
                scale * torch.randn(5, generator=generator),
            )
            expected = brute_force(matrix.numpy(), linear.double().numpy())
            for start in (torch.full((5,), 0.2), torch.eye(5)[2]):
                found = minimise(matrix, linear.double(), start.double())
                np.testing.assert_allclose(found.numpy(), expected, atol=1e-10)


@pytest.mark.parametrize("name", MARKETS)
def test_best_constant_portfolio_satisfies_its_optimality_conditions(name):
    """max_i mean_t x_{t,i} / (b . x_t) - 1 bounds what any other constant portfolio gains in log-wealth a day."""
    x = market(name)
    b = BCRP().begin(x, x.new_zeros(1))[0, 0]
    ratio = (x / (x @ b)[:, None]).mean(0)
    assert ratio.max() - 1 < 1e-9
    assert (ratio[b > 1e-6] - 1).abs().max() < 1e-9
    assert b.min() >= 0
    assert abs(b.sum() - 1) < 1e-12


def test_l1_median_has_the_least_sum_of_distances():
    points = torch.randn(30, 5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    points[:5, 1:] = points[:5, :1]  # all but nothing: five equal points
    points[5:10, 1:4] = points[5:10, :1]  # a majority at one point: the median is that point
    median = l1_median(points)

    def total(y: Tensor) -> Tensor:
        return (points - y[:, None]).norm(dim=-1).sum(-1)

    torch.testing.assert_close(median[:10], points[:10, 0], rtol=0, atol=1e-6)
    for shift in 1e-3 * torch.randn(50, 30, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3)):
        assert (total(median) <= total(median + shift) + 1e-9).all()


@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("angle", [0.2, 0.3, 0.7])
def test_l1_median_of_repeated_prices_is_scipys(times, angle):
    """Prices that stand still for k days are the median unless the others pull harder than k: here with 2 cos(angle)."""
    away = torch.tensor([[np.cos(angle), np.sin(angle)], [np.cos(angle), -np.sin(angle)]], dtype=torch.float64)
    others = 1 + torch.tensor([[0.14], [0.25]], dtype=torch.float64) * away
    points = torch.cat([others, torch.ones(times, 2, dtype=torch.float64)])
    (found,) = l1_median(points[None]).numpy()
    options = {"xatol": 1e-12, "fatol": 1e-16, "maxiter": 10_000, "maxfev": 10_000}
    least = minimize(
        lambda y: np.linalg.norm(points.numpy() - y, axis=1).sum(),
        points.mean(0),
        method="Nelder-Mead",
        options=options,
    )
    np.testing.assert_allclose(found, least.x, atol=1e-6)
    if 2 * np.cos(angle) <= times:
        np.testing.assert_array_equal(found, 1.0)
    else:
        assert abs(found - 1).max() > 0.01
