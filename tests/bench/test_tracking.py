"""Real wandb runs, offline: what they hold is read back with wandb's own tool."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import clean_env, seed_folders

RUN = ["method=signsgd", "dataset=digits", "scale=smoke", "task.epochs=2", "hardware=cpu"]


def inspect(folder: Path) -> dict:
    """Summary of an offline run, through `wandb leet inspect`."""
    wandb = Path(sys.executable).with_name("wandb")
    done = subprocess.run(
        [wandb, "leet", "inspect", "--summary", "--json", str(folder)],
        capture_output=True,
        text=True,
        env=clean_env(),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


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
    text = json.dumps(inspect(next(run for run in runs if run.name.endswith("s0-a1"))))
    assert f"{result['metrics']['test_accuracy']:.6f}"[:8] in text
    raw = b"".join(path.read_bytes() for run in runs for path in run.rglob("*.wandb"))
    assert b"classification" in raw, "the config is in the run"
    assert len(platform.node()) < 5 or platform.node().encode() not in raw


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
