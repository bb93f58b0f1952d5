"""The inference and curvature tasks through the real program: rates, envelopes, resume bit for bit, one-line errors."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from conftest import final, result_of, seed_folders, whole_and_resumed
from scipy.stats import linregress

from bench.errors import UserError
from bench.run.curve import read_metrics
from datasets.bayes.drawn import linear_regression
from methods.variational.ngvi import NGVI

QUICK = ["dataset=linear_regression", "dataset.n=300", "dataset.dim=4", "seeds=[0,1]"]


def test_the_rate_and_its_constant(go):
    """t KL(q || q*) of a calibration run made elsewhere: 269, 329 and 259 at t = 100, 1000 and 10,000 (8 seeds); slope -1."""
    seeds = f"seeds={list(range(16))}".replace(" ", "")
    folders = go("method=ngvi", "dataset=linear_regression", "task.reports=[100,316,1000,3162]", seeds)
    constants = [row["iterations"] * row["kl"] for folder in folders for row in read_metrics(folder)]
    assert np.mean(constants) == pytest.approx(np.mean([269, 329, 259]), rel=0.15)
    found = final(folders)
    assert np.mean([m["slope"] for m in found]) == pytest.approx(-1, abs=0.15)
    assert max(m["gap_error"] for m in found) < 1e-9
    assert {m["gradient_evaluations"] for m in found} == {3162 * 50}


def test_the_first_step_has_the_schedule_s_first_rate(go):
    """On all data of a conjugate model P and h move by the share gamma_t of what they lack of the posterior's: with
    1 / (2 (1 + t)) there are left (1 - 1/2) (1 - 1/4) (1 - 1/6) = 5/16 after three steps; with 2/(t+2) nothing after
    the first."""
    more = ["method=ngvi", *QUICK[:-1], "seeds=[0]", "task.estimator=exact", "task.batch_size=null"]
    (folder,) = go(*more, "method.lr=0.5", "method.decay=1.0", "task.reports=[3]")
    model, eye, left = linear_regression("", [0], n=300, dim=4), np.eye(4), 5 / 16
    x, y = model.x[0].numpy(), model.y[0].numpy()
    best, h = eye + x.T @ x, x.T @ y  # noise and prior of variance 1
    precision = left * eye + (1 - left) * best
    apart = np.linalg.solve(precision, (1 - left) * h) - np.linalg.solve(best, h)
    spread = np.linalg.solve(precision, best)
    expected = (np.trace(spread) - 4 + apart @ best @ apart - np.linalg.slogdet(spread)[1]) / 2
    assert final([folder])[0]["kl"] == pytest.approx(expected, rel=1e-9)
    (folder,) = go(*more, "task.reports=[1]")
    assert final([folder])[0]["kl"] < 1e-10


@pytest.mark.parametrize("dataset", ["linear_regression", "logistic_regression"])
def test_the_slope_is_that_of_the_divergence_from_q(dataset, go):
    """A least-squares line through log KL(q || q*) of the run's rows; that of the reverse divergence is another one."""
    folders = go("method=ngvi", *QUICK[1:], f"dataset={dataset}", "task.batch_size=20", "task.reports=[2,9,60]")
    for folder, metrics in zip(folders, final(folders)):
        rows = read_metrics(folder)
        slopes = {
            name: linregress(np.log([row["iterations"] for row in rows]), np.log([row[name] for row in rows])).slope
            for name in ("kl", "kl_reverse")
        }
        assert metrics["slope"] == pytest.approx(slopes["kl"], rel=1e-9)
        assert abs(slopes["kl"] - slopes["kl_reverse"]) > 0.01, "or this would tell nothing"


