"""The plan says of each run what is on disk, composes as Hydra does, and estimates what is left."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time

import forks
import pytest
from conftest import QUIET, ROOT, clean_env, copy_project, crashing_program, edit_result, result_of, seed_folders
from made import run

from bench.errors import UserError
from bench.judge import timing
from bench.judge.cost import cost, elsewhere, longest_first
from bench.judge.plan import counts, experiments, jobs, plan
from bench.judge.timing import time_missing
from bench.report.terminal import plan_table
from bench.run.locks import locked

NAME = "ssvr/identity_signsgd"


@pytest.fixture
def states(tmp_path):
    """The states of an experiment's runs: states("ssvr/digits", "seeds=[0]")."""

    def found(name: str = NAME, *overrides: str) -> list[str]:
        return [r.state for r in plan([name], "smoke", [f"results_root={tmp_path / 'results'}", *QUIET, *overrides])]

    return found


def test_missing_done_stale_and_running(program, tmp_path, states):
    seeds = ["seeds=[0,1]"]
    assert states(NAME, *seeds) == ["missing"] * 4
    program(f"experiment={NAME}", "scale=smoke", "verbose=false", *seeds)
    assert states(NAME, *seeds) == ["done"] * 4
    assert states(NAME, "seeds=[0,1,2]").count("missing") == 2
    first = seed_folders(tmp_path)[0]
    code = result_of(first)["code"]
    edit_result(first, code="0" * 12)
    assert sorted(states(NAME, *seeds)) == ["done"] * 3 + ["stale"]
    edit_result(first, code=code, status="diverged")
    assert sorted(states(NAME, *seeds)) == ["diverged", *["done"] * 3]
    (first / "result.json").unlink()
    with locked(first.parent, [0], print):
        assert states(NAME, *seeds).count("running") == 1
    assert states(NAME, *seeds).count("missing") == 1


def test_failed_and_unfinished(tmp_path, states):
    crashing_program("method=signsgd", "dataset=digits", "scale=smoke", *QUIET, f"results_root={tmp_path / 'results'}")
    assert states("ssvr/digits", "seeds=[0]").count("failed") == 1
    long = ["experiment=ssvr/digits", "scale=smoke", "seeds=[0]", "task.epochs=500"]
    with forks.Process([*long, *QUIET, f"results_root={tmp_path / 'results'}"], clean_env()) as run:
        while not any(f.stat().st_size for f in tmp_path.rglob("metrics.jsonl")) and run.poll() is None:
            time.sleep(0.1)  # the crashed run's curve is empty
        run.send_signal(signal.SIGTERM)
        assert run.wait() == 143
    assert states("ssvr/digits", "seeds=[0]", "task.epochs=500").count("unfinished") == 1


def test_costs_come_from_siblings_or_from_timed_steps(program, tmp_path):
    root = tmp_path / "results"
    overrides = [f"results_root={root}", *QUIET, "seeds=[0,1]"]
    assert cost(plan([NAME], "smoke", overrides)).left is None
    told = {f"{NAME}@smoke": {"signsgd": [1.0], "ssvr": [1.0]}}
    assert time_missing(root, plan([NAME], "smoke", overrides), told, pytest.fail) == {}, "the archive tells"
    timed = time_missing(root, plan([NAME], "smoke", overrides), {}, lambda line: None, seconds=0.01)
    assert len(timed) == 2
    estimate = cost(plan([NAME], "smoke", overrides), timed)
    assert estimate.spent == 0
    assert "--time runs a few steps" in plan_table(plan([NAME], "smoke", overrides), {}, {}).caption
    assert "--time" not in plan_table(plan([NAME], "smoke", overrides), timed, {}).caption
    assert estimate.left > 0
    assert not list(root.rglob("result.json"))
    program(f"experiment={NAME}", "scale=smoke", "verbose=false", "seeds=[0]")
    half = plan([NAME], "smoke", overrides)
    assert counts(half)["done"] == 2
    assert cost(half).left == pytest.approx(cost(half).spent), "two of four runs are left"


def test_what_cannot_run_here_is_not_timed_and_the_rest_is(tmp_path, monkeypatch):
    """A data set that is not to be had costs a line, not the plan."""

    def steps(job, seconds):
        if job.names["method"] == "ssvr":
            raise UserError("data set 'x' not found")
        return 2.0

    monkeypatch.setattr(timing, "time_steps", steps)
    said, asked = [], plan([NAME], "smoke", [f"results_root={tmp_path}", *QUIET])
    timed = time_missing(tmp_path, asked, {}, said.append)
    assert set(timed.values()) == {2.0}
    assert {r.job.names["method"] for r in asked if r.job.key in timed} == {r.job.names["method"] for r in asked} - {
        "ssvr"
    }
    assert "not timed: data set 'x' not found" in said


