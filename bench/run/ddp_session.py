"""What a task sees of the runner where several processes compute one job: the session of each, and who of them writes.

All processes run the task alike. The first one's folder is the result; the others write into a temporary one.
"""

from __future__ import annotations

import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from types import FrameType
from typing import Any

from bench.run.attempt import Place
from bench.run.ddp import Group
from bench.run.hardware import Device
from bench.run.job import Job
from bench.run.notes import note
from bench.run.session import Session
from bench.run.slices import Rows, SlicedDevice
from bench.run.stopping import Stopped, StopSignal, WorkerLost

SAME = 5.0  # seconds within which a terminal's and torchrun's signal are one request


class SharedStop(StopSignal):
    """A StopSignal for a process that hears the same request from the terminal and from torchrun, and again when another process has ended."""

    _asked = 0.0

    def __exit__(self, kind: type[BaseException] | None = None, *_: object) -> None:
        super().__exit__()
        if kind is not None and issubclass(kind, Stopped | WorkerLost):  # the program ends
            signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def _request(self, number: int, frame: FrameType | None) -> None:
        if self.number is None or time.monotonic() - self._asked > SAME:
            super()._request(number, frame)
            self._asked = time.monotonic()


class SharedSession(Session):
    """The runs that a task advances, in one of several processes.

    Attributes:
        group: the processes.
    """

    def __init__(self, group: Group, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.group = group

    def start(self) -> dict[str, Any] | None:
        """The state of the first process's checkpoint, in each; None for a fresh start. All processes call it."""
        state = super().start() if self.group.rank == 0 else None
        files = [self._checkpoint, *(run.curve for run in self.runs)]
        for path in files:
            content = self.group.given(path.read_bytes() if state is not None else None)
            if content is not None and self.group.rank:
                path.write_bytes(content)
        return super().start() if self.group.rank else state

    def due(self) -> bool:
        """Is it time for a checkpoint, by the first process's clock or by a signal to any of them? All ask at the same steps and hear the same."""
        own = self._stop.number or (1 if self.group.rank == 0 and super().due() else 0)
        agreed = self.group.largest(own)
        if agreed > 1:
            self._stop.number = agreed
        return agreed > 0

    def save(self, state: dict[str, Any]) -> None:
        """As Session's, of the first process; the others wait until it has written.

        Raises:
            Stopped: in all of them, if one was asked to stop.
        """
        asked = None
        try:
            if self.group.rank == 0:
                super().save(state)
        except Stopped as stopped:
            asked = stopped
        agreed = self.group.largest(self._stop.number or 0)  # one may have been asked since all were
        if agreed:
            self._stop.number = agreed
            raise asked or Stopped(128 + agreed)


def shared(job: Job, plain: Device, group: Group) -> Place:
    """The place of one of several processes; its device slices minibatches, unless the task talks to the other processes itself."""
    own = note(job.names["task"]).processes == "own"
    device = plain if own else SlicedDevice(plain.device, plain.settings, rows=Rows(group))
    return Place(device, partial(SharedSession, group), SharedStop, group.attempt)


@contextmanager
def in_a_scratch_folder(job: Job, plan: dict[str, Any]) -> Iterator[Job]:
    """The job as a process computes it that is not the first: on the same data, told nobody, its results left in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="claimbench-") as folder:
        own = {
            "results_root": folder,
            "verbose": False,
            "tracker": job.settings.tracker.model_copy(update={"kind": "none"}),
        }
        job = replace(job.on(plan["data"]), settings=job.settings.model_copy(update=own))
        for seed in plan["missing"]:
            job.seed_folder(seed).mkdir(parents=True)
        yield job
