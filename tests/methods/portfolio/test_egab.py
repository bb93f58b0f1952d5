"""EGAB: its members by name, closed forms, the numerical optimum it stands for, its numerical rules, causality; classic mistakes noticed."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from bench.tasks.portfolio.books import evaluate
from datasets.markets.olps import olps
from methods.portfolio.benchmarks import EG
from methods.portfolio.egab import EGABN, EGABP, EGABU, FLOOR, Geometry, normalised
from methods.portfolio.reversion import PAMR
from methods.portfolio.strategy import Strategy, project

ALPHAS, BETAS = (-0.5, 0.0, 0.25, 0.5, 0.75, 1.0), (0.0, 0.5, 1.0, 1.5)
ETAS = (2.0, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0)
FORECASTS = ("momentum", "reversion", "olmar1", "olmar2", "rmr")
PRODUCT = torch.tensor(list(itertools.product(ALPHAS, BETAS, ETAS)), dtype=torch.float64)
GRID = dict(zip(("alpha", "beta", "eta"), PRODUCT.unbind(1)))
COSTS = torch.tensor([0.0, 0.001, 0.0025, 0.005, 0.01], dtype=torch.float64)


def batch(family: type[EGABU], chosen=slice(None), **more) -> EGABU:
    """The settings of the grid, or some of them, in one batch."""
    return family(**{name: value[chosen, None] for name, value in GRID.items()}, **more)


def made(periods: int = 60, m: int = 6, seed: int = 0) -> Tensor:
    draws = torch.randn(periods, m, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return (0.03 * draws).exp()


def weights_of(strategy: Strategy, x: Tensor, costs: Tensor = COSTS) -> list[Tensor]:
    """The weights of every period, each [C, K, m] or what broadcasts to it."""
    b, found = strategy.begin(x, costs), []
    held = torch.zeros_like(b)
    for t in range(len(x)):
        found.append(b)
        gross = (b @ x[t])[..., None]
        net = gross * (1 - costs[:, None, None] / 2 * (b - held).abs().sum(-1, keepdim=True))
        held = b * x[t] / gross
        b = strategy.update(t, b, held, net)
    return found


def step(w: Tensor, g: Tensor, alpha: float, beta: float, eta: float) -> Tensor:
    """EGAB-U's update, not normalised."""
    return Geometry(alpha, beta, eta).step(w.log(), g).exp()


def largest_gap(a: Strategy, b: Strategy, x: Tensor) -> float:
    """Largest difference of a weight over all periods."""
    return max((u - v).abs().max().item() for u, v in zip(weights_of(a, x), weights_of(b, x)))


# ---- members of the family


@pytest.mark.parametrize("name", ["djia", "msci"])
def test_n_at_zero_one_is_exponentiated_gradient(name):
    x = olps("nowhere", name=name).relatives
    assert largest_gap(EGABN(alpha=0.0, beta=1.0, eta=0.05, forecast="momentum"), EG(eta=0.05), x) < 1e-12


def test_swapping_alpha_and_beta_is_noticed():
    """D_AB(w || w_t) in place of D_AB(w_t || w), the classic mistake: (1, 0) is Prod, not EG."""
    x = olps("nowhere", name="djia").relatives
    assert largest_gap(EGABN(alpha=1.0, beta=0.0, eta=0.05, forecast="momentum"), EG(eta=0.05), x) > 1e-5


def test_dropping_the_first_period_is_noticed():
    x = olps("nowhere", name="djia").relatives
    right, wrong = (evaluate(EG(), part, COSTS)[0].log_wealth().exp()[0].item() for part in (x, x[1:]))
    assert right == pytest.approx(0.810030, abs=1e-6)
    assert wrong != pytest.approx(0.810030, abs=1e-4)


CLOSED = {
    (0.0, 1.0): lambda w, g, eta: w * (-eta * g).exp(),
    (1.0, 1.0): lambda w, g, eta: (w - eta * g).clamp_min(0),
    (1.0, 0.0): lambda w, g, eta: w * (1 - eta * g).clamp_min(0),
    (-1.0, 2.0): lambda w, g, eta: w / (1 + eta * g),
    (0.5, 0.5): lambda w, g, eta: (w.sqrt() * (1 - eta * g / 2)).square(),
}


