"""The feature-learning task through the real program: batches of runs, hitting times, resume bit for bit, one-line errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from conftest import final, result_of, whole_and_resumed

from bench.errors import UserError
from bench.run.curve import read_metrics
from bench.tasks.feature_learning.cells import Cell, Measures
from bench.tasks.feature_learning.index_models import RIDGE, IndexModel
from bench.tasks.feature_learning.two_layer import TwoLayer
from datasets.teachers.single_index import single_index
from methods.two_layer.feature_sgd import FeatureSGD

QUICK = ["dataset=single_index", "dataset.d=[8,12]", "model.width=4", "task.ridge_samples=64", "task.test_samples=64"]


def close(a: dict, b: dict, tolerance: float) -> bool:
    return a.keys() == b.keys() and all(math.isclose(a[k], b[k], rel_tol=tolerance, abs_tol=1e-12) for k in a)


def test_a_run_does_not_depend_on_its_company(go):
    """Dimensions, seeds, replicates and settings in one batch against each alone, at equal streams, to 1e-6 after 100 steps."""
    more = ["method=reuse_map", *QUICK, "task.samples=[100]", "task.samples_power=0.0"]
    grid = ["task.grid={lr: [0.1, 0.3], inner_lr: [0.5, 1.0]}", "seeds=[0,1,2]"]
    together = [read_metrics(folder) for folder in go(*more, *grid, root="a")]
    for lr, inner_lr in ((0.1, 1.0), (0.3, 0.5)):
        setting = [f"method.lr={lr}", f"method.inner_lr={inner_lr}"]
        for d in (8, 12):
            (alone,) = (read_metrics(f) for f in go(*more, *setting, f"dataset.d={d}", "seeds=[1]", root="b"))
            found = [r for r in together[1] if (r["dimension"], r.get("lr"), r.get("inner_lr")) == (d, lr, inner_lr)]
            assert len(found) == len(alone) == 1
            assert close({k: v for k, v in found[0].items() if k not in ("lr", "inner_lr")}, alone[0], 1e-6)


@pytest.mark.parametrize(
    ("method", "more"),
    [
        ("reuse_sgd", ["task.samples=[2,10]"]),
        ("online_sgd", ["task.samples=[2,10]"]),
        ("reuse_map", ["task.samples=[2000]", "task.stop=all"]),  # when it ends depends on when it looks
        ("same_batch_gd", ["task.samples=[2,10]", "method.steps=5"]),
        ("smoothed_sgd", ["task.samples=[2,10]", "model.activation=link", "model.bias=none"]),
    ],
)
def test_a_stopped_run_goes_on_bit_for_bit(method, more, job, tmp_path):
    fixed = ["task.replicates=2", "seeds=[0,1]", "hardware=cpu"]
    whole, resumed = whole_and_resumed(job(f"method={method}", *QUICK, *fixed, *more), tmp_path, 3)
    assert resumed == whole


def test_each_number_of_samples_of_one_batch_is_a_run_of_its_own(go):
    more = ["method=same_batch_gd", *QUICK, "method.steps=4", "task.iterations=[2]"]
    (both,) = go(*more, "task.samples=[2,8]")
    (small,) = go(*more, "task.samples=[2]", root="small")

    def key(row: dict) -> tuple:
        return row["dimension"], row["samples_per_dim"], row["iterations"]

    rows = {key(row): row for row in read_metrics(both)}
    assert set(rows) == {(d, n, t) for d in (8, 12) for n in (2.0, 8.0) for t in (2, 4)}
    for row in read_metrics(small):
        assert close(rows[key(row)], row, 1e-9)
    last = result_of(both)["metrics"]
    assert key(last) == (12, 8.0, 4)
    assert last["samples"] == 96
    assert last["gradient_evaluations"] == 96 * 4


def test_the_second_phase_by_neurons_and_samples(go):
    """A row for each N and T_2 before the dimension's last, which has the most of both; each is what a run with these alone finds."""
    more = ["method=online_sgd", *QUICK, "dataset.d=[8]", "task.samples=[20]"]
    (both,) = go(*more, "task.ridge_samples=[64,256]", "task.ridge_widths=[2,4]")
    rows = {(r.get("ridge_width"), r.get("ridge_samples")): r for r in read_metrics(both)}
    assert list(rows) == [(2, 64), (2, 256), (4, 64), (4, 256), (None, None)]
    assert rows[None, None]["test_error"] == rows[4, 256]["test_error"] == result_of(both)["metrics"]["test_error"]
    assert len({row["test_error"] for row in rows.values()}) == 4
    (one,) = go(*more, "task.ridge_samples=256", root="one")
    assert result_of(one)["metrics"]["test_error"] == rows[4, 256]["test_error"]
    assert [set(row) & {"ridge_width", "ridge_samples"} for row in read_metrics(one)] == [set()]


