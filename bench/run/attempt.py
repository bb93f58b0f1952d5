"""What it takes to compute seeds of a job: a device, their folders, a session, mirrors, the task's loop, results."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from bench.errors import UserError
from bench.run import datafiles
from bench.run.curve import rows_of
from bench.run.environment import environment, in_words
from bench.run.hardware import Device, open_device
from bench.run.job import Job
from bench.run.limits import refusal
from bench.run.progress import Display, console, say, seeds_in_words
from bench.run.session import Run, Session
from bench.run.stopping import Stopped, StopSignal
from bench.run.store import prepare, write_error, write_result
from bench.run.tracking import open_mirror


def compute(
    job: Job, seeds: list[int], swept: Mapping[str, Any], report: Callable[[str], None]
) -> tuple[dict[int, dict[str, Any]], dict[int, str]]:
    """Attempt `seeds` jointly where the task batches them, else one after another; results, and a line for each that crashed, by seed.

    Their folders are held by the caller.

    Raises:
        UserError: the task, method or data set refuses what it was given.
        Stopped: after a checkpoint.
    """
    device = open_device(job.settings.hardware)
    say(job.settings.verbose, f"on {in_words(device)}")
    results: dict[int, dict[str, Any]] = {}
    failures: dict[int, str] = {}
    for group in [seeds] if job.protocol().BATCHES_SEEDS else [[seed] for seed in seeds]:
        title = f"{job.title}, {seeds_in_words(group)}"
        try:
            results |= _attempt(job, group, device, Display(console(job.settings.verbose), title), swept, report)
        except (UserError, Stopped, KeyboardInterrupt):
            raise
        except BaseException as error:  # a bug in a method, its sys.exit(), a full disk: other seeds and jobs go on
            if isinstance(error, Exception) and (line := refusal(error, job.parts)) is not None:
                raise line from error
            line = write_error(job, group, error)
            report(f"{title}: failed: {line}")
            failures |= dict.fromkeys(group, line)
    return results, failures


def _attempt(
    job: Job,
    seeds: list[int],
    device: Device,
    display: Display,
    swept: Mapping[str, Any],
    report: Callable[[str], None],
) -> dict[int, dict[str, Any]]:
    """Compute `seeds` together, from the checkpoint where there is one; result.json by seed."""
    device.forget_peak_memory()
    runs = [Run(seed, job.seed_folder(seed)) for seed in seeds]
    with contextlib.ExitStack() as ended:
        stop = ended.enter_context(StopSignal())
        session = Session(job, runs, device, stop, display, report)
        numbers: list[int] = []

        def open_all() -> None:
            numbers.extend(prepare(job, seeds, environment(device)))
            for run, number in zip(runs, numbers):
                mirror = open_mirror(job, run.seed, number, swept, rows_of(run.curve), report)
                run.follow = mirror.log
                ended.push(
                    lambda kind, *_, run=run, mirror=mirror: mirror.finish(run.final or {}, failed=kind is not None)
                )

        session.opening = open_all
        ended.callback(display.stop)
        opened = ended.enter_context(datafiles.noted())
        session.advance(session.start())
        data = datafiles.digests(datafiles.named(opened, job.settings))
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
    return write_result(session.job, run.seed, run.status, metrics, data, run.mark(), measured)