def test_a_grid_reports_the_best_setting_of_each_seed_at_each_time(go):
    rates, decays = [1e-4, 1e-3, 1e2], [0.0, 0.01]
    more = ["method=proximal_sgd", "task.reports=[20,200]", "task.batch_size=20", *QUICK]
    best = [read_metrics(f) for f in go(*more, f"task.grid={{lr: {json.dumps(rates)}, decay: {json.dumps(decays)}}}")]
    alone = {
        (lr, decay): [read_metrics(f) for f in go(*more, f"method.lr={lr}", f"method.decay={decay}")]
        for lr in rates[:2]
        for decay in decays
    }
    for seed in range(2):
        for row in range(2):
            chosen = min(alone, key=lambda setting: alone[setting][seed][row]["kl"])
            assert (best[seed][row]["chosen_lr"], best[seed][row]["chosen_decay"]) == chosen
            assert best[seed][row]["kl"] == pytest.approx(alone[chosen][seed][row]["kl"], rel=1e-9)


def test_each_seed_has_its_own_best_setting_of_the_grid(go):
    """Where seeds disagree on the best step size, none is given that of the others: its row is its smallest kl over all settings."""
    rates, seeds = [1e-3, 1.5e-3, 2e-3, 3e-3], 4
    more = ["method=proximal_sgd", "task.reports=[20,60]", "task.batch_size=20", *QUICK[:-1], "seeds=[0,1,2,3]"]
    best = [read_metrics(folder)[-1] for folder in go(*more, f"task.grid={{lr: {json.dumps(rates)}}}")]
    alone = {lr: [read_metrics(f)[-1]["kl"] for f in go(*more, f"method.lr={lr}")] for lr in rates}
    chosen = [min(rates, key=lambda lr: alone[lr][seed]) for seed in range(seeds)]
    assert len(set(chosen)) > 1, "or this would tell nothing"
    assert [row["chosen_lr"] for row in best] == chosen
    assert [row["kl"] for row in best] == pytest.approx([alone[lr][k] for k, lr in enumerate(chosen)], rel=1e-9)


@pytest.mark.parametrize("method", ["ngvi", "adam_vi"])
def test_a_stopped_run_goes_on_bit_for_bit(method, job, tmp_path):
    more = ["task.estimator=gradient", "task.reports=[100,260]", "hardware=cpu"]
    whole, resumed = whole_and_resumed(job(f"method={method}", *QUICK, *more), tmp_path, 137)
    assert resumed == whole


def test_seeds_do_not_depend_on_their_company(go):
    more = [
        "method=ngvi",
        "dataset=logistic_regression",
        "dataset.n=100",
        "task.reports=[50]",
        "task.estimator=monte_carlo",
    ]
    together, alone = final(go(*more, "seeds=[0,1,2]", root="a")), final(go(*more, "seeds=[1]", root="b"))
    assert alone[0]["kl"] == pytest.approx(together[1]["kl"], rel=1e-9)


def test_divergence_is_a_result(go):
    folders = go("method=proximal_sgd", "method.lr=10.0", "method.decay=0.0", *QUICK, "task.reports=[10,400]")
    assert {result_of(folder)["status"] for folder in folders} == {"diverged"}


