"""Runs on disk at a glance: which they are, what was set for them, in what state and how large; and the one that a person means."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import yaml
from hydra import compose
from hydra.errors import HydraException
from omegaconf import open_dict
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console

from bench.errors import UserError, nearest
from bench.judge.archive import read_all
from bench.judge.own import OwnJob, OwnRun, Report, read_job, read_jobs
from bench.report.columns import Column, fit, table_of
from bench.report.naming import name_of
from bench.run.codehash import code_hash
from bench.run.compose import hydra
from bench.run.config import load
from bench.run.files import CONFIG
from bench.run.job import Job
from bench.run.options import SCALES
from bench.run.options import swept as swept_keys
from bench.run.paths import ROOT

MOST = 12  # candidates in an error line
GROUPS = ("model", "schedule")  # whose default comes with the data set
Default = tuple[Job, Job]


@dataclass(frozen=True)
class Selection:
    """Which runs: by option, state, age in seconds since they last changed, and whether other code computed them."""

    task: str | None = None
    method: str | None = None
    dataset: str | None = None
    state: str | None = None
    older: float | None = None
    newer: float | None = None
    stale: bool = False

    def job(self, job: OwnJob) -> bool:
        """Is it a job of the options asked for?"""
        wanted = {"task": self.task, "method": self.method, "dataset": self.dataset}
        return all(value in (None, job.names[part]) for part, value in wanted.items())

    def run(self, job: OwnJob, run: OwnRun, now: float) -> bool:
        """Is it such a run of a job that `job` lets through?"""
        age = now - run.changed
        return (
            self.state in (None, run.state)
            and (self.older is None or age > self.older)
            and (self.newer is None or age < self.newer)
            and (not self.stale or is_stale(job, run))
        )


def select(root: Path, selection: Selection, report: Report) -> list[OwnJob]:
    """The jobs below results_root/runs, each with the runs selected; jobs without one are left out.

    Raises:
        UserError: there are no runs at all.
    """
    check(root)
    now, found = time.time(), []
    for job in read_jobs(root, report):
        if selection.job(job):
            runs = tuple(run for run in job.runs if selection.run(job, run, now))
            found += [replace(job, runs=runs)] if runs else []
    return found


def check(root: Path) -> None:
    """UserError where there are no runs at all."""
    if not (root / "runs").is_dir():
        raise UserError(f"{root / 'runs'}: no runs here; results_root=DIR names another folder")


def is_stale(job: OwnJob, run: OwnRun) -> bool:
    """Did other code than today's compute the result? Code that is gone or cannot be read is other code."""
    return run.result is not None and run.result["code"] != _code_today(job.targets)


@cache
def _code_today(targets: frozenset[str]) -> str | None:
    try:
        return code_hash(targets)
    except (OSError, SyntaxError, ValueError):
        return None


def find(root: Path, text: str, report: Report) -> OwnJob:
    """The job that a person means by a folder or by a part of its name below results_root/runs.

    Raises:
        UserError: none or several.
    """
    folder = Path(text)
    if (folder / CONFIG).is_file():
        found = [folder]
    else:
        check(root)
        known = [path for path in sorted((root / "runs").glob("*/*")) if path.is_dir()]
        found = [path for path in known if text in f"{path.parent.name}/{path.name}"]
    if not found:
        close = nearest(text, (path.name.rpartition("-")[0] for path in known))
        raise UserError(
            f"{text}: no job below {root / 'runs'} has this in its name{close}; scripts/runs.py list shows them"
        )
    if len(found) > 1:
        more = f" and {len(found) - MOST} more" if len(found) > MOST else ""
        raise UserError(
            f"{text}: {len(found)} jobs have this in their name: {', '.join(p.name for p in found[:MOST])}{more}"
        )
    try:
        return read_job(found[0], report)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"{found[0] / CONFIG}: cannot be read ({str(error).splitlines()[0]})") from None