@pytest.mark.parametrize("link", ["he3", "he4"])
def test_the_second_phase_fits_a_target_whose_direction_is_known(link):
    """Rows on the direction: biased neurons span the link's polynomials. Rows orthogonal to it see nothing. Samples are new ones."""
    d, count, seeds = 6, 600, [0, 1]
    model = single_index(d=d, link=link)
    network = TwoLayer(
        width=20, activation="polynomial", bias="none", second_layer="signs", output="mean", start="orthogonal"
    )
    measures = Measures(0.5, 0.35, 1.0, [count], [], [1e-9, 1e-3], 3.0, 500)
    method = FeatureSGD(
        lr=0.1, lr_power=1.0, geometry="sphere", loss="correlation", batch_size=1, fresh=True, steps=None
    )
    cell = Cell(d, [count], model, network, method, seeds, 1, [{}], measures, torch.float64)
    blind = cell.end(count, count)
    cell.w = cell.theta[None].expand(1, 2, 20, d).clone()
    found = cell.end(count, count)
    for s in range(2):
        assert found[s][-1]["test_error"] < 1e-4
        assert blind[s][-1]["test_error"] > 0.3
    training, new = (cell.sample(block, count)[0] for block in (1, RIDGE))
    assert not torch.isclose(training, new).all(-1).any()
    assert cell.neurons.b is None


@pytest.mark.parametrize(
    ("method", "training"),
    [(["method=online_sgd"], 64), (["method=same_batch_gd", "method.fresh=true", "method.steps=3"], 3 * 64)],
)
def test_no_sample_is_met_twice(method, training, go, monkeypatch):
    """Of fresh training samples, those of the second phase and those of the test, also where all come in equal numbers.

    What a run says it has used are the training samples that it was given."""
    met, inputs = [], IndexModel.inputs

    def watched(self, *arguments):
        x, noise = inputs(self, *arguments)
        met.append(x[0])
        return x, noise

    monkeypatch.setattr(IndexModel, "inputs", watched)
    (folder,) = go(*method, *QUICK, "dataset.d=[8]", "task.samples=[8]", "task.samples_power=1.0", "seeds=[0]")
    assert result_of(folder)["metrics"]["samples"] == training
    assert sum(map(len, met)) == training + 64 + 64
    assert len(torch.cat(met).unique(dim=0)) == training + 64 + 64


def test_hitting_time_is_the_start_of_a_sustained_stay():
    """Steps of a made-up overlap, in blocks, against a plain loop."""
    from bench.tasks.feature_learning.hitting import HittingTimes

    rng = np.random.default_rng(0)
    level = np.clip(np.cumsum(rng.normal(0.002, 0.03, 400)), 0, 1)
    hitting = HittingTimes((1, 1), replicates=1, threshold=0.35, stay=20.0, device=torch.device("cpu"))
    for k in range(0, 400, 25):
        cosines = torch.from_numpy(level[k : k + 25]).reshape(-1, 1, 1, 1, 1)
        hitting.watch(cosines, 2 * k, 2)
    above = level >= 0.35
    expected = next(i for i in range(400) if above[i : i + 11].all() and (i == 0 or not above[i - 1]))
    assert float(hitting.hit) == 2 * (expected + 1)
    assert hitting.decided("all")
    assert not hitting.decided("never")


