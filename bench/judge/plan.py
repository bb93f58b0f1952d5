"""Which runs an experiment consists of, which of them are done, and what the rest will cost. Composes as Hydra does; imports no torch."""

from __future__ import annotations

import fcntl
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from bench.run import sweep
from bench.run.job import Job
from bench.run.options import options
from bench.run.store import CHECKPOINT, ERROR, LOCK, read_result

STATES = ("done", "stale", "diverged", "running", "stopped", "failed", "missing")


@dataclass(frozen=True)
class Planned:
    """One run: a seed of a job of an experiment at a scale. `result` is result.json where there is one."""

    experiment: str
    scale: str
    job: Job
    seed: int
    state: str
    result: dict[str, Any] | None

    @property
    def folder(self) -> Path:
        return self.job.folder / f"seed{self.seed}"

    @property
    def to_do(self) -> bool:
        """Would `make reproduce-all` run it?"""
        return self.state not in ("done", "diverged")


def experiments(paper: str | None = None) -> list[str]:
    """Names of the experiments (of one paper), in alphabetical order."""
    return [name for name in options("experiment") if paper in (None, name.split("/")[0])]


def jobs(experiment: str, scale: str, overrides: Iterable[str] = ()) -> list[Job]:
    """The jobs that `python run.py experiment=... scale=... <overrides>` runs, in Hydra's order.

    Args:
        overrides: plain ones, as results_root=DIR; what is swept is the experiment's own. Those of Hydra itself change no job.

    Raises:
        UserError, HydraException: as run.py would.
    """
    own = [o for o in overrides if not o.startswith(("hydra.", "hydra/"))]
    return list(sweep.of_experiment(experiment, (f"scale={scale}", *own)))


def plan(
    names: Iterable[str],
    scale: str,
    overrides: Iterable[str] = (),
    *,
    report: Callable[[str], None] = lambda line: None,
) -> list[Planned]:
    """Every run of the experiments `names` at one scale, with what is on disk of it."""
    found = []
    for name in names:
        for job in jobs(name, scale, overrides):
            found += [_planned(name, job, seed, report) for seed in job.settings.seeds]
    return found


def _planned(experiment: str, job: Job, seed: int, report: Callable[[str], None]) -> Planned:
    folder = job.folder / f"seed{seed}"
    result = read_result(folder, job.key, report) if folder.exists() else None
    if result is not None:
        state = "stale" if result["code"] != job.code else "diverged" if result["status"] == "diverged" else "done"
    elif not folder.exists():
        state = "missing"
    elif _held(folder / LOCK):
        state = "running"
    else:
        state = "failed" if (folder / ERROR).exists() else "stopped" if (folder / CHECKPOINT).exists() else "missing"
    return Planned(experiment, job.settings.scale, job, seed, state, result)


def _held(lock: Path) -> bool:
    """Does a process hold the lock of this run?"""
    try:
        with open(lock) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


@dataclass(frozen=True)
class Cost:
    """Seconds of the runs that ended, and an estimate for the rest: None where neither a sibling nor timed steps tell."""

    spent: float
    left: float | None


def cost(runs: Iterable[Planned], timed: Mapping[str, float] | None = None) -> Cost:
    """What `runs` of one experiment and scale cost: measured for those that ended; for each other one the median of the runs of the
    same job or else method that ended, or else `timed` (seconds a seed by job key, from a few steps)."""
    runs, timed = list(runs), timed or {}
    seconds: dict[str, list[float]] = {}
    for run in runs:
        if run.result is not None:
            own = run.result["measured"]["wall_seconds"] / run.result["measured"]["seeds_in_batch"]
            for name in (run.job.key, run.job.names["method"]):
                seconds.setdefault(name, []).append(own)
    spent = sum(sum(values) for name, values in seconds.items() if len(name) == 64)
    left = 0.0
    for run in runs:
        if run.to_do:
            siblings = seconds.get(run.job.key) or seconds.get(run.job.names["method"])
            own = median(siblings) if siblings else timed.get(run.job.key)
            if own is None:
                return Cost(spent, None)
            left += own
    return Cost(spent, left)


def counts(runs: Iterable[Planned]) -> dict[str, int]:
    """Number of runs in each state."""
    found = Counter(run.state for run in runs)
    return {state: found[state] for state in STATES}