@pytest.mark.parametrize("member", CLOSED)
def test_members_have_their_closed_forms(member):
    generator = torch.Generator().manual_seed(1)
    w = torch.rand(50, 8, dtype=torch.float64, generator=generator) + 0.01
    g = torch.randn(50, 8, dtype=torch.float64, generator=generator)
    eta = 0.2  # 1 - eta g and 1 + eta g stay positive but for the clipped (1, 1)
    torch.testing.assert_close(step(w, g, *member, eta), CLOSED[member](w, g, eta), rtol=1e-12, atol=1e-300)


@pytest.mark.parametrize("alpha", [-0.5, 0.0, 0.25, 0.5, 0.75, 1.0])
def test_on_alpha_plus_beta_one_the_step_is_blind_to_scale(alpha):
    w, g = made(20), made(20, seed=1) - 1
    torch.testing.assert_close(step(w * 7, g, alpha, 1 - alpha, 3.0), 7 * step(w, g, alpha, 1 - alpha, 3.0))
    if alpha != 0:
        assert not torch.allclose(step(w * 7, g, alpha, 1.0, 3.0), 7 * step(w, g, alpha, 1.0, 3.0))


@pytest.mark.parametrize("alpha", ALPHAS)
def test_p_is_n_on_alpha_plus_beta_one(alpha):
    x = made(120)
    more = {"alpha": alpha, "beta": 1 - alpha, "eta": 5.0}
    assert largest_gap(EGABP(**more), EGABN(**more), x) < 1e-12
    assert largest_gap(*(family(alpha=alpha, beta=2 - alpha, eta=5.0) for family in (EGABP, EGABN)), x) > 1e-4


def test_the_euclidean_projection_is_the_metric_one_at_one_one():
    x = made(120)
    metric, euclidean = (EGABP(alpha=1.0, beta=1.0, eta=2.0, projection=p) for p in ("metric", "euclidean"))
    assert largest_gap(metric, euclidean, x) < 1e-12
    metric, euclidean = (EGABP(alpha=0.0, beta=1.0, eta=2.0, projection=p) for p in ("metric", "euclidean"))
    assert largest_gap(metric, euclidean, x) < 1e-12, "a constant in g is removed by the division at (0, 1)"
    metric, euclidean = (EGABP(alpha=0.5, beta=1.0, eta=2.0, projection=p) for p in ("metric", "euclidean"))
    assert largest_gap(metric, euclidean, x) > 1e-4


@pytest.mark.parametrize("family", [EGABU, EGABN, EGABP])
@pytest.mark.parametrize("beta", BETAS)
def test_alpha_near_zero_is_alpha_zero(family, beta):
    near, zero = (family(alpha=alpha, beta=beta, eta=0.5) for alpha in (1e-6, 0.0))
    assert largest_gap(near, zero, made(120)) < 1e-5


@pytest.mark.parametrize("alpha", [-0.5, 0.5, 0.8, 1.0, 2.0])
def test_beta_one_is_the_argmin_of_the_linearised_problem(alpha):
    """min_w <g, w> + D_AB(w_t || w) / eta, by a general minimiser."""
    from scipy.optimize import minimize

    w0 = np.array([0.1, 0.2, 0.3, 0.4])
    g, eta = np.array([-1.1, -0.7, 0.4, -0.9]), 0.1

    def objective(v):
        w = np.exp(v)
        d = w0**alpha * w - alpha / (1 + alpha) * w0 ** (1 + alpha) - w ** (1 + alpha) / (1 + alpha)
        slope = (w0**alpha - w**alpha) / alpha
        return g @ w - d.sum() / alpha / eta, (g - slope / eta) * w

    found = minimize(objective, np.log(w0), jac=True, method="BFGS", options={"gtol": 1e-12})
    ours = step(torch.from_numpy(w0), torch.from_numpy(g), alpha, 1.0, eta)
    np.testing.assert_allclose(ours, np.exp(found.x), atol=2e-8)


