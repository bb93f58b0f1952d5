"""The one path from a config to results on disk."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from omegaconf import DictConfig

from bench.errors import UserError
from bench.run.config import load
from bench.run.job import Job
from bench.run.progress import ago, closing_table, reporter, say
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

    def open(self, seeds: list[int]) -> list[int]:
        """Those of `seeds` that have neither a result nor a failure."""
        return [seed for seed in seeds if seed not in self.results and seed not in self.failures]


def run_job(cfg: DictConfig, choices: Mapping[str, str]) -> Outcome:
    """Validate, run the seeds that are missing, print the table.

    Args:
        choices: the option chosen of each config group, as Hydra's runtime.choices.

    Raises:
        UserError: bad input; nothing was run.
        RunsFailed: a run crashed (error.json says how); the other seeds were still run.
        Stopped: SIGTERM or Ctrl-C, after a checkpoint.
    """
    outcome = execute(load(cfg, choices))
    _show(outcome)
    if outcome.failures:
        raise RunsFailed("; ".join(f"seed {seed}: {line}" for seed, line in sorted(outcome.failures.items())))
    return outcome


def execute(job: Job) -> Outcome:
    """Take the seeds that are done; run the others, jointly where the task batches them, else one after another."""
    outcome, report = Outcome(job), reporter(job.settings.verbose)
    seeds = sorted(job.settings.seeds)
    for seed in seeds:
        with locked(job.seed_folder(seed), report):
            _take(outcome, [seed], report)
    missing = outcome.open(seeds)
    if missing:
        _compute(outcome, missing, report)
    return outcome


def _take(outcome: Outcome, seeds: list[int], report: Callable[[str], None]) -> None:
    """The results that are there, said with their age."""
    job = outcome.job
    for seed in seeds:
        result = reusable(job, seed, report)
        if result is not None:
            outcome.results[seed] = result
            outcome.taken.add(seed)
            say(job.settings.verbose, f"taken from {job.seed_folder(seed)}: computed {ago(age(job.seed_folder(seed)))}")


def _compute(outcome: Outcome, seeds: list[int], report: Callable[[str], None]) -> None:
    """Attempt what no other process has computed in the meantime; a crash is kept in error.json and in the outcome."""
    from bench.run.attempt import attempt, seeds_in_words  # here torch is imported
    from bench.run.environment import in_words
    from bench.run.hardware import open_device

    job = outcome.job
    device = open_device(job.settings.hardware)
    say(job.settings.verbose, f"on {in_words(device)}")
    for group in [seeds] if job.protocol().BATCHES_SEEDS else [[seed] for seed in seeds]:
        with contextlib.ExitStack() as locks:
            for seed in group:
                locks.enter_context(locked(job.seed_folder(seed), report))
            _take(outcome, group, report)
            missing = outcome.open(group)
            if not missing:
                continue
            try:
                outcome.results |= attempt(job, missing, device, report)
            except (UserError, Stopped):
                raise
            except Exception as error:
                line = write_error(job, missing, error)
                report(f"{job.title}, {seeds_in_words(missing)}: failed: {line}")
                outcome.failures |= dict.fromkeys(missing, line)


def _show(outcome: Outcome) -> None:
    """The closing table and the folder's path."""
    job, rows = outcome.job, {}
    for seed in sorted(job.settings.seeds):
        result = outcome.results.get(seed)
        rows[seed] = {"status": "failed"}
        if result:
            status = result["status"] + (", taken" if seed in outcome.taken else "")
            numbers = {k: v for k, v in result["metrics"].items() if not isinstance(v, dict | list)}
            rows[seed] = {"status": status, **numbers, "seconds": result["measured"]["wall_seconds"]}
    say(job.settings.verbose, closing_table(rows, f"{job.title} ({job.settings.scale})"), str(job.folder))
