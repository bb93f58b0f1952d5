"""How a person or a scheduler stops a run: SIGTERM or Ctrl-C asks for a checkpoint, a second one ends at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.run.session import Session


class Stopped(SystemExit):
    """SIGTERM or Ctrl-C, after the checkpoint was written; the exit code is 128 + signal."""


class WorkerLost(SystemExit):
    """Of several processes that compute one job another is gone, or has come to another end: this one stops with one line and exit code 1."""


class StopSignal:
    """Turns SIGTERM and the first Ctrl-C into a request that a session answers at its next step; a second one acts at once.

    In a thread other than the main one, which gets no signals, it asks for nothing.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopSignal:
        main = threading.current_thread() is threading.main_thread()
        for number in (signal.SIGTERM, signal.SIGINT) if main else ():
            self._before[number] = signal.signal(number, self._request)
        return self

    def __exit__(self, kind: type[BaseException] | None = None, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _request(self, number: int, frame: FrameType | None) -> None:
        if self.number is not None:
            raise Stopped(128 + number)
        self.number = number


def pause(session: Session, save: Callable[[], None]) -> None:
    """Between units of work before the task's loop, which has no state yet: if a stop was asked for, `save` what there is and stop here.

    Raises:
        Stopped: with exit code 128 + signal.
    """
    number = session._stop.number
    if number is not None:
        save()
        session.report("stopped before the first step; run the same command again to go on")
        raise Stopped(128 + number)