class PassiveAggressive(Strategy):
    """EGAB-P at (1, 1) on the loss w . x with PAMR's step size; `simplex` makes a portfolio of the update."""

    def __init__(self, simplex) -> None:
        super().__init__()
        self.simplex = simplex

    def update(self, t, weights, held, net):
        x = self.relatives[t]
        h = x - x.mean()
        eta = ((weights @ x)[..., None] - 0.5).clamp_min(0) / h.square().sum().clamp_min(
            1e-300
        )  # a day on which all move alike
        return self.simplex(step(weights.clamp_min(1e-14), h, 1.0, 1.0, eta))


def test_p_at_one_one_with_the_passive_aggressive_step_is_pamr():
    x, costs = olps("nowhere", name="msci").relatives, COSTS[:1]
    own, theirs = (weights_of(s, x, costs) for s in (PassiveAggressive(project), PAMR(epsilon=0.5)))
    assert max((u - v).abs().max() for u, v in zip(own, theirs)) < 1e-11
    paths = evaluate(PassiveAggressive(project), x, costs)[0]
    assert paths.log_wealth().exp().item() == pytest.approx(15.231962, rel=1e-6)


def test_clipping_and_dividing_in_place_of_projecting_is_noticed():
    x = olps("nowhere", name="msci").relatives
    clipped = PassiveAggressive(lambda w: w / w.sum(-1, keepdim=True))
    assert evaluate(clipped, x, COSTS[:1])[0].log_wealth().exp().item() != pytest.approx(15.231962, rel=0.01)


# ---- numbers


@pytest.mark.parametrize("family", [EGABU, EGABN, EGABP])
@pytest.mark.parametrize("threshold", [None, 1.0])
def test_every_setting_stays_on_the_simplex_at_every_cost(family, threshold):
    x = olps("nowhere", name="djia").relatives[:150]
    strategy = batch(family, threshold=threshold)
    for w in weights_of(strategy, x):
        known = w.isfinite().all(-1)  # NaN: a step of EGAB-U whose factors are all beyond exp(700)
        assert known.all() or (family is EGABU and known.any())
        assert (w[known].sum(-1) - 1).abs().max() < 1e-12
        assert w[known].min() > FLOOR / 2
    assert w.shape == (1 if threshold is None else len(COSTS), len(PRODUCT), 30)


def test_a_bracket_at_zero_is_no_weight_for_positive_alpha():
    w = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)
    h = torch.tensor([10.0, 1.0, -1.0], dtype=torch.float64)  # 1 - alpha eta h w^... <= 0 for the first
    for alpha in (0.25, 0.5, 1.0, 2.0):
        found = normalised(Geometry(alpha, 1 - alpha, 1.0 / alpha).step(w.log(), h * 0.9))
        assert found[0] == pytest.approx(FLOOR, rel=1e-6)
        assert found.sum() == pytest.approx(1, abs=1e-15)


def test_a_bracket_at_zero_is_infinity_for_negative_alpha():
    """Assets with 1 + alpha z <= 0 share everything in proportion to their weights."""
    w = torch.tensor([0.1, 0.3, 0.2, 0.4], dtype=torch.float64)
    h = torch.tensor([-2.0, -5.0, -1.0, 1.0], dtype=torch.float64)  # z = 2, 5, 1, -1: alpha z <= -1 for the first two
    found = normalised(Geometry(-0.5, 1.5, 1.0).step(w.log(), h))
    np.testing.assert_allclose(found, [0.25, 0.75, FLOOR, FLOOR], atol=1e-9)


@pytest.mark.parametrize("alpha", [-3.0, -0.5, 0.0, 1e-9, 0.5, 2.0])
@pytest.mark.parametrize("beta", [-3.0, 0.0, 5.0])
@pytest.mark.parametrize("eta", [1e-300, 1e12])
def test_extreme_settings_overflow_nowhere(alpha, beta, eta):
    for family in (EGABU, EGABN, EGABP):
        for w in weights_of(family(alpha=alpha, beta=beta, eta=eta), made(30)):
            if family is EGABU and w.isnan().all():  # all factors beyond exp(700)
                break
            assert w.isfinite().all()
            assert (w.sum(-1) - 1).abs().max() < 1e-12


