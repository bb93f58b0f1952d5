"""Before anything is computed: the folders of a job's seeds are held, and the results that are there are taken."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.run.atomic import Damaged
from bench.run.datafiles import unchanged
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
    if not _on_these_data(job, result):
        report(f"{folder} was computed from other data than are there now; computing it again")
        return None
    if result["code"] != job.code:
        if job.settings.force == "stale":
            return None
        report(f"{folder} is stale: it was computed by other code; force=true recomputes it")
    if result["precision"] != job.settings.hardware.precision:
        report(f"{folder} was computed in {result['precision']}; force=true recomputes it")
    return result


def settled(job: Job) -> bool:
    """Is there a result of every seed that `claimed` would take, from the data that are here? Changes nothing on disk."""
    return job.settings.force is not True and all(_is_done(job, seed) for seed in job.settings.seeds)


def _is_done(job: Job, seed: int) -> bool:
    try:
        result = load_result(job.seed_folder(seed), job.key, job.names)
    except (Damaged, OSError):
        return False
    if result is None or (job.settings.force == "stale" and result["code"] != job.code):
        return False
    return _on_these_data(job, result)


def _on_these_data(job: Job, result: dict[str, Any]) -> bool:
    """Are the files that a result was computed from what they were?"""
    return unchanged(result.get("data") or {}, Path(job.settings.data_root), job.data)


def _age(job: Job, seed: int) -> float:
    """Seconds since the result of a seed was written."""
    return max(0.0, time.time() - (job.seed_folder(seed) / RESULT).stat().st_mtime)
