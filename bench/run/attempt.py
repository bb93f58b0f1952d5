"""One attempt at seeds of a job, on an open device: their folders, the session, the mirrors, the task's loop, the results."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from bench.run.environment import environment
from bench.run.hardware import Device
from bench.run.job import Job
from bench.run.progress import Display, console
from bench.run.session import Run, Session
from bench.run.stopping import StopSignal
from bench.run.store import prepare, read_metrics, write_result
from bench.run.tracking import open_mirror


def attempt(job: Job, seeds: list[int], device: Device, report: Callable[[str], None]) -> dict[int, dict[str, Any]]:
    """Compute `seeds` together, from the checkpoint where there is one; result.json by seed. Their folders are locked by the caller.

    Raises:
        UserError: the task, method or data set refuses what it was given.
        Stopped: after a checkpoint.
        Exception: whatever the task raises, and OSError for a full disk.
    """
    device.forget_peak_memory()
    runs = [Run(seed, job.seed_folder(seed)) for seed in seeds]
    display = Display(console(job.settings.verbose), f"{job.title}, {seeds_in_words(seeds)}")
    with contextlib.ExitStack() as ended:
        stop = ended.enter_context(StopSignal())
        numbers = prepare(job, seeds, environment(device))
        session = ended.enter_context(Session(job, runs, device, stop, display, report))
        state = session.start()
        for run, number in zip(runs, numbers):
            mirror = open_mirror(job, run.seed, number, read_metrics(run.folder), report)
            run.follow = mirror.log
            ended.push(lambda kind, *_, run=run, mirror=mirror: mirror.finish(run.final or {}, failed=kind is not None))
        ended.callback(display.stop)
        session.advance(state)
        results = {run.seed: _result(session, k, numbers[k]) for k, run in enumerate(runs)}
        session.clear()
    return results


def seeds_in_words(seeds: list[int]) -> str:
    """`seed 0` or `seeds 0, 1`."""
    return f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"


def _result(session: Session, k: int, number: int) -> dict[str, Any]:
    """Write the result of the session's k-th run, with what the session measured."""
    run, seconds = session.runs[k], session.clock.read()
    measured = {
        "wall_seconds": seconds,
        "seeds_in_batch": len(session.runs),
        "examples_per_second": session.examples / max(seconds, 1e-9),
        "peak_memory_bytes": session.device.peak_memory(),
        "attempt": number,
    }
    metrics = {**(run.final or {}), "gradient_evaluations": session.gradient_evaluations[k]}
    return write_result(session.job, run.seed, run.status, metrics, measured)