def test_costs_come_from_the_archive_at_this_machine_s_speed():
    names = ["ssvr/identity_signsgd", "ssvr/rate_stochastic"]
    missing = plan(names, "smoke", ["results_root=nowhere"])
    first = [r for r in missing if r.experiment == names[0]]
    known = [
        run("ssvr", 0, {}, experiments=(f"{names[0]}@smoke",), seconds=3.0, speed=20.0),
        run("signsgd", 0, {}, experiments=(f"{names[0]}@smoke",), seconds=1.0),
        run("signsgd", 1, None, experiments=(f"{names[0]}@smoke",)),
    ]
    seeds = len(first[0].job.settings.seeds)
    assert cost(first, {}, elsewhere(known, 10.0)).left == pytest.approx(seeds * (3.0 * 2 + 1.0)), "half as fast here"
    other = [r for r in missing if r.experiment == names[1]]
    assert cost(other, {}, elsewhere(known, 10.0)).left is None, "nothing is known of another experiment"


def test_the_longest_experiment_comes_first_and_before_it_one_of_which_nothing_is_known():
    names = ["ssvr/identity_signsgd", "ssvr/rate_stochastic", "ssvr/digits"]
    missing = plan(names, "smoke", ["results_root=nowhere"])
    told = {f"{names[0]}@smoke": {"signsgd": [1.0], "ssvr": [1.0]}}
    told[f"{names[1]}@smoke"] = {r.job.names["method"]: [100.0] for r in missing}
    ordered = longest_first(missing, {}, told)
    assert list(dict.fromkeys(r.experiment for r in ordered)) == [names[2], names[1], names[0]]
    assert sorted(map(id, ordered)) == sorted(map(id, missing))


def test_compositions_are_remembered_until_a_config_changes(tmp_path):
    """In a project of its own: the second process composes nothing; an edited config is composed anew."""
    copy_project(tmp_path)
    code = (
        "import sys; sys.path.insert(0, '.')\n"
        "from bench.run import sweep; from bench.judge.plan import jobs\n"
        "composed, compose = [], sweep._composed\n"
        "sweep._composed = lambda *a, **k: composed.append(a) or compose(*a, **k)\n"
        f"made = jobs('{NAME}', 'smoke', ['results_root=here'])\n"
        "print(len(composed) > 0, 'torch' in sys.modules, made[0].key, made[0].settings.seeds, made[0].folder)"
    )

    def asked() -> list[str]:
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout.split(maxsplit=2)

    first, second = asked(), asked()
    assert (first[:2], second[:2]) == (["True", "False"], ["False", "False"])
    assert first[2] == second[2]
    assert "here/runs/finite_sum" in first[2]
    path = tmp_path / f"conf/experiment/{NAME}.yaml"
    path.write_text(re.sub("(?m)^seeds: .*$", "seeds: [7, 0]", path.read_text()))
    again = asked()
    assert again[0] == "True"
    assert "[7, 0]" in again[2]
    damaged = next((tmp_path / "results/.cache/jobs").rglob("*.json"))
    damaged.write_text(damaged.read_text()[:50])
    assert asked()[0] == "True"


def test_bad_input_is_one_line():
    with pytest.raises(UserError, match="horizons"):
        jobs(NAME, "smoke", ("task.horizons=[0]",))
    with pytest.raises(UserError, match="scale"):
        jobs(NAME, "smole")
    assert experiments("nobody") == []
    assert jobs(NAME, "smoke", ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")) == jobs(NAME, "smoke")


def test_make_plan_prints_each_scale(tmp_path):
    def planned(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [ROOT / "scripts/reproduce_all.py", "--dry-run", f"results_root={tmp_path}", *arguments]
        return forks.python(command, clean_env())

    both = planned("--paper", "ssvr")
    assert both.returncode == 0, both.stderr
    assert {line.strip("│ ").split()[0] for line in both.stdout.splitlines() if "ssvr/" in line} == {"mini", "paper"}
    one = planned("--paper", "ssvr", "--scale", "paper").stdout
    assert "mini" not in one
    wrong = planned("--scale", "papr")
    assert (wrong.returncode, wrong.stderr) == (
        2,
        "error: --scale papr: allowed: mini, paper, smoke; did you mean 'paper'?\n",
    )
    wrong = planned("--paper", "ssrv")
    assert wrong.returncode == 2
    assert "did you mean 'ssvr'" in wrong.stderr
    wrong = planned("--paper", "ssvr", "hardwre=cpu")
    assert wrong.returncode == 2
    assert len(wrong.stderr.splitlines()) == 1