def test_the_real_program_runs_an_experiment_and_says_what_is_wrong_in_one_line(program, tmp_path):
    done = program("experiment=ngvi/conjugate_rate", "method=ngvi", "dataset.condition=10.0", "scale=smoke")
    assert done.returncode == 0, done.stderr
    assert "job 1 of 1: ngvi on linear_regression" in done.stdout
    assert len(seed_folders(tmp_path)) == 2
    done = program("method=ngvi", "dataset=energy", "data_root=/nowhere")
    assert done.returncode == 2
    assert done.stderr.startswith("error: data set 'energy' not found: put data.txt from ")
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["method=ngvi", "dataset=logistic_regression", "task.estimator=exact"],
            "task.estimator = 'exact': a Bernoulli",
        ),
        (["method=ngvi", "dataset=linear_regression", "task.reports=[10,10]"], "task.reports = [10, 10]"),
        (["method=ngvi", "dataset=linear_regression", "dataset.condition=0.1"], "dataset.condition = 0.1"),
        (
            ["method=ngvi", "dataset=linear_regression", "task.grid={floor: [1.0]}"],
            "task.grid.floor: not a real-valued key",
        ),
        (["method=ngvi", "dataset=linear_regression", "method.lr=-1.0"], "method.lr = -1.0"),
        (["method=ssvr", "dataset=linear_regression"], "is a Bayesian model"),
        (["method=expectation", "dataset=linear_regression"], "is a parameterisation"),
        (["method=adam_vi", "method.beta1=1.0", "dataset=diabetes"], "method.beta1 = 1.0"),
        (["method=ngvi", "dataset=breast_cancer", "dataset.components=99"], "dataset: components = 99"),
        (["method=expectation", "dataset=repeated_datum", "task.points=[[0.0,-1.0]]"], "v > 0"),
        (["method=expectation", "dataset=repeated_datum", "task.means=[0.0]"], "task.means = [0.0]"),
    ],
)
def test_wrong_input_is_one_line(arguments, line, go):
    with pytest.raises(UserError) as error:
        go(*arguments)
    assert line in str(error.value)
    assert "\n" not in str(error.value)


EIGENVALUES = {  # logistic, prior N(0, 100): by finite differences, made elsewhere
    ("expectation", 10): (2.0, 3.0, -0.0099, 2.685),
    ("expectation", 100): (2.0, 1.0, -0.245, 39.25),
    ("mean_scale", 10): (2.0, 3.0, 0.548, 1.958),
    ("mean_scale", 100): (2.0, 1.0, 6.03, 19.03),
}


@pytest.mark.parametrize(("method", "copies"), EIGENVALUES)
def test_curvature_certificates(method, copies, go):
    (folder,) = go(f"method={method}", "dataset=repeated_datum", f"dataset.copies={copies}", "task.counts=[21,18]")
    m, v, low, high = EIGENVALUES[method, copies]
    rows = read_metrics(folder)
    (row,) = [r for r in rows if "low_eigenvalue" in r and (r["m"], r["v"]) == (m, v)]
    assert row["low_eigenvalue"] == pytest.approx(low, rel=2e-3)
    assert row["high_eigenvalue"] == pytest.approx(high, rel=2e-3)
    found = result_of(folder)["metrics"]
    assert found["closed_form_error"] < 1e-8
    assert (found["share_nonconvex"] > 0) == (method == "expectation")
    assert len([r for r in rows if "relative_curvature" in r]) == 11 * 9


@pytest.mark.parametrize("likelihood", ["normal", "poisson"])
def test_curvature_of_the_controls(likelihood, go):
    """Quadratic f: the objective is exactly 1-strongly convex relative to A*, everywhere. Poisson: f''' is not 0, so it is not convex."""
    (folder,) = go(
        "method=expectation",
        "dataset=repeated_datum",
        f"dataset.likelihood={likelihood}",
        "dataset.copies=50",
        "task.counts=[9,8]",
    )
    relative = [r["relative_curvature"] for r in read_metrics(folder) if "relative_curvature" in r]
    if likelihood == "normal":
        assert relative == pytest.approx([1.0] * len(relative))
        assert result_of(folder)["metrics"]["share_nonconvex"] == 0
    else:
        assert min(relative) == -1


def test_one_lost_step_is_enough_for_a_seed_to_have_lost_positive_definiteness(go, monkeypatch):
    update = NGVI.update

    def losing(self, t, g, hessian):
        lost = torch.zeros_like(update(self, t, g, hessian))
        lost[:, 1] = t == 3
        lost[:, 2] = t in (3, 5)
        return lost

    monkeypatch.setattr(NGVI, "update", losing)
    found = final(go("method=ngvi", *QUICK[:-1], "task.reports=[10]", "seeds=[0,1,2]"))
    assert [(m["lost_pd_steps"], m["lost_pd"]) for m in found] == [(0, 0.0), (1, 1.0), (2, 1.0)]