# ---- costs in the objective


def test_the_threshold_is_the_least_subgradient_at_the_held_weights():
    x, gamma = made(2, 4), COSTS[:, None, None]
    strategy = EGABN(alpha=0.0, beta=1.0, eta=3.0, forecast="reversion", threshold=2.0)
    first = strategy.begin(x, COSTS)
    held = first * x[0] / (first @ x[0])[..., None]
    found = strategy.update(0, first, held, gamma)
    forecast = 1 / x[0]
    h = 1 - forecast / (held @ forecast)[..., None]
    cut = h.sign() * (h.abs() - gamma).clamp_min(0)  # c = threshold gamma / 2 = gamma
    expected = held * (-3.0 * cut).exp()
    torch.testing.assert_close(found, expected / expected.sum(-1, keepdim=True), rtol=1e-13, atol=0)


def test_a_large_threshold_trades_nothing_and_zero_is_the_step_from_held_weights():
    x = made(80)
    paths = evaluate(EGABN(alpha=0.5, beta=1.0, eta=20.0, threshold=1e9), x, COSTS)[0]
    assert paths.traded[1:, 1:].abs().max() < 1e-8
    assert paths.traded[1:, 0].mean() > 0.1, "no cost, no threshold"
    traded = [
        evaluate(EGABN(alpha=0.5, beta=1.0, eta=20.0, threshold=c), x, COSTS)[0].traded[1:].mean(0)[:, 0]
        for c in (0.0, 1.0, 2.0)
    ]
    assert (traded[0] - traded[0][0]).abs().max() < 1e-12
    assert (traded[1].diff() < 0).all(), "turnover falls with the cost"
    assert (traded[2][1:] < traded[1][1:]).all()


# ---- causality


@pytest.mark.parametrize("name", FORECASTS)
@pytest.mark.parametrize("family", [EGABU, EGABN, EGABP])
@pytest.mark.parametrize("threshold", [None, 1.0])
def test_the_future_changes_no_weight_by_a_bit(name, family, threshold):
    x = made(50)
    other = x.clone()
    other[30:] = made(20, seed=3) * 1.01
    chosen = slice(None, None, 17)
    both = (weights_of(batch(family, chosen, forecast=name, threshold=threshold), y) for y in (x, other))
    before, after = ([w.nan_to_num(-1.0) for w in weights] for weights in both)
    assert all(torch.equal(a, b) for a, b in zip(before[:31], after[:31]))
    assert not torch.equal(before[31], after[31])


# ---- hindsight on the six markets


REPLAY = {  # best of the grid, of (0, 1), of (1, 1) at cost 0 and .5 %: replay of EGAB-N with the OLMAR forecast
    "djia": ((3.367, 3.367, 2.565), (2.207, 2.207, 1.232)),
    "msci": ((13.77, 3.916, 10.51), (2.024, 1.395, 1.559)),
    "sp500": ((35.11, 24.38, 16.21), (6.271, 5.277, 3.071)),
    "tse": ((427.9, 84.29, 144.1), (22.82, 13.21, 7.708)),
    "nyse_n": ((4.686e8, 3.145e8, 5.872e7), (2.546e4, 2.546e4, 1123.0)),
    "nyse_o": ((1.361e16, 1.208e13, 7.717e13), (2.719e9, 1.056e9, 8.811e6)),
}


@pytest.mark.parametrize("name", REPLAY)
def test_hindsight_is_the_replays_and_an_envelope_of_eg_and_gradient_descent(name):
    x = olps("nowhere", name=name).relatives
    log_wealth = evaluate(batch(EGABN), x, COSTS[[0, 3]], settings=len(PRODUCT))[0].log_wealth()
    members = [(GRID["alpha"] == alpha) & (GRID["beta"] == 1) for alpha in (0, 1)]
    for c, published in enumerate(REPLAY[name]):
        best, eg, gd = log_wealth[c].max(), *(log_wealth[c, member].max() for member in members)
        assert best >= max(eg, gd)
        for value, expected in zip((best, eg, gd), published):
            assert math.exp(value) == pytest.approx(expected, rel=1e-3)
