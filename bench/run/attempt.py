"""What it takes to compute seeds of a job: a device, their folders, a session, mirrors, the task's loop, results."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.errors import UserError
from bench.run import datafiles, libthreads
from bench.run.curve import rows_of
from bench.run.environment import environment, in_words
from bench.run.hardware import Device, open_device
from bench.run.job import Job
from bench.run.limits import refusal
from bench.run.progress import Display, console, say, seeds_in_words
from bench.run.session import Run, Session
from bench.run.stopping import Stopped, StopSignal, WorkerLost
from bench.run.store import prepare, write_error, write_result
from bench.run.tracking import open_mirror

if TYPE_CHECKING:
    from bench.run.ddp import Group


@dataclass(frozen=True)
class Place:
    """Where a job is computed: in one process as these say, else as bench.run.ddp_session does. `attempt` is entered around each attempt."""

    device: Device
    session: Callable[..., Session] = Session
    stop: type[StopSignal] = StopSignal
    attempt: Callable[[], AbstractContextManager[None]] = nullcontext


def compute(
    job: Job, seeds: list[int], swept: Mapping[str, Any], report: Callable[[str], None], processes: Group | None = None
) -> tuple[dict[int, dict[str, Any]], dict[int, str]]:
    """Attempt `seeds` jointly where the task batches them, else one after another; results, and a line for each that crashed, by seed.

    Their folders are held by the caller. Of several `processes` each computes its part, and all of them call this.

    Raises:
        UserError: the task, method or data set refuses what it was given.
        Stopped: after a checkpoint.
        WorkerLost: another process is gone.
    """
    libthreads.limit(job.settings.hardware.threads)
    place = Place(open_device(job.settings.hardware))
    if processes is not None:
        from bench.run.ddp_session import shared

        place = shared(job, place.device, processes)
    say(job.settings.verbose, f"on {in_words(place.device)}")
    results: dict[int, dict[str, Any]] = {}
    failures: dict[int, str] = {}
    for group in [seeds] if job.protocol().BATCHES_SEEDS else [[seed] for seed in seeds]:
        title = f"{job.title}, {seeds_in_words(group)}"
        try:
            with place.attempt():
                results |= _attempt(job, group, place, Display(console(job.settings.verbose), title), swept, report)
        except (UserError, Stopped, WorkerLost, KeyboardInterrupt):
            raise
        except BaseException as error:  # a bug in a method, its sys.exit(), a full disk: other seeds and jobs go on
            if isinstance(error, Exception) and (refused := refusal(error, job.parts)) is not None:
                raise refused from error
            line = write_error(job, group, error)
            report(f"{title}: failed: {line}")
            failures |= dict.fromkeys(group, line)
    return results, failures


def _attempt(
    job: Job,
    seeds: list[int],
    place: Place,
    display: Display,
    swept: Mapping[str, Any],
    report: Callable[[str], None],
) -> dict[int, dict[str, Any]]:
    """Compute `seeds` together, from the checkpoint where there is one; result.json by seed."""
    place.device.forget_peak_memory()
    runs = [Run(seed, job.seed_folder(seed)) for seed in seeds]
    with contextlib.ExitStack() as ended:
        session = place.session(job, runs, place.device, ended.enter_context(place.stop()), display, report)
        numbers: list[int] = []

        def open_all() -> None:
            numbers.extend(prepare(job, seeds, environment(place.device)))
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