def test_recovery_takes_more_samples_in_higher_dimensions_and_fewer_with_reuse(go):
    more = [
        "dataset=single_index",
        "dataset.d=[16,32]",
        "model.width=16",
        "model.bias=normal",
        "task.replicates=4",
        "seeds=[0,1,2]",
    ]
    more += ["task.samples=[40]", "task.samples_power=2.0", "task.stop=all", "task.ridge_samples=0"]
    reuse, online = (final(go(f"method={m}", *more)) for m in ("reuse_map", "online_sgd"))
    assert np.mean([m["hitting_slope"] for m in reuse]) < np.mean([m["hitting_slope"] for m in online])
    assert {(m["information_exponent"], m["generative_exponent"]) for m in reuse} == {(3, 1)}
    assert {m["theory_slope"] for m in reuse} == {1.0}
    assert {m["theory_slope"] for m in online} == {2.0}
    assert all(m["gradient_evaluations"] == 2 * m["samples"] for m in reuse)
    assert all(m["gradient_evaluations"] == m["samples"] for m in online)


def test_the_main_command_prints_overlap_and_test_error(program):
    done = program("method=reuse_sgd", "dataset=single_index", "dataset.d=256", "scale=smoke")
    assert done.returncode == 0, done.stderr
    assert "overlap_mean" in done.stdout
    assert "test_error" in done.stdout


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["method.batch_size=5"], "method.batch_size = 5: a divisor of 32"),
        (["task.iterations=[3]"], "only for a method of all samples at once"),
        (["task.samples=[]"], "a list of distinct numbers"),
        (["model.activation=link", "dataset=multi_index"], "only with a single-index target"),
        (["model.activation=polynomial", "dataset.link=relu"], "only with a polynomial of one direction"),
        (["model.width=4", "task.ridge_widths=[2,8]"], "up to model.width = 4"),
        (["dataset.link=hermite"], "needs a list"),
        (["dataset.d=1"], "above the number of directions"),
        (["task.grid={width: [1.0]}"], "task.grid.width"),
        (["method=smoothed_sgd", "dataset.link=relu", "model.activation=link"], "needs a polynomial link"),
        (["method=smoothed_sgd"], "set model.activation=link and model.bias=none"),
        (["method=same_batch_gd", "method.batch_size=8"], "steps are counted for batches of all samples"),
        (["method.fresh=false"], "needs batch_size = null"),
    ],
)
def test_one_line_errors(overrides, message, go):
    chosen = ["method=online_sgd", "dataset=single_index", "scale=smoke", *overrides]
    chosen += ["dataset.d=8"] if not any("dataset.d=" in o for o in overrides) else []
    with pytest.raises(UserError, match=message.replace("[", r"\[").replace(".", r"\.")):
        go(*chosen)


def test_divergence_is_a_result(go):
    """A step of 10^6 off the sphere overflows; the run ends as diverged."""
    more = ["method=egd", "method.lr=1e6", "dataset=single_index", "dataset.d=8", "scale=smoke", "model.bias=none"]
    (folder,) = go(*more, "task.samples=[200]")
    assert result_of(folder)["status"] == "diverged"


@pytest.mark.parametrize(
    ("method", "slope"),
    [
        ("smoothed_sgd", 1.5),
        ("smoothed_sgd method.smoothing=0.0", 2.0),
        ("reuse_map", 1.0),
        ("reuse_map method.inner_lr=0.0", 2.0),
        ("online_sgd", 2.0),
    ],
)
def test_a_method_that_a_setting_makes_online_sgd_has_its_exponent(method, slope, go):
    """He_3: k / 2 by smoothing, k* - 1 with k* = 1 but at least 1 by reuse, k - 1 by online SGD."""
    model = ["model.activation=link", "model.bias=none"]
    (last,) = final(go(*f"method={method}".split(), *QUICK, *model, "task.samples=[1]", "seeds=[0]"))
    assert last["theory_slope"] == slope
