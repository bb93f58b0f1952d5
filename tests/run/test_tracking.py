"""Real wandb runs, offline: what they hold is read back with wandb's own tool."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import forks
import pytest
from conftest import clean_env, crashing_program, seed_folders

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
    epochs = 150
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
