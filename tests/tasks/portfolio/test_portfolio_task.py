"""The portfolio task: what it logs, selection over a grid, the mixture without look-ahead, stopping, wrong keys."""

from __future__ import annotations

import itertools
import math
import signal

import numpy as np
import pytest
import torch
from conftest import result_of, seed_folders
from portfolio_books import COSTS, final, relatives

from bench.errors import UserError
from bench.run.curve import read_metrics
from bench.run.runner import execute
from bench.run.session import Session, Stopped
from bench.tasks.portfolio.books import evaluate
from methods.portfolio.egab import EGABN
from methods.portfolio.strategy import Strategy

GRID = {"alpha": [0.0, 0.5, 1.0], "eta": [5.0, 20.0]}
SETTINGS = [dict(zip(GRID, values)) for values in itertools.product(*GRID.values())]


@pytest.fixture
def finals(job, tmp_path):
    """finals("method=...", ...): the final metrics and the curve of one run."""

    def run(*overrides: str):
        quiet = ["tracker=none", "hardware=cpu", "hardware.threads=1", "verbose=false", "task.max_periods=null"]
        made = job("method=egab_n", "dataset=djia", f"results_root={tmp_path}", *quiet, *overrides)
        outcome = execute(made)
        assert not outcome.failures
        return outcome.results[0]["metrics"], read_metrics(made.folder / "seed0")

    return run


def grid_of(values: dict[str, list[float]]) -> str:
    return f"task.grid={{{','.join(f'{k}:{v}' for k, v in values.items())}}}".replace(" ", "")


def member(setting: dict[str, float]) -> EGABN:
    return EGABN(**{"alpha": 0.5, "beta": 1.0, "eta": 20.0, **setting})


def test_a_claims_row_is_the_summary_of_its_cost_and_the_first_is_final(finals):
    last, curve = finals("task.costs=[0.005,0.0]", "task.path_points=10")
    rows = {cost: [row for row in curve if row.get("cost") == cost] for cost in (0.005, 0.0)}
    expected = dict(zip(COSTS.tolist(), final(member({}), relatives("djia"))))
    for cost, found in rows.items():
        assert found[-1]["wealth"] == pytest.approx(expected[cost], rel=1e-12)
        assert [row["period"] for row in found[:-1]] == [51, 101, 152, 203, 254, 304, 355, 406, 456, 507]
        assert 10 ** found[-2]["log10_wealth"] == pytest.approx(expected[cost], rel=1e-12)
        assert all("wealth" not in row for row in found[:-1])
    assert last["wealth"] == rows[0.005][-1]["wealth"]
    assert last["gradient_evaluations"] == 0
    assert last["periods"] == 507


def test_dropping_the_first_period_changes_the_numbers(finals):
    """The classic mistake of computing returns with pct_change, planted by a key."""
    everything, dropped = finals("method=ucrp")[0], finals("method=ucrp", "task.drop_first=true")[0]
    assert everything["wealth"] == pytest.approx(0.812726, abs=1e-6)
    assert dropped["periods"] == 506
    assert dropped["wealth"] != pytest.approx(0.812726, abs=1e-4)


def test_a_batch_of_settings_is_its_members():
    x = relatives("djia")
    values = {name: torch.tensor([[s[name]] for s in SETTINGS], dtype=torch.float64) for name in GRID}
    batch = evaluate(EGABN(beta=1.0, **values), x, COSTS, settings=len(SETTINGS))[0].log_wealth()
    for k, setting in enumerate(SETTINGS):
        np.testing.assert_allclose(batch[:, k].exp(), final(member(setting), x), rtol=1e-9)


def test_hindsight_is_the_upper_envelope(finals):
    x = relatives("djia")
    _, curve = finals("task.selection=hindsight", grid_of(GRID), "task.path_points=0")
    each = np.array([final(member(setting), x) for setting in SETTINGS])  # [K, C]
    assert [row["wealth"] for row in curve] == pytest.approx(each.max(0), rel=1e-9)
    for c, row in enumerate(curve):
        assert {name: row[f"chosen_{name}"] for name in GRID} == SETTINGS[each[:, c].argmax()]


def test_the_landscape_is_the_best_over_the_other_keys(finals):
    grid = {"alpha": [0.0, 0.5], "beta": [1.0], "eta": [5.0, 20.0]}
    _, curve = finals(
        "task.selection=hindsight",
        grid_of(grid),
        "task.landscape=[beta,alpha]",
        "task.path_points=0",
        "task.costs=[0.0]",
    )
    *rows, last = curve
    x, found = relatives("djia"), {(row["beta"], row["alpha"]): row["best_log_wealth"] for row in rows}
    each = {
        (1.0, a): max(math.log(final(member({"alpha": a, "eta": e}), x)[0]) for e in grid["eta"]) for a in grid["alpha"]
    }
    assert found == pytest.approx(each, rel=1e-9)
    assert last["log_wealth"] == pytest.approx(max(found.values()), rel=1e-12)


def test_the_first_third_chooses_and_the_rest_is_judged(finals):
    x = relatives("djia")
    _, curve = finals("task.selection=first_third", grid_of(GRID), "task.path_points=0")
    early = np.array([final(member(setting), x[:169]) for setting in SETTINGS])
    for c, row in enumerate(curve):
        chosen = SETTINGS[early[:, c].argmax()]
        assert {name: row[f"chosen_{name}"] for name in GRID} == chosen
        assert row["wealth"] == pytest.approx(final(member(chosen), x[169:])[c], rel=1e-9)
        assert row["periods"] == 507 - 169
    plain = finals("task.selection=first_third")[0]
    assert plain["wealth"] == pytest.approx(final(member({}), x[169:])[0], rel=1e-12)


