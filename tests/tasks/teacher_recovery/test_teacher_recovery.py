"""The recovery task through the runner: optimality, batches, resume bit for bit, rows for figures, one-line errors."""

from __future__ import annotations

import json

import pytest
from conftest import final, result_of, whole_and_resumed

from bench.errors import UserError
from bench.run.curve import read_metrics

DATA = "dataset=teacher_student"
SMALL = [DATA, "dataset.dim=5", "task.width=8"]


def test_a_fixed_decay_ends_at_the_optimum(go):
    more = ["method=regularised_gd_fixed", "method.lam=3e-3", "method.lr=1.0", "task.steps=4000", "seeds=[0,1,2]"]
    for found in final(go(*SMALL, *more)):
        assert found["max_certificate"] == pytest.approx(1, abs=1e-3)
        assert 0.99 <= found["min_teacher_certificate"] <= 1 + 1e-9
        assert found["constant_ratio"] == pytest.approx(1, abs=0.2)
        assert found["far_mass"] < 1e-3
        assert found["total_mass"] < 3
        assert found["regularised_time"] == pytest.approx(12)
        assert found["gradient_evaluations"] == 4002


def test_decay_finds_what_its_absence_misses(go):
    more = ["task.steps=3000", "seeds=[0,1]", "task.width=20", DATA, "method.lr=1.0"]
    decay = final(go("method=regularised_gd", "method.lam=6e-3", *more))
    none = final(go("method=unregularised_gd", *more))
    assert max(m["far_mass"] for m in decay) < 0.02 < 0.2 < min(m["far_mass"] for m in none)
    assert max(m["loss"] for m in [*decay, *none]) < 1e-5
    assert "max_certificate" not in none[0]


def test_the_loss_is_held_against_the_decay_of_the_last_step(go):
    """Ten steps over which lam = 0.008 halves five times: the last has lam 2^-4.5; the regularised time is lr lam (1 + 2^-0.5 + ... + 2^-4.5)."""
    more = ["method=regularised_gd", "method.lam=8e-3", "method.halvings=5", "method.floor=0", "method.lr=0.5"]
    (found,) = final(go(*SMALL, *more, "task.steps=10", "seeds=[0]"))
    assert found["loss"] / found["loss_over_lam2"] == pytest.approx((8e-3 * 2**-4.5) ** 2)
    assert found["regularised_time"] == pytest.approx(0.5 * 8e-3 * sum(2 ** (-t / 2) for t in range(10)))


def test_one_step_features_against_random_ones(go):
    random, step = (
        final(go(f"method={name}", DATA, "dataset.dim=30"))[0] for name in ("random_features", "one_step_features")
    )
    assert step["loss"] < random["loss"] / 5
    assert step["subspace_share"] > 0.95 > 0.4 > step["subspace_share_start"] == random["subspace_share"]
    assert (random["iterations"], random["gradient_evaluations"], step["gradient_evaluations"]) == (0, 1, 2)


@pytest.mark.parametrize("method", ["regularised_gd", "regularised_sgd"])
def test_seeds_and_settings_do_not_depend_on_their_company(method, go):
    small = ["method.first_samples=500", "method.batch_size=20"] if method == "regularised_sgd" else []
    more = [f"method={method}", *SMALL, *small, "task.steps=100"]
    lams = [1e-3, 4e-3]
    together = go(*more, "seeds=[0,1,2]", f"task.grid={{lam: {json.dumps(lams)}, lr: [0.3]}}", root="a")
    rows = [row for row in read_metrics(together[1]) if "lam" in row]
    assert [row["lam"] for row in rows] == lams
    for row, lam in zip(rows, lams):
        alone = final(go(*more, "seeds=[1]", f"method.lam={lam}", "method.lr=0.3", root="b"))[0]
        for name in ("loss", "far_mass", "balance", "total_mass", "max_certificate", "features_loss"):
            assert row[name] == pytest.approx(alone[name], rel=1e-6), name
    assert final(together)[1]["loss"] == rows[0]["loss"], "the final metrics are the first setting's"


@pytest.mark.parametrize("method", ["regularised_gd", "regularised_sgd"])
def test_a_stopped_run_goes_on_bit_for_bit(method, job, tmp_path):
    small = ["method.first_samples=500", "method.batch_size=20"] if method == "regularised_sgd" else []
    more = ["task.steps=150", "task.drawn_seed=1", "task.circle_points=4", "hardware=cpu"]
    made = job(f"method={method}", *SMALL, *small, *more, "seeds=[0,1]")
    whole, resumed = whole_and_resumed(made, tmp_path, 77)
    assert resumed == whole


def test_rows_for_figures_are_of_one_seed_and_few(go):
    more = ["task.steps=30", "task.points=5", "task.drawn_seed=1", "task.circle_points=6", "seeds=[0,1]"]
    first, second = (read_metrics(folder) for folder in go("method=regularised_gd", *SMALL, *more))
    assert [row["iterations"] for row in first] == [2, 4, 8, 15, 30]
    neurons = [row for row in second if "signed_mass" in row]
    assert [row["stage"] for row in neurons] == [stage for stage in range(4) for _ in range(8)]
    assert all(row["x"] ** 2 + row["y"] ** 2 <= 1 + 1e-3 for row in neurons)
    marks = [row for row in second if "teacher_weight" in row]
    assert (marks[0]["x"], marks[0]["y"]) == (1, 0)
    assert marks[1]["x"] ** 2 + marks[1]["y"] ** 2 == pytest.approx(1, abs=1e-3)
    assert [row["angle"] for row in second if "angle" in row] == [0, 30, 60, 90, 120, 150]
    assert len(second) == len(first) + 4 * (8 + 3) + 6


def test_divergence_is_a_result(go):
    folders = go("method=regularised_gd", "method.lr=1000.0", *SMALL, "task.steps=100", "seeds=[0,1]")
    assert {result_of(folder)["status"] for folder in folders} == {"diverged"}


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["dataset.neurons=11"], "dataset: neurons = 11: at most dim = 10"),
        (["dataset.neurons=1"], "dataset.neurons = 1: recovery is measured against two"),
        (["dataset.signs=[1,-1]"], "dataset: signs = [1, -1]: one for each of 3"),
        (["dataset.signs=[1,0,1]"], "dataset.signs"),
        (["dataset.max_cosine=1.5"], "dataset.max_cosine = 1.5"),
        (["task.steps=0"], "task.steps = 0"),
        (["task.grid={lambda: [0.1]}"], "task.grid.lambda: not a real-valued key"),
        (["task.grid={lr: []}"], "task.grid.lr = []"),
        (["method.features=kernel"], "method.features = 'kernel'"),
        (["method.lam=-0.1"], "method.lam = -0.1"),
        (["method=ngvi"], "is a two-layer teacher"),
    ],
)
def test_wrong_input_is_one_line(arguments, line, go):
    with pytest.raises(UserError) as error:
        go("method=regularised_gd", DATA, *arguments)
    assert line in str(error.value)
    assert "\n" not in str(error.value)


def test_the_program_exits_with_2(program):
    done = program("method=regularised_gd", DATA, "dataset.neurons=11")
    assert done.returncode == 2
    assert done.stderr.strip() == "error: dataset: neurons = 11: at most dim = 10 directions are independent"
