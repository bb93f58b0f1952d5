"""One attempt at seeds of a job, on an open device: their folders, the session, the mirrors, the task's loop, the results."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from bench.run import datafiles, hardware
from bench.run.environment import environment, in_words
from bench.run.hardware import Device
from bench.run.job import Job
from bench.run.progress import Display, console, say, seeds_in_words
from bench.run.session import Run, Session
from bench.run.stopping import StopSignal
from bench.run.store import prepare, read_metrics, write_result
from bench.run.tracking import open_mirror


def open_device(job: Job) -> Device:
    """The device that the job's settings name, said once."""
    device = hardware.open_device(job.settings.hardware)
    say(job.settings.verbose, f"on {in_words(device)}")
    return device


def attempt(
    job: Job, seeds: list[int], device: Device, swept: Mapping[str, Any], report: Callable[[str], None]
) -> dict[int, dict[str, Any]]:
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
            mirror = open_mirror(job, run.seed, number, swept, read_metrics(run.folder), report)
            run.follow = mirror.log
            ended.push(lambda kind, *_, run=run, mirror=mirror: mirror.finish(run.final or {}, failed=kind is not None))
        ended.callback(display.stop)
        opened = ended.enter_context(datafiles.noted())
        session.advance(state)
        data = datafiles.digests(opened, job.settings)
        results = {run.seed: _result(session, k, numbers[k], data) for k, run in enumerate(runs)}
        session.clear()
    return results


def _result(session: Session, k: int, number: int, data: dict[str, str]) -> dict[str, Any]:
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
    return write_result(session.job, run.seed, run.status, metrics, data, measured)
