"""The one path from a config to results on disk."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from omegaconf import DictConfig

from bench.errors import UserError
from bench.run.config import load
from bench.run.job import Job
from bench.run.multirun import note_end, place
from bench.run.progress import ago, closing_table, path_in_words, reporter, say, seeds_in_words
from bench.run.stopping import Stopped
from bench.run.store import age, locked, reusable, write_error


class RunsFailed(Exception):
    """At least one run crashed; what others finished is kept. Exit code 1."""


@dataclass
class Outcome:
    """What a job came to: results by seed, those of them that were there before, and one line for each seed that crashed."""

    job: Job
    results: dict[int, dict[str, Any]] = field(default_factory=dict)
    taken: set[int] = field(default_factory=set)
    failures: dict[int, str] = field(default_factory=dict)


def run_job(cfg: DictConfig, choices: Mapping[str, str]) -> Outcome:
    """Validate and run a job of the command line. In a multirun its place is said before, else its table is printed after.

    Args:
        choices: the option chosen of each config group, as Hydra's runtime.choices.

    Raises:
        UserError: bad input; nothing was run.
        RunsFailed: a run crashed (error.json says how); the other seeds were still run.
        Stopped: SIGTERM or Ctrl-C, after a checkpoint.
    """
    job, among, begun = load(cfg, choices), place(), time.monotonic()
    if among is None:
        outcome = execute(job)
        say(job.settings.verbose, _table(outcome), path_in_words(job.folder))
    else:
        say(job.settings.verbose, among.line(job))
        outcome = execute(job, among.swept)
        note_end(among, None if len(outcome.taken) == len(job.settings.seeds) else time.monotonic() - begun)
    if outcome.failures:
        raise RunsFailed("; ".join(f"seed {seed}: {line}" for seed, line in sorted(outcome.failures.items())))
    return outcome


def execute(job: Job, swept: Mapping[str, Any] | None = None) -> Outcome:
    """Take the seeds that are done; run the others, jointly where the task batches them, else one after another.

    Args:
        swept: what the job differs in from the others of its sweep, for a tracker's display name.

    Raises:
        UserError: bad input that shows only when the data are read or the method is built.
        Stopped: SIGTERM or Ctrl-C, after a checkpoint.
    """
    outcome, seeds, report = Outcome(job), sorted(job.settings.seeds), reporter(job.settings.verbose)
    with contextlib.ExitStack() as locks:
        _lock(job, seeds, locks, report)
        _take(job, seeds, outcome, report)
    missing = [seed for seed in seeds if seed not in outcome.results]
    if missing:
        _compute(job, missing, swept or {}, outcome, report)
    return outcome


def _lock(job: Job, seeds: list[int], locks: contextlib.ExitStack, report: Callable[[str], None]) -> None:
    for seed in seeds:
        locks.enter_context(locked(job.seed_folder(seed), report))


def _take(job: Job, seeds: list[int], outcome: Outcome, report: Callable[[str], None]) -> None:
    """The results that are there, said with their age."""
    found = {seed: result for seed in seeds if (result := reusable(job, seed, report)) is not None}
    outcome.results |= found
    outcome.taken |= set(found)
    if found:
        oldest = ago(max(age(job, seed) for seed in found))
        where = f"{path_in_words(job.folder)}, {seeds_in_words(list(found))}"
        say(job.settings.verbose, f"taken from {where}: computed {oldest}")


def _compute(
    job: Job, seeds: list[int], swept: Mapping[str, Any], outcome: Outcome, report: Callable[[str], None]
) -> None:
    """Attempt what no other process has computed in the meantime; a crash is kept in error.json and in the outcome."""
    from bench.run.attempt import attempt, open_device  # here torch is imported

    device = open_device(job)
    for group in [seeds] if job.protocol().BATCHES_SEEDS else [[seed] for seed in seeds]:
        with contextlib.ExitStack() as locks:
            _lock(job, group, locks, report)
            _take(job, group, outcome, report)
            missing = [seed for seed in group if seed not in outcome.results]
            try:
                outcome.results |= attempt(job, missing, device, swept, report) if missing else {}
            except (UserError, Stopped):
                raise
            except Exception as error:
                line = write_error(job, missing, error)
                report(f"{job.title}, {seeds_in_words(missing)}: failed: {line}")
                outcome.failures |= dict.fromkeys(missing, line)


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
    return closing_table(rows, f"{job.title} ({job.settings.scale})")
