"""A sweep of six jobs and twelve runs that things happen to, and what must hold of it whatever happened.

`sound(root)` is the one thing that every test of this folder asks again and again: what counts as a result, to the next sweep, to the plan and to
whoever loads a frame, is a run of a sweep that nobody disturbed, bit for bit.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import forks
import yaml
from conftest import QUIET, clean_env
from sweeps import all_lasting

from bench import results
from bench.judge.plan import plan as planned
from bench.run.curve import read_metrics
from bench.run.result import load_result
from bench.run.store import read_config

NAME = "ssvr/digits"
LINE = ["seeds=[0,1]", "task.epochs=2", *QUIET, "checkpoint_every=0.0"]
RUNS = 2 * 5  # seeds, methods of the experiment


def line(root: Path, *more: str) -> list[str]:
    """The sweep's command line."""
    return [f"experiment={NAME}", "scale=smoke", *LINE, *more, f"results_root={root}"]


def sweep(root: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """The sweep, to its end."""
    return forks.run(line(root, *more), clean_env())


def under_way(root: Path, *more: str) -> forks.Process:
    """The sweep, started."""
    return forks.Process(line(root, *more), clean_env())


def folders(root: Path) -> list[Path]:
    return sorted((root / "runs").glob("*/*/seed*"))


@cache
def undisturbed() -> dict[str, dict]:
    """What the sweep comes to."""
    with tempfile.TemporaryDirectory() as folder:
        done = sweep(Path(folder))
        assert done.returncode == 0, done.stderr
        found = all_lasting(Path(folder))
    assert len(found) == RUNS
    return found


def plan(root: Path, said: Callable[[str], None] = lambda text: None) -> dict[str, str]:
    """The state of each run, as `make plan` sees it."""
    found = planned([NAME], "smoke", [*LINE, f"results_root={root}"], report=said)
    return {str(run.folder.relative_to(root)): run.state for run in found}


def sound(root: Path) -> set[str]:
    """The runs that count as done: each is undisturbed, for the plan, for a frame, and on disk."""
    states = plan(root)
    done = {name for name, state in states.items() if state == "done"}
    for name in done:
        folder = root / name
        result = load_result(folder)
        assert {k: v for k, v in result.items() if k not in ("measured", "checksum")} == undisturbed()[name]["result"]
        if (folder / "metrics.jsonl").read_bytes() == undisturbed()[name]["curve"]:
            assert read_metrics(folder, result["curve"])
    known = {name for name in done if _says_its_config((root / name).parent)}  # the plan knows a job without its file
    if known:
        frame = results.load(root)
        assert {str(Path(folder).relative_to(root)) for folder in frame["folder"]} == known
        for row in frame.itertuples():
            metrics = undisturbed()[str(Path(row.folder).relative_to(root))]["result"]["metrics"]
            assert row.test_accuracy == metrics["test_accuracy"]
    return done


def _says_its_config(job: Path) -> bool:
    try:
        return bool(read_config(job))
    except (OSError, ValueError, yaml.YAMLError):
        return False


def until(condition: Callable[[], object], child: forks.Process, seconds: float = 60.0) -> None:
    """Wait for it, or for the end of `child`."""
    end = time.monotonic() + seconds
    while child.poll() is None and not condition() and time.monotonic() < end:
        time.sleep(0.005)
