"""Which runs an experiment consists of, which of them are done, and what the rest will cost. Composes as Hydra does; imports no torch."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Container, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import UserError
from bench.judge.archive import Report, complain
from bench.run import sweep
from bench.run.atomic import Damaged
from bench.run.files import CHECKPOINT, ERROR, NEW, RESULT
from bench.run.identity import located
from bench.run.job import Job
from bench.run.locks import held
from bench.run.options import options
from bench.run.paths import ROOT
from bench.run.result import load_result

STATES = ("done", "stale", "diverged", "running", "unfinished", "failed", "missing")


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
    scales: str | Iterable[str],
    overrides: Iterable[str] = (),
    *,
    idle: Container[tuple[str, str]] = (),
    report: Report = complain,
) -> list[Planned]:
    """Every run of the experiments `names` at one scale or several, with what is on disk of it.

    Args:
        idle: (experiment, scale) to leave out, as papers.idle gives them.
    """
    names, overrides = list(names), list(overrides)
    states: dict[Path, tuple[str, dict[str, Any] | None]] = {}  # a run that serves several scales is looked at once
    found = []
    for scale in [scales] if isinstance(scales, str) else scales:
        for name in names:
            if (name, scale) in idle:
                continue
            for job in map(located, jobs(name, scale, overrides)):
                base = job.folder
                for seed in job.settings.seeds:
                    folder = base / f"seed{seed}"
                    if folder not in states:
                        states[folder] = _state(job, folder, report)
                    found.append(Planned(name, job.settings.scale, job, seed, *states[folder]))
    return found


def results_root(overrides: Iterable[str]) -> Path:
    """Where results lie: the override of results_root, or the project's folder.

    Raises:
        UserError: it names no folder.
    """
    given = [o.partition("=")[2] for o in overrides if o.startswith("results_root=")]
    if given and given[0].strip() in ("", "null"):
        raise UserError(f"results_root={given[0]}: names no folder; write results_root=DIR")
    return Path(given[0] if given else ROOT / "results").absolute()


def _state(job: Job, folder: Path, report: Report) -> tuple[str, dict[str, Any] | None]:
    """The state of the run in a folder, and its result where there is one."""
    try:
        files = set(os.listdir(folder))
    except OSError:
        return "missing", None
    result = None
    if not files.isdisjoint((RESULT, RESULT + NEW)):
        try:
            result = load_result(folder, job.key, job.names)
        except (OSError, Damaged) as error:
            report(f"{error}; the same command computes it again")
    if result is not None:
        return (
            "stale" if result["code"] != job.code else "diverged" if result["status"] == "diverged" else "done"
        ), result
    if held(folder):
        return "running", None
    return ("failed" if ERROR in files else "unfinished" if CHECKPOINT in files else "missing"), None


def counts(runs: Iterable[Planned]) -> dict[str, int]:
    """Number of runs in each state."""
    found = Counter(run.state for run in runs)
    return {state: found[state] for state in STATES}
