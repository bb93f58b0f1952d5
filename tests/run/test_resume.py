"""Kill and resume with real processes: the result of an interrupted run equals that of an uninterrupted one, bit for bit."""

from __future__ import annotations

import contextlib
import json
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import forks
import pytest
from conftest import QUIET, clean_env, result_of

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
    "doubly_stochastic": [
        "method=doubly_adam",
        "dataset=gaussian_sum",
        "method.sampling=reshuffling",
        "dataset.num_components=128",
        "seeds=[0,1]",
        "task.steps=600",
        "task.draws=100",
    ],
    "finite_sum": ["method=ssvr_fs", "dataset=least_squares", "seeds=[0,1]", "task.horizons=[500,3000]"],
}


class Started(forks.Process):
    """`python run.py ...` under way, with a checkpoint at every step."""

    def __init__(self, results: Path, *arguments: str) -> None:
        super().__init__([f"results_root={results}", *QUIET, "checkpoint_every=0.0", *arguments], clean_env())

    def running(self) -> bool:
        return self.poll() is None

    def until(self, condition: Callable[[], object]) -> None:
        """Wait until `condition()` or the end of the process."""
        deadline = time.monotonic() + 60
        while self.running() and not condition() and time.monotonic() < deadline:
            time.sleep(0.005)


def lasting(folder: Path) -> dict:
    """result.json and the curve without what is measured by a clock."""
    result = result_of(folder)
    result.pop("measured")
    return {"result": result, "curve": (folder / "metrics.jsonl").read_bytes()}


def folders(results: Path) -> list[Path]:
    return sorted((results / "runs").glob("*/*/seed*"))


def checkpoint_time(results: Path) -> int:
    """When the first seed's checkpoint was last written; 0 before there is one."""
    with contextlib.suppress(IndexError, FileNotFoundError):
        return (folders(results)[0] / "checkpoint.pt").stat().st_mtime_ns
    return 0


@pytest.mark.parametrize("name", RUNS)
def test_sigkill_at_any_moment_then_resume_is_bit_for_bit(name, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    with Started(whole, *RUNS[name], "checkpoint_every=1000.0") as run:
        assert run.wait() == 0, run.stderr
    chance, kills = random.Random(0), 0
    while kills < 3:
        before = checkpoint_time(broken)
        with Started(broken, *RUNS[name]) as run:
            run.until(lambda before=before: checkpoint_time(broken) > before)  # each attempt gets a little further
            time.sleep(chance.uniform(0, 0.2))
            if not run.running():
                break
            run.send_signal(signal.SIGKILL)
            kills += 1
    assert kills >= 1
    with Started(broken, *RUNS[name], "checkpoint_every=1000.0") as run:
        assert run.wait() == 0, run.stderr
    pairs = list(zip(folders(whole), folders(broken)))
    assert pairs
    for expected, found in pairs:
        assert lasting(found) == lasting(expected)
        assert result_of(found)["measured"]["attempt"] > 1
        assert not (found / "checkpoint.pt").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stop_checkpoints_and_exits(number, code, tmp_path):
    long = [
        "method=signsgd",
        "dataset=digits",
        "task.epochs=2000",
        "task.evaluate_every=2000",
        "checkpoint_every=1000.0",
    ]
    with Started(tmp_path, *long) as run:
        run.until(lambda: any(f.stat().st_size for f in tmp_path.rglob("metrics.jsonl")))
        run.send_signal(number)
        assert run.wait() == code
        assert "run the same command again to go on" in run.stderr
    folder = folders(tmp_path)[0]
    assert (folder / "checkpoint.pt").exists()
    assert not (folder / "result.json").exists()
    with Started(tmp_path, *long) as run:
        run.until(lambda: "resuming" in run.stderr)
        assert run.running()
        assert "resuming" in run.stderr


def test_two_processes_on_one_key_compute_it_once(tmp_path):
    short = ["method=signsgd", "dataset=digits", "task.epochs=20"]
    with Started(tmp_path, *short) as first, Started(tmp_path, *short) as second:
        assert [first.wait(), second.wait()] == [0, 0]
        assert (first.stderr + second.stderr).count("waiting for it") == 1
    folder = folders(tmp_path)[0]
    assert json.loads((folder / "env.json").read_text())["attempt"] == 1
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == 20


def test_the_lock_of_a_killed_process_is_free(tmp_path):
    with Started(tmp_path, "method=signsgd", "dataset=digits", "task.epochs=2000") as run:
        run.until(lambda: checkpoint_time(tmp_path))
        run.send_signal(signal.SIGKILL)
    with Started(tmp_path, "method=signsgd", "dataset=digits", "task.epochs=2000") as run:
        run.until(lambda: "resuming" in run.stderr)
        assert "waiting" not in run.stderr
        assert "resuming" in run.stderr


def test_a_damaged_checkpoint_is_moved_aside(tmp_path):
    short = ["method=signsgd", "dataset=digits", "task.epochs=3"]
    with Started(tmp_path, *short) as run:
        assert run.wait() == 0
    folder = folders(tmp_path)[0]
    expected = lasting(folder)
    (folder / "result.json").unlink()
    (folder / "checkpoint.pt").write_bytes(b"PK\x03\x04 not a checkpoint")
    with Started(tmp_path, *short) as run:
        assert run.wait() == 0
        assert "checkpoint.pt is damaged" in run.stderr
    assert (folder / "checkpoint.pt.corrupt-1").exists()
    assert lasting(folder) == expected
