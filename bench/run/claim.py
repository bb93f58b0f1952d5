"""Before anything is computed: the folders of a job's seeds are held, and the results that are there are taken."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from bench.run.atomic import Damaged
from bench.run.files import RESULT
from bench.run.job import Job
from bench.run.locks import locked
from bench.run.progress import ago, path_in_words, say, seeds_in_words
from bench.run.result import load_result, read_result
from bench.run.store import settle


@contextmanager
def claimed(job: Job, report: Callable[[str], None]) -> Iterator[dict[int, dict[str, Any]]]:
    """Hold the folders of all seeds, waiting for whoever computes one of them; the results that are there by seed, said with their age."""
    seeds = sorted(job.settings.seeds)
    with locked(job.folder, seeds, report):
        settle(job, report)
        found = {seed: result for seed in seeds if (result := _reusable(job, seed, report)) is not None}
        if found:
            where = f"{path_in_words(job.folder)}, {seeds_in_words(list(found))}"
            say(job.settings.verbose, f"taken from {where}: computed {ago(max(_age(job, seed) for seed in found))}")
        yield found


def _reusable(job: Job, seed: int, report: Callable[[str], None]) -> dict[str, Any] | None:
    """The result that is there, unless the job forces another one; it is said when it comes from other code or another precision."""
    if job.settings.force is True:
        return None
    folder = job.seed_folder(seed)
    result = read_result(folder, job.key, report, job.names)
    if result is None:
        return None
    if result["code"] != job.code:
        if job.settings.force == "stale":
            return None
        report(f"{folder} is stale: it was computed by other code; force=true recomputes it")
    if result["precision"] != job.settings.hardware.precision:
        report(f"{folder} was computed in {result['precision']}; force=true recomputes it")
    return result


def is_done(job: Job, seed: int) -> bool:
    """Is there a result that `claimed` would take? Changes nothing on disk."""
    if job.settings.force is True:
        return False
    try:
        result = load_result(job.seed_folder(seed), job.key, job.names)
    except (Damaged, OSError):
        return False
    return result is not None and (job.settings.force is False or result["code"] == job.code)


def _age(job: Job, seed: int) -> float:
    """Seconds since the result of a seed was written."""
    return max(0.0, time.time() - (job.seed_folder(seed) / RESULT).stat().st_mtime)