def size(folder: Path) -> int:
    """Bytes of the files below a folder; links are not followed."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(path, name)).st_size
            except OSError:
                continue
    return total


def size_text(size: float) -> str:
    """12 kB"""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 9.95 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def age_text(seconds: float) -> str:
    """3 days, in the largest unit that is whole."""
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            count = int(seconds // length)
            return f"{count} {unit}{'s' * (count != 1)}"
    return "now"


def state_text(job: OwnJob) -> str:
    """`2 finished, 1 failed, 2 stale`"""
    found = Counter(run.state for run in job.runs)
    found["stale"] = sum(is_stale(job, run) for run in job.runs)
    return ", ".join(f"{number} {state}" for state, number in found.items() if number)


def seeds_text(seeds: Iterable[int]) -> str:
    """`0-4, 7`"""
    spans: list[list[int]] = []
    for seed in sorted(seeds):
        if spans and seed == spans[-1][-1] + 1:
            spans[-1] = [spans[-1][0], seed]
        else:
            spans.append([seed])
    return ", ".join("-".join(map(str, span)) for span in spans)


def of_papers() -> dict[str, str]:
    """The experiment of a paper that asks for a job, by the job's key, as the project's archives tell."""
    found: dict[str, str] = {}
    for record in read_all(ROOT / "results"):
        for name in record.experiments:
            found.setdefault(record.key, name.partition("@")[0])
    return found


def what_was_set(job: OwnJob, experiment: str | None) -> str:
    """`lr 0.001, epochs 10`: what differs from the defaults of its options, or for an experiment's job the values that it sweeps."""
    if experiment is not None:
        known = [key for key in swept_keys(experiment) if key not in ("method", "dataset")]
        return ", ".join(filter(None, (experiment, name_of(job, known))))
    scales = [job.scale] if job.scale in SCALES else SCALES
    options = tuple((part, job.names[part]) for part in ("method", "dataset", *GROUPS) if part in job.names)
    found = [_changed(job, default) for scale in scales if (default := _default(options, scale))]
    return name_of(job, min(found, key=len)) if found else ""


def _changed(job: OwnJob, default: Default) -> list[str]:
    """Options that the data set does not bring, and dotted keys of values that are not the options' own."""
    plain, made = default
    groups = [part for part in GROUPS if job.names.get(part) != plain.names.get(part)]
    theirs = ((part, name, value) for part, node in job.config.items() for name, value in node.items())
    return [*groups, *(f"{part}.{name}" for part, name, value in theirs if made.get(f"{part}.{name}") != value)]


@cache
def _default(options: tuple[tuple[str, str], ...], scale: str) -> Default | None:
    """What `python run.py` would run with method and data set alone, and with all of these options; None where they are gone."""
    at = ("scale", scale)
    try:
        with hydra():
            return _composed((*[o for o in options if o[0] not in GROUPS], at)), _composed((*options, at))
    except (UserError, HydraException, OmegaConfBaseException, OSError):
        return None


def _composed(options: Sequence[tuple[str, str]]) -> Job:
    cfg = compose("config", [f"{part}={name}" for part, name in options], return_hydra_config=True)
    choices = dict(cfg.hydra.runtime.choices)
    with open_dict(cfg):
        del cfg["hydra"]
    return load(cfg, choices)


def _run_name(job: OwnJob) -> str:
    """What a job's folder is called by, behind its method and data set; `compare` takes it."""
    return job.folder.name.removeprefix(f"{job.names['method']}-{job.names['dataset']}-")


def print_list(jobs: Sequence[OwnJob], screen: Console) -> None:
    """A line a job."""
    papers, now = of_papers(), time.time()
    measured = {job.folder: sum(size(run.folder) for run in job.runs) for job in jobs}
    columns = [
        Column("run", [_run_name(job) for job in jobs], left=True),
        Column("method", [job.names["method"] for job in jobs], left=True),
        Column("data set", [job.names["dataset"] for job in jobs], left=True),
        Column("set", [what_was_set(job, papers.get(job.key)) for job in jobs], left=True),
        Column("scale", [job.scale for job in jobs], 3, left=True),
        Column("seeds", [seeds_text(run.seed for run in job.runs) for job in jobs], 2),
        Column("state", [state_text(job) for job in jobs], left=True),
        Column("age", [age_text(now - max(run.changed for run in job.runs)) for job in jobs], 1),
        Column("size", [size_text(measured[job.folder]) for job in jobs]),
    ]
    fit(columns, screen.width)
    runs = sum(len(job.runs) for job in jobs)
    total = f"{len(jobs)} jobs, {runs} runs, {size_text(sum(measured.values()))}"
    screen.print(table_of("", columns, total), highlight=False)
