"""The clock of a run: seconds of work, without evaluation."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator


class Clock:
    """Seconds of work: from `start`, without what is paused, added to a checkpoint's reading.

    Args:
        synchronize: waits for the work queued on the device.
        elapsed: seconds read before.
    """

    def __init__(self, synchronize: Callable[[], None], elapsed: float = 0.0) -> None:
        self._synchronize = synchronize
        self._elapsed = elapsed
        self._since: float | None = None

    def start(self) -> None:
        """Count from now."""
        self._synchronize()
        self._since = time.perf_counter()

    def read(self) -> float:
        """Seconds so far; on a GPU after the work queued is done."""
        self._synchronize()
        return self._elapsed + (0.0 if self._since is None else time.perf_counter() - self._since)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """What runs inside is not counted."""
        self._elapsed, self._since = self.read(), None
        try:
            yield
        finally:
            self.start()
