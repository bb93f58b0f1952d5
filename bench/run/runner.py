"""The one path from a config to results on disk."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from bench.errors import UserError
from bench.run import world
from bench.run.ahead import ahead
from bench.run.atomic import DISK_FULL, cannot_write
from bench.run.claim import claimed, settled
from bench.run.config import load
from bench.run.identity import located, on_its_data
from bench.run.job import Job
from bench.run.multirun import note_end, place
from bench.run.progress import closing_table, path_in_words, reporter, say, screen_width, seeds_in_words

if TYPE_CHECKING:
    from bench.run.ddp import Group


class RunsFailed(Exception):
    """At least one run crashed; what others finished is kept. Exit code 1."""


def in_words(failures: Mapping[int, str]) -> str:
    """Each line once, with the seeds that it is of."""
    seeds: dict[str, list[int]] = {}
    for seed, line in sorted(failures.items()):
        seeds.setdefault(line, []).append(seed)
    return "; ".join(f"{seeds_in_words(group)}: {line}" for line, group in seeds.items())


@dataclass
class Outcome:
    """What a job came to: results by seed, those of them that were there before, and one line for each seed that crashed."""

    job: Job
    results: dict[int, dict[str, Any]] = field(default_factory=dict)
    taken: set[int] = field(default_factory=set)
    failures: dict[int, str] = field(default_factory=dict)


def run_job(cfg: DictConfig, choices: Mapping[str, str]) -> Outcome:
    """Validate and run a job of the command line. It is said before, in a multirun with its place; else its table is printed after.

    Args:
        choices: the option chosen of each config group, as Hydra's runtime.choices.

    Raises:
        UserError: bad input; nothing was run.
        RunsFailed: a run crashed (error.json says how); the other seeds were still run.
        Stopped: SIGTERM or Ctrl-C, after a checkpoint.
    """
    job, among, begun = load(cfg, choices), place(), time.monotonic()
    if world.rank():  # the first process speaks
        job = replace(job, settings=job.settings.model_copy(update={"verbose": False}))
    say(job.settings.verbose, among.line(job) if among else f"{job.title}, {seeds_in_words(job.settings.seeds)}")
    outcome = execute(job, among.swept if among else {})
    if among:
        note_end(among, None if len(outcome.taken) == len(job.settings.seeds) else time.monotonic() - begun)
    else:
        say(job.settings.verbose, _table(outcome), path_in_words(outcome.job.folder))
    if outcome.failures:
        raise RunsFailed(in_words(outcome.failures))
    return outcome


def execute(job: Job, swept: Mapping[str, Any] | None = None) -> Outcome:
    """Take the seeds that are done and run the others. In one of several processes it runs those that the first one says.

    Args:
        swept: what the job differs in from the others of its sweep, for a tracker's display name.

    Raises:
        UserError: bad input that shows only when the data are read or the method is built, results_root cannot be written, or another
            process was given another job.
        RunsFailed: the disk is full.
        Stopped: SIGTERM or Ctrl-C, after a checkpoint.
        WorkerLost: another process is gone.
    """
    if job.settings.hardware.processes == "one":
        return _decide(job, swept or {}, None, lambda plan: None)
    from bench.run.ddp import joined, telling

    processes = joined(job.settings.hardware)
    if processes.rank:
        processes.agree(job.given())
        return _follow(job, processes)
    with telling(processes) as tell:
        processes.agree(job.given())
        return _decide(job, swept or {}, processes, tell)


def _decide(
    job: Job, swept: Mapping[str, Any], processes: Group | None, tell: Callable[[dict[str, Any]], None]
) -> Outcome:
    """Find out what is missing, `tell` the other processes, and compute it with them."""
    report = reporter(job.settings.verbose)
    with ahead() as built:
        job = located(job)
        if not settled(job):
            job = on_its_data(job, built, report)
        try:
            return _execute(job, swept, report, processes, tell)
        except OSError as error:  # before the first step; what happens later is caught there
            line = cannot_write(error, job.folder)
            raise (RunsFailed(line) if error.errno in DISK_FULL else UserError(f"results_root: {line}")) from None


def _execute(
    job: Job,
    swept: Mapping[str, Any],
    report: Callable[[str], None],
    processes: Group | None,
    tell: Callable[[dict[str, Any]], None],
) -> Outcome:
    with claimed(job, report) as found:
        missing = [seed for seed in sorted(job.settings.seeds) if seed not in found]
        tell({"data": dict(job.data), "missing": missing})
        if not missing:
            return Outcome(job, found, set(found))
        from bench.run.attempt import compute  # imports torch

        results, failures = compute(job, missing, swept, report, processes)
        return Outcome(job, found | results, set(found), failures)


def _follow(job: Job, processes: Group) -> Outcome:
    """Compute with the first process what it says."""
    plan = processes.hear()
    if plan is None:
        raise UserError("the first process has refused the job")
    if not plan["missing"]:
        return Outcome(job)
    from bench.run.attempt import compute
    from bench.run.ddp_session import in_a_scratch_folder

    try:
        with in_a_scratch_folder(job, plan) as own:
            results, failures = compute(own, plan["missing"], {}, reporter(False), processes)
    except OSError as error:
        processes.says(cannot_write(error, Path(tempfile.gettempdir())))
        raise
    return Outcome(job, results, set(), failures)


def _table(outcome: Outcome) -> Any:
    """One column a seed: status, metrics, seconds."""
    job, rows = outcome.job, {}
    for seed in sorted(job.settings.seeds):
        result = outcome.results.get(seed)
        rows[seed] = {"status": "failed"}
        if result:
            status = result["status"] + (", taken" if seed in outcome.taken else "")
            numbers = {k: v for k, v in result["metrics"].items() if not isinstance(v, dict | list)}
            rows[seed] = {"status": status, **numbers, "seconds": result["measured"]["wall_seconds"]}
    return closing_table(rows, f"{job.title} ({job.settings.scale})", screen_width())
