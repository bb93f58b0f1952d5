"""What a job costs, from a few timed steps of it, where no finished run tells."""

from __future__ import annotations

import json
import signal
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

from bench.errors import UserError
from bench.judge.plan import Planned
from bench.run.atomic import write_json
from bench.run.job import Job

TIMINGS = "timings.json"
SECONDS = 10.0  # of stepping, after the first step
LEAST = 2  # steps after the first
LIMIT = 60  # seconds after which a job is given up: a first full gradient may take longer than the rest


class Enough(Exception):
    """The steps timed are enough."""


class Stopwatch:
    """Stands where a run's progress display stands: counts steps, and ends the run when they are enough."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.total, self.first, self.last = 0, (0, 0.0), (0, 0.0)

    def start(self, total: int, first: int = 0) -> None:
        self.total = total

    def step(self, step: int) -> None:
        now = (step, time.perf_counter())
        if self.first[0] == 0:
            self.first = now  # the first step pays for allocations and compilation
        self.last = now
        if step - self.first[0] >= LEAST and now[1] - self.first[1] >= self._seconds:
            raise Enough

    def note(self, step: int, **figures: Any) -> None:
        pass

    def estimate(self) -> float | None:
        """Seconds of the whole run; None when too few steps were seen."""
        steps = self.last[0] - self.first[0]
        return (self.last[1] - self.first[1]) / steps * self.total if steps else None


def time_steps(job: Job, seconds: float = SECONDS) -> float | None:
    """Seconds a seed that `job` would take, without its evaluations, from about `seconds` of its steps; None when a minute tells nothing.

    Leaves no results behind.
    """
    from bench.run.hardware import open_device
    from bench.run.session import Run, Session
    from bench.run.stopping import StopSignal

    seeds = list(job.settings.seeds) if job.protocol().BATCHES_SEEDS else [job.settings.seeds[0]]
    watch = Stopwatch(seconds)
    with tempfile.TemporaryDirectory() as folder:
        job = replace(job, settings=job.settings.model_copy(update={"results_root": folder, "checkpoint_every": 1e9}))
        runs = [Run(seed, Path(folder) / f"seed{seed}") for seed in seeds]
        for run in runs:
            run.folder.mkdir()
        device = open_device(job.settings.hardware)
        before = signal.signal(signal.SIGALRM, _enough)
        signal.alarm(LIMIT)
        begun, whole = time.perf_counter(), None
        try:
            session = Session(job, runs, device, StopSignal(), watch, lambda line: None)
            session.advance(session.start())
            whole = time.perf_counter() - begun  # it ended before the steps were enough
        except Enough:
            pass
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, before)
    found = watch.estimate() if whole is None else whole
    return None if found is None else found / len(seeds)


def _enough(number: int, frame: FrameType | None) -> None:
    raise Enough


def timings(root: Path) -> dict[str, float]:
    """Seconds a seed by job key that were timed before."""
    path = root / TIMINGS
    return json.loads(path.read_text()) if path.exists() else {}


def time_missing(
    root: Path,
    runs: Iterable[Planned],
    archived: Mapping[str, Mapping[str, list[float]]],
    report: Callable[[str], None],
    seconds: float = SECONDS,
) -> dict[str, float]:
    """Time one job a method of each experiment and scale that has nothing finished, here or in `archived` (as `cost.elsewhere` gives it);
    kept in timings.json by job key.

    Jobs of one method in one experiment share their cost, so the others of the method are given its time. What cannot run here is not timed.
    """
    known = timings(root)
    groups: dict[tuple[str, str, str], list[Planned]] = {}
    for run in runs:
        groups.setdefault((run.experiment, run.scale, run.job.names["method"]), []).append(run)
    for (experiment, scale, method), group in groups.items():
        keys = {run.job.key for run in group}
        if method in archived.get(f"{experiment}@{scale}", {}):
            continue
        if any(run.result is not None for run in group) or not any(run.to_do for run in group) or keys <= set(known):
            continue
        own = next((known[key] for key in keys if key in known), None)
        if own is None:
            report(f"timing {method} in {experiment} at {scale} scale")
            try:
                own = time_steps(group[0].job, seconds)
            except UserError as error:  # its data are not here
                report(f"not timed: {error}")
        if own is not None:
            root.mkdir(parents=True, exist_ok=True)
            known |= dict.fromkeys(keys, own)
            write_json(root / TIMINGS, known)
    return known
