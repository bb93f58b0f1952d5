"""Final wealths of the OLPS toolbox on its six markets (Li, Sahoo, Hoi, 2016, JMLR 17), recomputed from its code and data.

A number is matched to 1e-6, or to half a unit of its last digit where fewer digits are written down.
"""

from __future__ import annotations

from functools import cache

import pytest
from portfolio_market import MARKETS, STRATEGIES, market, run, wealth

import methods.portfolio.reversion
from methods.portfolio.reversion import OLMAR1, PAMR

# All days, no costs. None: no reference.
GOLDEN = {
    "ubah": ("14.497308", "18.056548", "1.612918", "1.341644", "0.906352", "0.764361"),
    "best": ("54.140364", "83.506698", "6.279220", "3.779182", "1.504023", "1.188360"),
    "ucrp": ("27.075246", "31.551706", "1.595225", "1.648714", "0.926836", "0.812726"),
    "bcrp": ("250.59707", "120.32091", "6.7799882", "4.0686273", "1.5056929", "1.2399284"),
    "eg": ("27.094890", "31.000095", "1.593486", "1.633325", "0.926016", "0.810030"),
    "ons": ("109.189", None, "1.61554", None, "0.856043", "1.53299"),
    "pamr": ("5.13843e15", "1.25260e6", "264.861", "5.09488", "15.2320", "0.680050"),
    "pamr1": ("5.13843e15", "1.25567e6", "264.861", "5.09488", "15.5115", "0.68005"),
    "pamr2": ("4.87505e15", None, "249.954", None, "16.866", "0.705395"),
    "cwmr_var": ("6.51365e15", "1.44059e6", "328.605", "5.94444", "17.2651", "0.688125"),
    "olmar1": ("7.21492e16", "4.13678e8", "58.5127", "15.9435", "14.9353", "2.53723"),
    "olmar2": ("1.02195e18", None, None, "9.59451", "22.5138", "1.16113"),
}

# djia with costs gamma = 0, 0.1%, 0.25%, 0.5%; held weights over the growth after costs, as in the toolbox.
COSTS = (0.0, 0.001, 0.0025, 0.005)
WITH_COSTS = {
    "ucrp": (".812726", ".80942", ".804487", ".796329"),
    "eg": (".81003", ".806882", ".802182", ".794409"),
    "pamr": (".68005", ".45099", ".243308", ".0867445"),
    "olmar1": ("2.53723", "1.82449", "1.11119", ".484681"),
    "olmar2": ("1.16113", ".794386", ".448895", ".172725"),
}

# universal-portfolios computes relatives by pct_change and so leaves out the first day.
FIRST_DAY_DROPPED = ("14.211138", "18.230572", "1.596410", "1.332759", ".898628", ".763539")

# Mean and standard deviation over the draws of 5000 samples.
UP_5000 = ((27.06, 0.09), (30.88, 0.11), (1.595, 0.002), (1.636, 0.002), (0.9265, 0.0009), (0.8113, 0.0006))


def matches(value: float, printed: str, relative: float = 1e-6) -> bool:
    """Is `value` the printed number, to `relative` or to half a unit of its last digit?"""
    mantissa, _, exponent = printed.partition("e")
    decimals = len(mantissa.partition(".")[2])
    unit = 10.0 ** (int(exponent or 0) - decimals)
    golden = float(printed)
    return abs(value - golden) <= max(relative * abs(golden), unit / 2 * (1 + 1e-9))


@cache
def final(strategy: str, name: str) -> float:
    return wealth(STRATEGIES[strategy](), market(name))


CELLS = [(s, name, printed) for s, row in GOLDEN.items() for name, printed in zip(MARKETS, row) if printed]


@pytest.mark.parametrize(("strategy", "name", "printed"), CELLS)
def test_final_wealth_is_the_toolboxs(strategy, name, printed):
    relative = 1e-5 if strategy == "ons" else 1e-6
    assert matches(final(strategy, name), printed, relative), f"{final(strategy, name):.9g}, not {printed}"


@pytest.mark.parametrize("strategy", WITH_COSTS)
def test_final_wealth_with_costs_is_the_toolboxs(strategy):
    values = run(STRATEGIES[strategy](), market("djia"), COSTS, toolbox=True)[0].exp()[:, 0].tolist()
    assert [v for v, printed in zip(values, WITH_COSTS[strategy]) if not matches(v, printed)] == []


def test_final_values_of_the_manual():
    """OLPS manual, pages 16 to 22: MSCI, four decimals."""
    printed = {"eg": "0.9260", "pamr": "15.2320", "ucrp": "0.9268", "best": "1.5040", "bcrp": "1.5057"}
    assert {s: f"{final(s, 'msci'):.4f}" for s in printed} == printed


@pytest.mark.parametrize(("name", "expected"), list(zip(MARKETS, UP_5000)))
def test_universal_portfolio_within_three_standard_errors(name, expected):
    mean, sigma = expected
    assert abs(final("up", name) - mean) <= 3 * sigma


@pytest.mark.parametrize(("name", "printed"), list(zip(MARKETS, FIRST_DAY_DROPPED)))
def test_dropping_the_first_day_gives_the_other_packages_number(name, printed):
    value = wealth(STRATEGIES["ubah"](), market(name)[1:])
    assert matches(value, printed)
    assert not matches(value, GOLDEN["ubah"][MARKETS.index(name)])


# ---- what the numbers above would catch


def test_an_update_at_period_2_would_fail():
    class Early(OLMAR1):
        first = 0

    assert not matches(wealth(Early(), market("djia")), "2.53723")


def test_clipping_and_dividing_instead_of_projecting_would_fail(monkeypatch):
    def clip(v):
        v = v.clamp_min(0)
        return v / v.sum(-1, keepdim=True)

    monkeypatch.setattr(methods.portfolio.reversion, "project", clip)
    assert not matches(wealth(PAMR(), market("djia")), "0.680050")


def test_holdings_over_the_gross_growth_would_fail():
    """PAMR and OLMAR-1 at 0.5%: the toolbox divides by the growth after costs, and this moves the fourth digit."""
    for strategy in ("pamr", "olmar1"):
        value = wealth(STRATEGIES[strategy](), market("djia"), 0.005)
        assert not matches(value, WITH_COSTS[strategy][-1])


def test_a_step_by_the_gross_return_would_fail():
    class Gross(PAMR):
        def update(self, t, weights, held, net):
            return super().update(t, weights, held, (weights * self.relatives[t]).sum(-1, keepdim=True))

    assert not matches(wealth(Gross(), market("djia"), 0.005, toolbox=True), ".0867445")
