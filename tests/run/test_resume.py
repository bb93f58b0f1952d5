"""Kill and resume with real processes: the result of an interrupted run equals that of an uninterrupted one, bit for bit."""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import forks
import pytest
from conftest import QUIET, clean_env, crashing_program, edit_result, result_of
from sweeps import lasting

from bench.run.curve import MetricsFile, read_metrics
from bench.run.locks import held
from bench.run.result import load_result

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
    "multimix_puzzle": [
        "method=multimix_puzzle",
        "method@method.optimizer=ssvr",
        "dataset=digits",
        "model=small_cnn",
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


DEADLY = """
import os, signal
replace, name, moment = os.replace, {name!r}, {moment!r}
def deadly(source, target, **more):
    here = os.path.basename(str(target)) == name
    if here and moment == "before": os.kill(os.getpid(), signal.SIGKILL)
    replace(source, target, **more)
    if here: os.kill(os.getpid(), signal.SIGKILL)
os.replace = deadly
"""
FORCED = ["method=signsgd", "dataset=digits", "task.epochs=4"]


def worth(folder: Path) -> tuple[dict, list]:
    """What a reader finds: metrics of the result and the curve that belongs to it."""
    result = load_result(folder)
    assert result is not None
    return result["metrics"], read_metrics(folder, result["curve"])


def of_old(folder: Path) -> tuple[dict, list]:
    """Make the result one of other code with other numbers; what a reader finds of it."""
    (folder / "metrics.jsonl").unlink()
    curve = MetricsFile(folder / "metrics.jsonl")
    curve.append({"step": 1, "train_loss": 0.25})
    edit_result(folder, code="0" * 12, metrics={"test_accuracy": 0.5}, curve=curve.mark())
    return worth(folder)


@pytest.fixture(scope="module")
def once(tmp_path_factory) -> Path:
    results = tmp_path_factory.mktemp("once")
    with Started(results, *FORCED, "checkpoint_every=1000.0") as run:
        assert run.wait() == 0, run.stderr
    return results


@pytest.mark.parametrize(
    ("moment", "name", "found", "force"),
    [
        ("after", "env.json.new", "old", "true"),
        ("before", "checkpoint.pt", "old", "true"),
        ("after", "checkpoint.pt", "old", "true"),
        ("after", "checkpoint.pt", "old", "stale"),
        ("before", "result.json.new", "old", "true"),
        ("after", "result.json.new", "old", "true"),
        ("after", "env.json", "old", "true"),
        ("after", "metrics.jsonl", "new", "true"),
        ("after", "metrics.jsonl", "new", "stale"),
        ("before", "result.json", "new", "true"),
        ("after", "result.json", "new", "true"),
    ],
)
def test_the_old_result_stands_until_the_new_one_is_whole(once, tmp_path, moment, name, found, force):
    """Killed at each of the renames: a reader finds the old result with its curve or the new one with its own, and so does the next run."""
    shutil.copytree(once, tmp_path, dirs_exist_ok=True)
    (folder,) = folders(tmp_path)
    new, lasts = worth(folder), lasting(folder)
    old = of_old(folder)
    environment = (folder / "env.json").read_bytes()
    arguments = [f"results_root={tmp_path}", *QUIET, "checkpoint_every=0.0", *FORCED, f"force={force}"]
    killed = forks.run(arguments, clean_env(), prelude=DEADLY.format(name=name, moment=moment))
    assert killed.returncode == -signal.SIGKILL
    assert worth(folder) == (old if found == "old" else new)
    whole = (name, moment) == ("result.json.new", "after") or name in ("env.json", "metrics.jsonl", "result.json")
    assert whole or (folder / "env.json").read_bytes() == environment
    with Started(tmp_path, *FORCED, "checkpoint_every=1000.0") as run:
        assert run.wait() == 0
    assert worth(folder) == (new if whole else old), "without force what is there is taken"
    with Started(tmp_path, *FORCED, "checkpoint_every=1000.0", f"force={force}") as run:
        assert run.wait() == 0
        gone_on = {("checkpoint.pt", "after"), ("result.json.new", "before")}
        assert ("resuming" in run.stderr) == ((name, moment) in gone_on)
    assert lasting(folder) == lasts
    assert sorted(p.name for p in folder.iterdir()) == ["env.json", "metrics.jsonl", "result.json"]


def test_a_forced_run_that_crashes_leaves_the_old_result(once, tmp_path):
    shutil.copytree(once, tmp_path, dirs_exist_ok=True)
    (folder,) = folders(tmp_path)
    before, old = lasting(folder), (folder / "env.json").read_bytes()
    done = crashing_program(*FORCED, *QUIET, f"results_root={tmp_path}", "force=true")
    assert done.returncode == 1
    assert "planted" in done.stderr
    assert (lasting(folder), (folder / "env.json").read_bytes()) == (before, old)
    assert "planted" in (folder / "error.json").read_text()
    with Started(tmp_path, *FORCED) as run:
        assert run.wait() == 0
        assert "finished, taken" in run.stdout
    assert lasting(folder) == before


def test_temporary_files_of_killed_processes_go_with_the_next_run(once, tmp_path):
    """Those in a seed's folder under its lock, whoever wrote them; a job's own when they are old; a person's files stay."""
    shutil.copytree(once, tmp_path, dirs_exist_ok=True)
    (folder,) = folders(tmp_path)
    arguments = [f"results_root={tmp_path}", *QUIET, "checkpoint_every=0.0", *FORCED, "force=true"]
    forks.run(arguments, clean_env(), prelude=DEADLY.format(name="checkpoint.pt", moment="before"))
    (left,) = folder.glob(".checkpoint.pt.*")
    assert left.stat().st_size > 10_000
    old, young = folder.parent / ".config.yaml.1", folder.parent / ".config.yaml.2"
    for path in (folder / f".result.json.{os.getpid()}", old, young, folder / ".mine.1", folder / "notes.txt"):
        path.write_text("half")
    os.utime(old, (time.time() - 7200,) * 2)
    with Started(tmp_path, *FORCED) as run:
        assert run.wait() == 0
        assert "finished, taken" in run.stdout
    assert [p.name for p in sorted(folder.glob(".*"))] == [".mine.1"]
    assert (folder / "notes.txt").exists()
    assert (old.exists(), young.exists()) == (False, True)


def test_a_checkpoint_in_another_precision_or_unforced_is_not_gone_on_from(tmp_path):
    long = ["method=signsgd", "dataset=digits", "task.epochs=4"]
    for more in (["hardware.precision=bf16"], ["force=true"]):
        with Started(tmp_path, *long) as run:
            run.until(lambda: checkpoint_time(tmp_path))
            run.send_signal(signal.SIGKILL)
        with Started(tmp_path, *long, *more) as run:
            assert run.wait() == 0
            assert "resuming" not in run.stderr
        shutil.rmtree(tmp_path / "runs")


def test_more_seeds_than_files_may_be_open(program, tmp_path):
    """48 files, 150 seeds that advance together."""

    def few_files() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (48, 48))

    seeds = f"seeds=[{','.join(map(str, range(149)))},{10**30}]"
    arguments = ["method=sgd", "dataset=least_squares", "task.horizons=[2]", seeds, "verbose=false"]
    done = program(*arguments, preexec_fn=few_files, env={"PYTHONDONTWRITEBYTECODE": "1"})
    assert (done.returncode, done.stderr) == (0, "")
    assert len(list(tmp_path.rglob("result.json"))) == 150
    assert program(*arguments, preexec_fn=few_files).returncode == 0


def test_processes_compute_different_seeds_of_a_job_at_a_time(tmp_path):
    long = ["method=signsgd", "dataset=digits", "task.epochs=2000"]
    with Started(tmp_path, *long, "seeds=[0,3]") as first:
        first.until(lambda: checkpoint_time(tmp_path))
        with Started(tmp_path, *long, "seeds=[1]") as second:
            second.until(lambda: len(list(tmp_path.rglob("checkpoint.pt"))) == 2)
            assert "waiting" not in second.stderr
            found = {f.name: held(f) for f in folders(tmp_path)}
            assert found == {"seed0": True, "seed1": True, "seed3": True}
            with Started(tmp_path, *long, "seeds=[3]") as third:
                third.until(lambda: "waiting for it" in third.stderr)
                assert f"{folders(tmp_path)[2]} is being computed by another process; waiting for it" in third.stderr
        assert not held(folders(tmp_path)[1])
    assert not held(folders(tmp_path)[0])


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
