"""What a task sees of the runner: the runs it advances together, their logs, their checkpoint, their clock."""

from __future__ import annotations

import io
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import torch

from bench.run.hardware import Clock, Device
from bench.run.job import Job
from bench.run.store import CHECKPOINT, ENVIRONMENT, METRICS, MetricsFile, set_aside, write_atomic


class Mirror(Protocol):
    """A tracker's view of one run (bench.run.tracking)."""

    def log(self, row: dict[str, Any]) -> None: ...
    def finish(self, summary: dict[str, Any], failed: bool) -> None: ...


class Stopped(SystemExit):
    """SIGTERM or Ctrl-C, after the checkpoint was written; the exit code is 128 + signal."""


class StopSignal:
    """Turns SIGTERM and the first Ctrl-C into a request that a session answers at its next step; a second one acts at once."""

    def __init__(self) -> None:
        self.number: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopSignal:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._before[number] = signal.signal(number, self._request)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _request(self, number: int, frame: FrameType | None) -> None:
        if self.number is not None:
            raise Stopped(128 + number)
        self.number = number


class Run:
    """One seed of one job: its folder, its curve, its final metrics."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.seed = seed
        self.folder = folder
        self.mirror: Mirror | None = None
        self.final: dict[str, Any] | None = None
        self.status = "finished"
        self.latest: dict[str, Any] = {}
        self._metrics: MetricsFile | None = None

    def open(self, offset: int) -> None:
        """Start (offset 0) or continue the curve."""
        self._metrics = MetricsFile(self.folder, offset)

    def offset(self) -> int:
        """Bytes of the curve on disk."""
        assert self._metrics is not None
        return self._metrics.offset()

    def log(self, step: int, **metrics: Any) -> None:
        """One row of the curve, on disk at once; `step` counts iterations of the method."""
        assert self._metrics is not None
        row = {"step": step, **metrics}
        self._metrics.append(row)
        self.latest = row
        if self.mirror:
            self.mirror.log(row)

    def finish(self, status: str = "finished", **metrics: Any) -> None:
        """The final metrics. status: finished, or diverged (a loss or parameter became NaN or infinite)."""
        self.status = status
        self.final = metrics

    def close(self) -> None:
        if self._metrics:
            self._metrics.close()


class Session:
    """The runs (seeds) that a task advances together."""

    def __init__(
        self, job: Job, runs: list[Run], device: Device, stop: StopSignal, progress: Any, report: Callable[[str], None]
    ) -> None:
        self.job, self.runs, self.device, self.progress, self.report = job, runs, device, progress, report
        self.clock = Clock(device)
        self.gradient_evaluations: list[int] = [0] * len(runs)
        self.examples = 0
        self._stop = stop
        self._saved_at = time.monotonic()

    @property
    def seeds(self) -> list[int]:
        return [run.seed for run in self.runs]

    @property
    def _checkpoint(self) -> Path:
        return self.runs[0].folder / CHECKPOINT

    def begin(self, total: int, first: int = 0) -> None:
        """The task starts its loop: `total` steps in all, `first` of them done before."""
        self.progress.start(total, first)
        self.clock.start()

    def due(self) -> bool:
        """Is it time for a checkpoint? Asked at every step; costs a clock reading."""
        return self._stop.number is not None or time.monotonic() - self._saved_at >= self.job.settings.checkpoint_every

    def save(self, state: dict[str, Any]) -> None:
        """Write the checkpoint; if a stop was asked for, stop here.

        Raises:
            Stopped: with exit code 128 + signal.
        """
        with self.clock.paused():
            content = {
                "key": self.job.key,
                "code": self.job.code,
                "seeds": self.seeds,
                "offsets": [run.offset() for run in self.runs],
                "latest": [run.latest for run in self.runs],
                "elapsed": self.clock.read(),
                "gradient_evaluations": self.gradient_evaluations,
                "examples": self.examples,
                "state": state,
            }
            packed = io.BytesIO()  # torch.save on a full disk hides the reason; a plain write tells it
            torch.save(content, packed)
            write_atomic(self._checkpoint, lambda file: file.write(packed.getbuffer()))
        self._saved_at = time.monotonic()
        if self._stop.number is not None:
            self.report(f"stopped; checkpoint in {self._checkpoint.parent}, run the same command again to go on")
            raise Stopped(128 + self._stop.number)

    def start(self) -> dict[str, Any] | None:
        """Open the curves; returns the state of the checkpoint to resume from, or None for a fresh start."""
        content = self._read_checkpoint()
        offsets = content["offsets"] if content else [0] * len(self.runs)
        for run, offset in zip(self.runs, offsets):
            run.open(offset)
        if content is None:
            return None
        self.clock = Clock(self.device, content["elapsed"])
        self.gradient_evaluations, self.examples = content["gradient_evaluations"], content["examples"]
        for run, latest in zip(self.runs, content["latest"]):
            run.latest = latest
        self.report(f"resuming {self._checkpoint.parent} from its checkpoint")
        return content["state"]

    def _read_checkpoint(self) -> dict[str, Any] | None:
        path = self._checkpoint
        if self.job.settings.force or not path.exists():
            return None
        try:
            content = torch.load(io.BytesIO(path.read_bytes()), map_location=self.device.device, weights_only=True)
            whole = all(
                (run.folder / METRICS).stat().st_size >= offset for run, offset in zip(self.runs, content["offsets"])
            )
        except Exception as error:  # torch.load raises many kinds on a damaged file
            self.report(
                f"{path} is damaged ({error.__class__.__name__}); moved to {set_aside(path).name}, starting afresh"
            )
            return None
        if (content["key"], content["seeds"]) != (self.job.key, self.seeds) or not whole:
            return None
        if content["code"] != self.job.code:
            self.report(f"{path} was written by other code; starting afresh")
            return None
        return content

    def clear(self) -> None:
        """Remove the checkpoint of a finished session."""
        self._checkpoint.unlink(missing_ok=True)


__all__ = ["ENVIRONMENT", "Run", "Session", "StopSignal", "Stopped"]
