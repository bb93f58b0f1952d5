"""A sweep of twelve jobs as the real program, its processes seen from outside: what each had in its environment when Python started, and when."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from functools import cache
from itertools import pairwise
from pathlib import Path

from conftest import ROOT, clean_env
from sweeps import all_lasting, until

RATES = "1e-4,3e-4,1e-3,3e-3,1e-2,3e-2"
SWEEP = ["method=signsgd,sgd", f"method.lr={RATES}", "dataset=digits", "scale=smoke", "seeds=[0,1]"]
SWEEP += ["tracker=none", "hardware.device=cpu", "task.epochs=4"]
LONG = [*SWEEP, "task.epochs=400", "checkpoint_every=0.2"]  # what is stopped and never ends by itself
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
SITE = """
import atexit, json, os, time
if "CLAIMBENCH_JOB" in os.environ:
    seen = {"job": int(os.environ["CLAIMBENCH_JOB"]), "pid": os.getpid(), "node": os.environ.get("SLURMD_NODENAME")}
    seen["threads"] = [os.environ.get(name) for name in THREADS]
    def note(what):
        with open(TRACE, "a") as file:
            file.write(json.dumps(seen | {"what": what, "at": time.time()}) + "\\n")
    note("start"), atexit.register(note, "end")
"""


def traced(folder: Path, env: dict[str, str] | None = None) -> dict[str, str]:
    """An environment in which each Python process that is a sweep's job leaves a line when it starts and when it ends."""
    site, trace = folder / "site", folder / "trace"
    site.mkdir(exist_ok=True)
    (site / "sitecustomize.py").write_text(SITE.replace("THREADS", repr(THREADS)).replace("TRACE", repr(str(trace))))
    trace.touch()
    return clean_env() | (env or {}) | {"PYTHONPATH": str(site)}


def lines(folder: Path) -> list[dict]:
    """What the jobs' processes left."""
    return [json.loads(line) for line in (folder / "trace").read_text().splitlines()]


def forget(folder: Path) -> None:
    (folder / "trace").write_text("")


def at_a_time(seen: Iterable[dict]) -> int:
    """The most processes that ran at once; one without an end was killed, and counts until the next starts."""
    seen = sorted(seen, key=lambda line: line["at"])
    ends = {line["pid"] for line in seen if line["what"] == "end"}
    running = most = 0
    for line in seen:
        if line["pid"] in ends:
            running += 1 if line["what"] == "start" else -1
            most = max(most, running)
    return most


def program(results: Path, *arguments: str) -> list[str]:
    return [sys.executable, str(ROOT / "run.py"), "-m", *arguments, f"results_root={results}"]


def start(results: Path, env: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    """`python run.py -m ...` under way."""
    line = program(results, *arguments)
    return subprocess.Popen(
        line, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )


def ran(folder: Path, job: int) -> int | None:
    """The process of a job that has started and not ended."""
    own = [line for line in lines(folder) if line["job"] == job]
    return own[-1]["pid"] if own and own[-1]["what"] == "start" else None


def kill(folder: Path, job: int, child: subprocess.Popen[str]) -> None:
    """SIGKILL to a job's process, when it has started."""
    until(lambda: ran(folder, job), child)
    os.kill(ran(folder, job), signal.SIGKILL)


def in_order(seen: list[dict]) -> bool:
    """Did no process of a job start before the one before it had ended?"""
    by_job: dict[int, list[str]] = {}
    for line in sorted(seen, key=lambda line: line["at"]):
        by_job.setdefault(line["job"], []).append(line["what"])
    return all(a != b for whats in by_job.values() for a, b in pairwise(whats))


@cache
def sequential() -> dict[str, dict]:
    """The sweep's results, one job after another in one process."""
    with tempfile.TemporaryDirectory() as folder:
        env = clean_env() | {"OMP_NUM_THREADS": "1"}
        line = program(Path(folder), *SWEEP)
        done = subprocess.run(line, env=env, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        found = all_lasting(Path(folder))
    assert len(found) == 24
    return found
