"""Whole runs of the portfolio task against a naive reference: each row of the curve, each final number, each choice."""

from __future__ import annotations

import dataclasses
import datetime
from pathlib import Path

import numpy as np
import pytest
from conftest import final, result_of
from reference import portfolio as naive
from reference.agree import all_compared, same_rows

from bench.run.curve import read_metrics
from bench.run.runner import execute
from bench.tasks.portfolio.note import NOTE
from methods.portfolio.strategy import Strategy

REL = 1e-9
COSTS = [0.004, 0.0, 0.02]
GRID = {"alpha": [1.0, -0.5, 0.0, 0.5], "beta": [1.5, 0.5, 1.0], "eta": [10.0, 3.0]}
ALWAYS = set(NOTE.metrics) - {"regret", "best_log_wealth"}


def moves(periods: int = 40, assets: int = 5, still: bool = True) -> np.ndarray:
    """Relatives with daily moves of 3 %, one on which a price stays; still: and one on which none moves."""
    x = np.exp(0.03 * np.random.default_rng(1).standard_normal((periods, assets)))
    if still:
        x[periods // 3] = 1.0
    x[periods // 2, 0] = 1.0
    return x


def table(path: Path, x: np.ndarray, dates: bool = False) -> str:
    """A CSV of relatives; dates: with one a month."""
    lines = [("date," if dates else "") + ",".join(f"asset {k}" for k in range(x.shape[1]))]
    for t, row in enumerate(x):
        when = f"{datetime.date(2000 + t // 12, t % 12 + 1, 1)}," if dates else ""
        lines.append(when + ",".join(map(repr, row.tolist())))
    path.write_text("\n".join(lines) + "\n")
    return str(path)


@pytest.fixture
def agrees(go, tmp_path):
    """agrees("olmar1", x, protocol, ...) runs the program and the reference, compares all that they say, and returns the names."""

    def run(name, x=None, how=None, *more, keys=(), seeds=(0,), rel=REL, asked=None) -> set[str]:
        x, how, keys = moves() if x is None else x, how or naive.Protocol(COSTS), dict(keys)
        path = table(tmp_path / "market.csv", x)
        data = ["dataset=prices", f"dataset.path={path}", "dataset.kind=relatives", "dataset.check=false"]
        own = [f"method.{key}={'null' if value is None else value}" for key, value in keys.items()]
        task = [*words(how), "task.max_periods=null"] if asked is None else asked
        folders = go(f"method={name}", *data, *own, *task, f"seeds={list(seeds)}".replace(" ", ""), *more)
        names = set()
        for seed, folder, last in zip(seeds, folders, final(folders)):
            rows, ends = naive.run(name, x, seed, keys, how)
            names |= agree(read_metrics(folder), rows, rel) | agree([last], [ends], rel)
            assert result_of(folder)["status"] == "finished"
        return names

    return run


def words(how: naive.Protocol) -> list[str]:
    """The command line that says what a protocol is."""
    listed = ",".join(f"{key}:{values}" for key, values in how.grid.items()).replace(" ", "")
    lines = [f"task.{key}={getattr(how, key)}" for key in ("selection", "path_points", "risk_free", "periods_per_year")]
    lines += [f"task.{key}={str(getattr(how, key)).lower()}" for key in ("toolbox_costs", "toolbox_annualisation")]
    lines += [f"task.costs={list(how.costs)}".replace(" ", ""), *([f"task.grid={{{listed}}}"] if how.grid else [])]
    return [*lines, *([f"task.landscape=[{','.join(how.landscape)}]"] if how.landscape else [])]


def agree(found: list[dict], wanted: list[dict], rel: float) -> set[str]:
    """As same_rows; errors of the simplex that are rounding are compared with 0 alone."""
    for one, other in zip(found, wanted):
        if max(one.get("simplex_error", 1), other.get("simplex_error", 1)) < 1e-13:
            one["simplex_error"] = other["simplex_error"] = 0.0
    return same_rows(found, wanted, rel)


PLAIN = [
    ("ubah", {}),
    ("best", {}),
    ("ucrp", {}),
    ("eg", {"eta": 2.0}),
    ("ons", {"eta": 0.2, "beta": 0.5, "delta": 4.0}),
    ("ons", {"beta": 2.0, "delta": 30.0}),
    ("anticor", {"max_window": 6}),
    ("anticor2", {"max_window": 5}),
    ("pamr", {"epsilon": 0.995}),
    ("pamr1", {"epsilon": 0.9, "C": 20.0}),
    ("pamr2", {"epsilon": 0.9, "C": 30.0}),
    ("cwmr_var", {}),
    ("cwmr_stdev", {}),
    ("cwmr_var", {"epsilon": 0.99, "phi": 0.4}),
    ("cwmr_stdev", {"epsilon": 0.99, "phi": 0.4}),
    ("olmar1", {"epsilon": 1.01}),
    ("olmar1", {"epsilon": 1.004, "window": 3}),
    ("olmar2", {"epsilon": 1.01, "alpha": 0.3}),
    ("tco1", {"eta": 3.0, "rho": 4.0}),
]
FAMILY = [
    ("egab_eg", {"eta": 5.0}),
    ("egab_gd", {"eta": 1.0, "forecast": "reversion"}),
    ("egab_n", {"alpha": 0.0, "beta": 0.5, "forecast": "momentum", "eta": 2.0}),
    ("egab_n", {"alpha": -0.5, "beta": 1.5, "forecast": "olmar2", "decay": 0.3}),
    ("egab_n", {"alpha": 0.7, "beta": 0.0, "window": 3, "threshold": 2.0}),
    ("egab_p", {"alpha": 0.5, "beta": 0.9, "eta": 4.0}),
    ("egab_p", {"alpha": 1.0, "beta": 1.5, "projection": "euclidean", "forecast": "reversion", "eta": 1.0}),
    ("egab_p", {"alpha": 0.25, "beta": 1.0, "threshold": 1.0}),
    ("egab_u", {"alpha": 0.5, "beta": 0.5, "eta": 0.3}),
    ("egab_u", {"alpha": 1.0, "beta": 0.0, "eta": 0.5, "threshold": 30.0}),
]


@pytest.mark.parametrize(("name", "keys"), PLAIN + FAMILY)
def test_each_strategy_at_three_costs(agrees, name, keys):
    assert agrees(name, keys=keys) >= ALWAYS


@pytest.mark.parametrize("name", ["egab_n", "egab_p", "egab_u", "pamr", "olmar1", "tco1"])
def test_strategies_that_read_their_accounts_the_toolboxs_way(agrees, name):
    """Holdings divided by the net growth, whole years; without costs in between the two ways are one."""
    how = naive.Protocol(
        [0.03, 0.0], periods_per_year=16, toolbox_costs=True, toolbox_annualisation=True, risk_free=0.1
    )
    keys = {"threshold": 1.0} if name.startswith("egab") else {}
    agrees(name, None, how, keys=keys)


def test_the_median_of_prices_and_the_best_constant_portfolio_to_what_their_iterations_reach(agrees):
    moving = moves(still=False)  # of prices that stand still the iteration's answer is rougher
    agrees("rmr", moving, keys={"epsilon": 1.01}, rel=1e-5)
    agrees("rmr", moving, keys={"epsilon": 1.005, "window": 4}, rel=1e-5)
    agrees("egab_n", moving, keys={"forecast": "rmr", "window": 4}, rel=1e-5)
    agrees("bcrp", moves() ** 8, rel=1e-6)  # moves large enough for several assets to be held


def test_drawn_portfolios_follow_the_seed(agrees):
    agrees("up", keys={"samples": 40}, seeds=(0, 5))


def test_hindsight_over_a_grid_with_its_landscape(agrees):
    how = naive.Protocol(COSTS, "hindsight", GRID, ("eta", "alpha"), path_points=7)
    names = agrees("egab_n", moves(25), how)
    assert names >= {f"chosen_{key}" for key in GRID} | {"best_log_wealth", "eta", "alpha"} | (ALWAYS - {"regret"})


@pytest.mark.parametrize("toolbox", [False, True])
def test_capital_that_is_spread_over_a_grid(agrees, toolbox):
    how = naive.Protocol(COSTS, "online", GRID, toolbox_costs=toolbox)
    names = agrees("egab_p", moves(25), how)
    all_compared(names, NOTE, "best_log_wealth")


@pytest.mark.parametrize(
    ("name", "grid", "keys"),
    [
        ("egab_n", GRID, {}),
        ("egab_p", {"threshold": [0.0, 1.0, 40.0], "eta": [5.0, 40.0]}, {"threshold": 1.0}),
        ("egab_n", {"decay": [0.2, 0.9], "eta": [5.0, 1.0]}, {"forecast": "olmar2"}),
        ("eg", {"eta": [0.5, 20.0]}, {}),
        ("ons", {"delta": [30.0, 0.1], "eta": [0.0, 0.5], "beta": [1.0, 0.1]}, {}),
        ("pamr1", {"epsilon": [1.0, 0.5], "C": [5.0, 200.0]}, {}),
        ("cwmr_var", {"phi": [2.0, 0.2], "epsilon": [0.99, 0.5]}, {}),
        ("olmar1", {"epsilon": [10.0, 1.0]}, {}),
        ("olmar2", {"epsilon": [10.0, 1.001], "alpha": [0.5, 0.9]}, {}),
        ("tco1", {"eta": [1.0, 10.0], "rho": [0.0, 10.0]}, {}),
        ("olmar1", {}, {}),
        ("anticor", {}, {"max_window": 4}),
        ("bcrp", {}, {}),
    ],
)
def test_chosen_on_the_first_third_and_judged_on_the_rest_afresh(agrees, name, grid, keys):
    """41 periods: 13 to choose on, 28 to be judged on. At 5 % a trade another setting is the best than at none."""
    how = naive.Protocol([0.05, 0.0], "first_third", grid)
    names = agrees(name, moves(41) ** (8 if name == "bcrp" else 1), how, keys=keys, rel=1e-6 if name == "bcrp" else REL)
    assert names >= {f"chosen_{key}" for key in grid}


@pytest.mark.parametrize("name", ["eg", "ubah"])
def test_longer_than_what_is_settled_at_a_time(agrees, name):
    """300 periods; 256 of a strategy that looks at no accounts are settled together."""
    how = naive.Protocol([0.0, 0.01], "online", {"eta": [1.0, 30.0]}) if name == "eg" else naive.Protocol([0.0, 0.01])
    agrees(name, moves(300, 3), how)


def test_periods_are_left_out_at_both_ends(agrees, go, tmp_path):
    """The first dropped, of the others 20."""
    x, how = moves(30), naive.Protocol([0.01], path_points=1000)
    path = table(tmp_path / "all.csv", x)
    data = ["dataset=prices", f"dataset.path={path}", "dataset.kind=relatives", "dataset.check=false"]
    folders = go("method=egab_n", *data, *words(how), "task.drop_first=true", "task.max_periods=20")
    rows, last = naive.run("egab_n", x[1:21], 0, {}, how)
    agree(read_metrics(folders[0]), rows, REL)
    agree(final(folders), [last], REL)


@pytest.mark.parametrize(("dates", "asked", "a_year"), [(True, "null", 12), (False, "null", 252), (True, "7", 7)])
def test_years_of_the_markets_own_dates(go, tmp_path, dates, asked, a_year):
    x, how = moves(30), naive.Protocol([0.01], path_points=0, periods_per_year=a_year)
    data = ["dataset=prices", f"dataset.path={table(tmp_path / 'all.csv', x, dates)}", "dataset.kind=relatives"]
    task = ["task.costs=[0.01]", "task.path_points=0", f"task.periods_per_year={asked}", "task.max_periods=null"]
    folders = go("method=olmar1", *data, "dataset.check=false", *task)
    rows, last = naive.run("olmar1", x, 0, {}, how)
    agree(read_metrics(folders[0]), rows, REL)
    agree(final(folders), [last], REL)


def test_ratios_that_have_no_divisor_are_left_out(agrees):
    """All prices double every period: no deviation at no cost, and never a fall."""
    names = agrees("ucrp", np.full((8, 3), 2.0), naive.Protocol([0.0, 0.01]))
    assert "sharpe" in names
    assert "calmar" not in names


class Leveraged(Strategy):
    """More than all wealth in the first asset, less than nothing in the second; 0.9 in all."""

    def begin(self, relatives, costs):
        weights = super().begin(relatives, costs) * 0
        weights[..., 0], weights[..., 1] = 1.3, -0.4
        return weights

    def update(self, t, weights, held, net):
        return weights


def test_weights_off_the_simplex_are_told_by_how_much(job, tmp_path, monkeypatch):
    x = moves(20)
    data = ["dataset=prices", f"dataset.path={table(tmp_path / 'all.csv', x)}", "dataset.kind=relatives"]
    how = naive.Protocol([0.01])
    quiet = ["tracker=none", "hardware=cpu", "verbose=false", f"results_root={tmp_path}", "dataset.check=false"]
    made = job("method=ucrp", *data, *words(how), *quiet)
    made = dataclasses.replace(made, parts=made.parts | {"method": {"_target_": f"{__name__}.Leveraged"}})
    outcome = execute(made)
    weights = np.array([1.3, -0.4, 0, 0, 0])
    monkeypatch.setattr(naive, "strategy", lambda *_: (weights, lambda *_: weights))
    rows, last = naive.run("leveraged", x, 0, {}, how)
    assert last["simplex_error"] == 0.4
    agree(read_metrics(outcome.job.folder / "seed0"), rows, REL)
    agree([outcome.results[0]["metrics"]], [last], REL)
