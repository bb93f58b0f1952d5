"""What a task sees of the runner: the runs it advances together, their logs, their checkpoint, their clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.run.atomic import set_aside
from bench.run.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from bench.run.clock import Clock
from bench.run.curve import MetricsFile, begins
from bench.run.files import CHECKPOINT, METRICS, beside
from bench.run.finite import broken, finite
from bench.run.hardware import Device
from bench.run.job import Job
from bench.run.stopping import Stopped, StopSignal


class Run:
    """One seed of one job: its folder, its curve, its final metrics. `follow` is told each row of the curve."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.seed, self.folder = seed, folder
        self.curve = folder / (METRICS + beside(folder))
        self.follow: Callable[[dict[str, Any]], None] = lambda row: None
        self.final: dict[str, Any] | None = None
        self.status = "finished"
        self.latest: dict[str, Any] = {}
        self._metrics: MetricsFile | None = None

    def open(self, offset: int) -> None:
        """Start (offset 0) or continue the curve."""
        self._metrics = MetricsFile(self.curve, offset)

    def mark(self) -> dict[str, Any]:
        """Bytes, rows and digest of the curve, which is on disk."""
        assert self._metrics is not None
        return self._metrics.mark()

    def log(self, step: int, **metrics: Any) -> None:
        """One row of the curve, on disk at once; `step` counts iterations of the method."""
        assert self._metrics is not None
        row = {"step": step, **metrics}
        self._metrics.append(row)
        self.latest = row
        self.follow(row)

    def finish(self, status: str = "finished", **metrics: Any) -> None:
        """The final metrics. status: finished, or diverged (a loss or parameter became NaN or infinite).

        A run is diverged too where a final metric is None, NaN or infinite, or one of the curve's last row is NaN or infinite, whatever
        its task says. A metric that a sound run may lack (a time that was never reached) is left out by its task, and its note says when.
        """
        sound = finite(metrics) and not any(broken(value) for value in self.latest.values())
        self.status = status if sound else "diverged"
        self.final = metrics


class Session:
    """The runs (seeds) that a task advances together."""

    def __init__(
        self, job: Job, runs: list[Run], device: Device, stop: StopSignal, progress: Any, report: Callable[[str], None]
    ) -> None:
        self.job, self.runs, self.device, self.progress, self.report = job, runs, device, progress, report
        self.clock = Clock(device.synchronize)
        self.gradient_evaluations: list[int] = [0] * len(runs)
        self.examples = 0
        self.opening: Callable[[], None] = lambda: None  # what else is to be written before the first step
        self._stop = stop
        self._saved_at = time.monotonic()
        self._fresh = True
        self._lengths: list[int] | None = [0] * len(runs)  # of the curves to go on from; None: they are open

    @property
    def seeds(self) -> list[int]:
        return [run.seed for run in self.runs]

    @property
    def _checkpoint(self) -> Path:
        return self.runs[0].folder / CHECKPOINT

    def start(self) -> dict[str, Any] | None:
        """The state of the checkpoint to resume from, or None for a fresh start. Nothing is written until the task begins its loop."""
        found = self._resumable()
        if found is None:
            return None
        self._fresh, self._lengths = False, [mark["bytes"] for mark in found.curves]
        for run, latest in zip(self.runs, found.latest):
            run.latest = latest
        self.clock = Clock(self.device.synchronize, found.elapsed)
        self.gradient_evaluations, self.examples = found.gradient_evaluations, found.examples
        self.report(f"resuming {self._checkpoint.parent} from its checkpoint")
        return found.state

    def advance(self, state: dict[str, Any] | None) -> None:
        """The task's loop, from `state` to the end."""
        keys = {name: value for name, value in self.job.parts["task"].items() if name != "_target_"}
        self.job.protocol().run(self, state, **keys)

    def begin(self, total: int, first: int = 0) -> None:
        """The task starts its loop, as nothing it was given is wrong: `total` steps in all, `first` of them done before."""
        if self._lengths is not None:
            self._open(self._lengths)
            self._lengths = None
        self.progress.start(total, first)
        self.clock.start()

    def _open(self, lengths: list[int]) -> None:
        if self._fresh:
            self.clear()
        for run, length in zip(self.runs, lengths):
            run.open(length)
        self.opening()

    def due(self) -> bool:
        """Is it time for a checkpoint? Asked at every step; costs a clock reading."""
        return self._stop.number is not None or time.monotonic() - self._saved_at >= self.job.settings.checkpoint_every

    def save(self, state: dict[str, Any]) -> None:
        """Write the checkpoint; if a stop was asked for, stop here.

        Raises:
            Stopped: with exit code 128 + signal.
        """
        with self.clock.paused():
            checkpoint = Checkpoint(
                key=self.job.key,
                code=self.job.code,
                precision=self.job.settings.hardware.precision,
                forced=self.job.settings.force is True,
                seeds=self.seeds,
                curves=[run.mark() for run in self.runs],
                latest=[run.latest for run in self.runs],
                elapsed=self.clock.read(),
                gradient_evaluations=self.gradient_evaluations,
                examples=self.examples,
                state=state,
            )
            write_checkpoint(self._checkpoint, checkpoint)
        self._saved_at = time.monotonic()
        if self._stop.number is not None:
            self.report(f"stopped; checkpoint in {self._checkpoint.parent}, run the same command again to go on")
            raise Stopped(128 + self._stop.number)

    def clear(self) -> None:
        """Remove the checkpoint: the session has finished, or starts afresh."""
        self._checkpoint.unlink(missing_ok=True)

    def _resumable(self) -> Checkpoint | None:
        """The checkpoint, if it is of this key, these seeds, this code and precision, and the curves are those that it was written with.

        What force=true computes goes on from a checkpoint of force=true alone.
        """
        found, settings = read_checkpoint(self._checkpoint, self.device.device, self.report), self.job.settings
        if found is None or (found.key, found.seeds, found.forced) != (
            self.job.key,
            self.seeds,
            settings.force is True,
        ):
            return None
        if (found.code, found.precision) != (self.job.code, settings.hardware.precision):
            what = "by other code" if found.code != self.job.code else f"in {found.precision}"
            self.report(f"{self._checkpoint} was written {what}; starting afresh")
            return None
        damaged = [run.curve for run, mark in zip(self.runs, found.curves) if not begins(run.curve, mark)]
        for path in damaged:
            moved = f"; moved to {set_aside(path).name}" if path.exists() else ""
            self.report(f"{path} is not the curve of its checkpoint{moved}, starting afresh")
        return None if damaged else found
