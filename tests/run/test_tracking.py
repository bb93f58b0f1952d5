"""Real wandb runs, offline: what they hold is read back with wandb's own tool."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import forks
import pytest
from conftest import clean_env, crashing_program, seed_folders

from bench.run.tracking import _id, _tidy

RUN = ["method=signsgd", "dataset=digits", "scale=smoke", "task.epochs=2", "hardware=cpu", "hardware.threads=1"]


def inspect(folder: Path, *options: str) -> str:
    """JSON of an offline run, through `wandb leet inspect`."""
    wandb = Path(sys.executable).with_name("wandb")
    command = [wandb, "leet", "inspect", *options, "--json", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, env=clean_env(), check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def summary(folder: Path) -> dict:
    """State, config and latest metrics of an offline run."""
    return json.loads(inspect(folder, "--summary"))


def records(folder: Path, kind: str) -> list[dict]:
    """The records of one kind (run, history, ...) of an offline run."""
    return [row[kind] for row in map(json.loads, inspect(folder).splitlines()) if row["type"] == kind]


def offline_runs(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "results" / "wandb").glob("offline-run-*"))


def test_an_offline_run_mirrors_the_numbers(program, tmp_path):
    done = program(*RUN, "seeds=[0,1]", quiet=False)
    assert done.returncode == 0, done.stderr
    runs = offline_runs(tmp_path)
    assert len(runs) == 2
    folder = seed_folders(tmp_path)[0]
    result = json.loads((folder / "result.json").read_text())
    assert any(run.name.endswith(f"{folder.parent.name}-s0-a1") for run in runs)
    mirrored = summary(next(run for run in runs if run.name.endswith("s0-a1")))
    for name, value in result["metrics"].items():
        assert mirrored["summary"][name] == pytest.approx(value)
    assert mirrored["config"]["method"]["_target_"] == "methods.sign.signsgd.SignSGD"
    assert (mirrored["exit_code"], mirrored["state"], mirrored["console"]) == (0, "finished", [])
    (about,) = records(runs[0], "run")
    assert (about["run_group"], about["job_type"]) == ("signsgd-digits", "smoke")
    assert any(row.get("step_metric") == "step" for row in records(runs[0], "metric"))
    raw = b"".join(path.read_bytes() for run in runs for path in run.rglob("*.wandb"))
    assert about["host"] == "-"
    assert str(Path.home()).encode() not in raw


def test_a_run_is_named_in_plain_words(program, tmp_path):
    """wandb groups by plain strings at the top of the config; the nested parts keep their names."""
    assert program(*RUN, "seeds=[3]", quiet=False).returncode == 0
    (folder,) = offline_runs(tmp_path)
    (about,) = records(folder, "run")
    config = about["config"]["update"]
    names = {key: config[key] for key in config if key.endswith("_name")}
    assert names == {
        "task_name": "classification",
        "method_name": "signsgd",
        "dataset_name": "digits",
        "model_name": "mlp",
        "schedule_name": "constant",
    }
    assert (config["scale"], config["experiment"], config["seed"]) == ("smoke", None, 3)
    assert (config["task"]["epochs"], config["dataset"]["_target_"]) == (2, "datasets.images.digits.digits")
    assert about["display_name"] == "signsgd-digits-s3"


def test_a_sweep_s_runs_are_named_by_what_was_swept(program, tmp_path):
    assert program("hydra.mode=MULTIRUN", *RUN, "method.lr=1e-3,1e-2", quiet=False).returncode == 0
    names = {records(folder, "run")[0]["display_name"] for folder in offline_runs(tmp_path)}
    assert names == {"signsgd digits lr=0.001 s0", "signsgd digits lr=0.01 s0"}


def test_an_experiment_s_runs_are_grouped_by_it(program, tmp_path):
    small = ["experiment=ssvr/digits", "method=signsgd", "scale=smoke", "seeds=[0]", "hardware=cpu"]
    assert program(*small, "hardware.threads=1", quiet=False).returncode == 0
    (folder,) = offline_runs(tmp_path)
    (about,) = records(folder, "run")
    assert (about["run_group"], about["config"]["update"]["experiment"]) == ("ssvr/digits", "ssvr/digits")
    assert about["display_name"] == "signsgd-digits-s0"


def test_a_crashed_run_is_marked_failed(tmp_path):
    done = crashing_program(*RUN, f"results_root={tmp_path / 'results'}")
    assert done.returncode == 1
    (folder,) = offline_runs(tmp_path)
    assert (summary(folder)["exit_code"], summary(folder)["state"]) == (1, "failed")


def test_a_resumed_run_holds_the_whole_curve(tmp_path):
    epochs = 60
    long = [*RUN, f"task.epochs={epochs}", f"results_root={tmp_path / 'results'}", "checkpoint_every=0.1"]
    with forks.Process(long, clean_env()) as first:
        while first.poll() is None and not any(f.stat().st_size for f in tmp_path.rglob("metrics.jsonl")):
            time.sleep(0.01)
        first.send_signal(signal.SIGTERM)
        assert first.wait() == 143
    assert forks.run(long, clean_env()).returncode == 0
    stopped, whole = offline_runs(tmp_path)
    assert (stopped.name[-3:], whole.name[-3:]) == ("-a1", "-a2")
    assert summary(stopped)["exit_code"] == 1
    assert [row["item"]["epoch"] for row in records(whole, "history")] == list(range(1, epochs + 1))


def test_deleting_the_wandb_folder_loses_nothing(program, tmp_path):
    program(*RUN, quiet=False)
    before = (seed_folders(tmp_path)[0] / "result.json").read_bytes()
    shutil.rmtree(tmp_path / "results" / "wandb")
    assert program(*RUN, quiet=False).returncode == 0
    assert (seed_folders(tmp_path)[0] / "result.json").read_bytes() == before


def test_online_without_a_login_warns_and_goes_on_offline(program, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    done = program(*RUN, "tracker.mode=online", quiet=False, env={"HOME": str(home), "NETRC": str(home / "netrc")})
    assert done.returncode == 0, done.stderr
    assert "warning: wandb online could not start" in done.stderr
    assert "going on offline" in done.stderr
    assert len(offline_runs(tmp_path)) == 1
    assert (seed_folders(tmp_path)[0] / "result.json").exists()


@pytest.mark.parametrize("variable", ["WANDB_RUN_ID", "WANDB_SERVICE"])
def test_another_process_s_wandb_run_does_not_capture_ours(variable, program, tmp_path):
    done = program(*RUN, quiet=False, env={variable: "somebody-else"})
    assert done.returncode == 0
    assert [run.name.endswith("-s0-a1") for run in offline_runs(tmp_path)] == [True]


@pytest.mark.parametrize(
    "env", [{"WANDB_MODE": "disabled"}, {"WANDB_DISABLED": "true"}, {"WANDB_DISABLED": "1", "WANDB_MODE": "offline"}]
)
def test_wandb_is_off_where_its_environment_says_so(env, program, tmp_path):
    assert program(*RUN, quiet=False, env=env).returncode == 0
    assert not (tmp_path / "results" / "wandb").exists()
    assert program(*RUN, "seeds=[1]", "tracker.mode=offline", quiet=False, env=env).returncode == 0
    assert len(offline_runs(tmp_path)) == 1, "what is typed comes before the environment"


def test_the_environment_names_folder_and_project(program, tmp_path):
    env = {
        "WANDB_DIR": str(tmp_path / "else/where"),
        "WANDB_PROJECT": "mine",
        "WANDB_ENTITY": "us",
        "WANDB_SILENT": "false",
    }
    assert program(*RUN, quiet=False, env=env).returncode == 0
    assert not (tmp_path / "results" / "wandb").exists()
    (folder,) = (tmp_path / "else/where/wandb").glob("offline-run-*")
    assert [(r["project"], r["entity"]) for r in records(folder, "run")] == [("mine", "us")]
    assert program(*RUN, "seeds=[1]", "tracker.project=typed", quiet=False, env=env).returncode == 0
    projects = {r["project"] for f in (tmp_path / "else/where/wandb").glob("offline-run-*") for r in records(f, "run")}
    assert projects == {"mine", "typed"}


def test_online_by_the_environment_goes_on_offline_and_leaves_no_empty_folder(program, tmp_path):
    env = {"HOME": str(tmp_path), "NETRC": str(tmp_path / "netrc"), "WANDB_MODE": "online"}
    done = program(*RUN, quiet=False, env=env)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("warning: wandb online could not start") == 1
    assert [path.name for path in (tmp_path / "results/wandb").iterdir() if path.name.startswith("run-")] == []
    assert len(offline_runs(tmp_path)) == 1


def test_what_a_start_that_failed_left_behind_is_removed(tmp_path):
    folder = tmp_path / "wandb"
    for name in ("run-1-mine", "run-1-other"):
        (folder / name / "logs").mkdir(parents=True)
    (folder / "latest-run").symlink_to("run-1-mine")
    _tidy(folder, {folder / "run-1-other"}, "-mine")
    assert [path.name for path in folder.iterdir()] == ["run-1-other"]


def test_an_unknown_mode_of_the_environment_is_one_line(program, tmp_path):
    done = program(*RUN, quiet=False, env={"WANDB_MODE": "ofline"})
    assert done.returncode == 0
    assert "warning: WANDB_MODE = 'ofline': allowed: " in done.stderr
    assert "did you mean 'offline'?; going on offline" in done.stderr
    assert len(offline_runs(tmp_path)) == 1


@pytest.mark.parametrize("name", ["mine/ssvr-digits", "a:b;c,d#e?f'g", "x" * 300, "é ü"])
def test_an_id_has_wandb_s_characters_and_length(name):
    made = _id(name, "-0123456789ab-s3-a1")
    assert re.fullmatch(r"[A-Za-z0-9_.-]{1,128}", made)
    assert made.endswith("-0123456789ab-s3-a1")