def test_the_rest_is_compared_with_the_market_of_the_same_periods(finals):
    """Buying and holding evenly, afresh on the rest, is that market: no excess over itself at any cost."""
    _, curve = finals("method=ubah", "task.selection=first_third", "task.path_points=0")
    assert len(curve) == 5
    for row in curve:
        assert row["periods"] == 507 - 169
        assert abs(row["excess_return"]) < 1e-15


def test_online_wealth_without_costs_is_the_members_mean(finals):
    x = relatives("djia")
    _, curve = finals("task.selection=online", grid_of(GRID), "task.path_points=0")
    each = np.array([final(member(setting), x) for setting in SETTINGS])
    assert curve[0]["wealth"] == pytest.approx(each[:, 0].mean(), rel=1e-10)
    for c, row in enumerate(curve):
        assert row["regret"] == pytest.approx((math.log(each[:, c].max()) - row["log_wealth"]) / 507, rel=1e-9)
    assert curve[0]["regret"] <= math.log(len(SETTINGS)) / 507


class Swapping(Strategy):
    """Two settings that change places every period: all in one asset, all in the other."""

    reads_accounts = False

    def begin(self, relatives, costs):
        return torch.eye(2, dtype=torch.float64)[None]

    def update(self, t, weights, held, net):
        return weights.flip(1)


def test_the_mixture_pays_for_its_own_trades_alone():
    x = torch.ones(10, 2, dtype=torch.float64)
    paths, mixture = evaluate(Swapping(), x, COSTS, settings=2, mixture=True)
    assert (paths.traded[1:] == 2).all()
    assert (mixture.traded[1:] == 0).all(), "what one member sells the other buys"
    np.testing.assert_allclose(mixture.log_wealth()[:, 0], (1 - COSTS / 2).log(), rtol=1e-12)


def test_the_mixture_does_not_look_ahead():
    x = relatives("djia")[:60]
    other = x.clone()
    other[40:] = other[40:].flip(0, 1)
    values = {name: torch.tensor([[s[name]] for s in SETTINGS], dtype=torch.float64) for name in GRID}
    found = []
    for market in (x, other):
        strategy = EGABN(beta=1.0, **values)
        found.append(evaluate(strategy, market, COSTS, settings=len(SETTINGS), mixture=True)[1])
    assert torch.equal(found[0].net[:40], found[1].net[:40])
    assert torch.equal(found[0].traded[:41], found[1].traded[:41])
    assert not torch.equal(found[0].net[40:], found[1].net[40:])


def test_checkpoints_change_nothing(finals):
    assert finals("checkpoint_every=0.0", "seeds=[0]")[0] == finals("checkpoint_every=60.0", "force=true")[0]


def test_a_stopped_run_starts_afresh_and_ends_the_same(finals, monkeypatch, tmp_path):
    expected = finals()[0]
    due = Session.due

    def stop(self):
        self._stop.number = signal.SIGTERM
        return due(self)

    monkeypatch.setattr(Session, "due", stop)
    with pytest.raises(Stopped) as caught:
        finals("force=true")
    assert caught.value.code == 128 + signal.SIGTERM
    assert not list(tmp_path.rglob("checkpoint.pt")), "there is nothing to resume"
    monkeypatch.undo()
    assert finals()[0] == expected


def test_the_program_prints_what_a_reader_asks_for(program, tmp_path):
    done = program("method=egab_n", "dataset=nyse_o", "scale=mini")
    assert done.returncode == 0, done.stderr
    for name in ("wealth", "annual_return", "sharpe", "calmar", "max_drawdown", "turnover"):
        assert f" {name} " in done.stdout
    (folder,) = seed_folders(tmp_path)
    assert result_of(folder)["metrics"]["periods"] == 5651


@pytest.mark.parametrize(
    ("overrides", "wanted"),
    [
        (["task.costs=[0.0,0.0]"], "task.costs = .*distinct cost levels below 1"),
        (["task.costs=[1.0]"], "task.costs = .*distinct cost levels below 1"),
        (["task.costs=[]"], "task.costs = .*distinct cost levels below 1"),
        (["task.selection=online"], "task.selection = 'online': needs task.grid"),
        (["task.grid={eta:[1.0]}"], "task.grid: a grid needs task.selection"),
        (["task.grid={etta:[1.0]}", "task.selection=online"], "task.grid.etta: .*allowed: alpha, .*did you mean 'eta'"),
        (["task.grid={window:[5]}", "task.selection=online"], "task.grid.window: not a real-valued key"),
        (["task.grid={eta:[]}", "task.selection=online"], r"task.grid.eta = \[\]: at least one value"),
        (["task.grid={eta:[-1.0]}", "task.selection=online"], "method.eta = -1.0: must be greater than 0"),
        (["task.landscape=[alpha,eta]"], "task.landscape = .*two keys of task.grid, with task.selection=hindsight"),
        (["task.landscape=[alpha]", "task.grid={alpha:[1.0]}", "task.selection=hindsight"], "task.landscape = .*two"),
        (["task.max_periods=5"], "5 periods are too few"),
    ],
)
def test_wrong_keys_are_one_line(overrides, wanted, finals):
    with pytest.raises(UserError, match=wanted) as caught:
        finals(*overrides)
    assert "\n" not in str(caught.value)


def test_periods_a_year_are_252_unless_a_data_set_has_dates(job, finals):
    made = job("method=ucrp", "dataset=djia")
    assert made.parts["task"]["periods_per_year"] == 252
    assert job("method=ucrp", "dataset=prices", "dataset.path=my.csv").parts["task"]["periods_per_year"] is None
    known, undated = finals()[0], finals("task.periods_per_year=null")[0]
    assert undated["annual_return"] == known["annual_return"] != finals("task.periods_per_year=12")[0]["annual_return"]
