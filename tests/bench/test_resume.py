"""Kill and resume with real processes: the result of an interrupted run equals that of an uninterrupted one, bit for bit."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import QUIET, ROOT, clean_env, result_of

RUNS = {
    "ssvr": [
        "method=ssvr",
        "dataset=digits",
        "model=small_cnn",
        "task.epochs=6",
        "task.batch_size=32",
        "schedule=cosine",
    ],
    "ssvr_fs": [
        "method=ssvr_fs",
        "dataset=digits",
        "model=resnet8",
        "dataset.train_size=320",
        "task.epochs=3",
        "task.batch_size=32",
    ],
    "finite_sum": ["method=ssvr_fs", "dataset=least_squares", "seeds=[0,1]", "task.horizons=[500,3000]"],
}


def start(results: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        str(ROOT / "run.py"),
        f"results_root={results}",
        *QUIET,
        "checkpoint_every=0.0",
        *arguments,
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=clean_env())


def lasting(folder: Path) -> dict:
    """result.json and the curve without what is measured by a clock."""
    result = result_of(folder)
    result.pop("measured")
    return {"result": result, "curve": (folder / "metrics.jsonl").read_bytes()}


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not path.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)


def folders(results: Path) -> list[Path]:
    return sorted((results / "runs").glob("*/*/seed*"))


@pytest.mark.parametrize("name", RUNS)
def test_sigkill_at_any_moment_then_resume_is_bit_for_bit(name, tmp_path):
    whole = start(tmp_path / "whole", *RUNS[name])
    assert whole.wait(120) == 0, whole.stderr.read()
    chance, kills = random.Random(0), 0
    for _ in range(12):
        process = start(tmp_path / "killed", *RUNS[name])
        found = folders(tmp_path / "killed")
        before = (
            (found[0] / "checkpoint.pt").stat().st_mtime_ns if found and (found[0] / "checkpoint.pt").exists() else 0
        )
        while process.poll() is None:  # until this attempt has written a checkpoint of its own
            found = folders(tmp_path / "killed")
            path = found[0] / "checkpoint.pt" if found else None
            if path and path.exists() and path.stat().st_mtime_ns > before:
                time.sleep(chance.uniform(0, 0.4))
                break
            time.sleep(0.005)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
        if kills == 3:
            break
    last = start(tmp_path / "killed", *RUNS[name])
    _, errors = last.communicate(timeout=120)
    assert last.returncode == 0, errors
    assert kills >= 1
    pairs = list(zip(folders(tmp_path / "whole"), folders(tmp_path / "killed")))
    assert pairs
    for expected, found in pairs:
        assert lasting(found) == lasting(expected)
        assert result_of(found)["measured"]["attempt"] > 1
        assert not (found / "checkpoint.pt").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stop_checkpoints_and_exits(number, code, tmp_path):
    arguments = [
        "method=signsgd",
        "dataset=digits",
        "task.epochs=2000",
        "task.evaluate_every=2000",
        "checkpoint_every=1000.0",
    ]
    process = start(tmp_path, *arguments)
    wait_for_metrics = time.monotonic() + 60
    while time.monotonic() < wait_for_metrics and not any(f.stat().st_size for f in tmp_path.rglob("metrics.jsonl")):
        time.sleep(0.02)
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == code
    assert "run the same command again to go on" in errors
    folder = folders(tmp_path)[0]
    assert (folder / "checkpoint.pt").exists()
    assert not (folder / "result.json").exists()
    again = start(tmp_path, *arguments)
    time.sleep(0.1)
    for line in again.stderr:
        if "resuming" in line:
            break
    else:
        pytest.fail("the second run did not resume")
    again.kill()
    again.wait()


def test_two_processes_on_one_key_compute_it_once(tmp_path):
    arguments = ["method=signsgd", "dataset=digits", "task.epochs=20"]
    first = start(tmp_path, *arguments)
    second = start(tmp_path, *arguments)
    outputs = [process.communicate(timeout=120) for process in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0]
    assert sum("waiting for it" in errors for _, errors in outputs) == 1
    folder = folders(tmp_path)[0]
    assert json.loads((folder / "env.json").read_text())["attempt"] == 1
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == 20


def test_the_lock_of_a_killed_process_is_free(tmp_path):
    arguments = ["method=signsgd", "dataset=digits", "task.epochs=2000"]
    process = start(tmp_path, *arguments)
    while not list(tmp_path.rglob("lock")):
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    again = start(tmp_path, "method=signsgd", "dataset=digits", "task.epochs=2", "scale=smoke")
    assert again.wait(60) == 0


def test_a_damaged_checkpoint_is_moved_aside(tmp_path):
    arguments = ["method=signsgd", "dataset=digits", "task.epochs=3"]
    process = start(tmp_path, *arguments)
    assert process.wait(60) == 0
    folder = folders(tmp_path)[0]
    expected = lasting(folder)
    (folder / "result.json").unlink()
    (folder / "checkpoint.pt").write_bytes(b"PK\x03\x04 not a checkpoint")
    again = start(tmp_path, *arguments)
    _, errors = again.communicate(timeout=60)
    assert again.returncode == 0
    assert "checkpoint.pt is damaged" in errors
    assert (folder / "checkpoint.pt.corrupt-1").exists()
    assert lasting(folder) == expected
