"""The largest memory that a valuation takes beyond what was there when it began."""

from __future__ import annotations

import contextlib
import ctypes
import re
from pathlib import Path

import torch

from bench.run.hardware import Device

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Peak:
    """Bytes beyond those at its making: of the allocator on a GPU, else of the process's resident set.

    On a CPU freed memory is handed back to the system first, since what lies ready for use again would not be seen; then the kernel's own
    mark of the largest resident set is set back (Linux). Where it cannot be, the set is looked at whenever `read` is called.
    """

    def __init__(self, device: Device) -> None:
        self._device, self._largest = device, 0
        if device.is_cuda:
            device.forget_peak_memory()
            self._start = torch.cuda.memory_allocated(device.device)
            return
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)
        self._marks = False
        with contextlib.suppress(OSError):
            RESET.write_text("5")
            self._marks = True
        self._start = _resident("VmRSS")

    def read(self) -> int:
        """The largest so far."""
        self._largest = max(self._largest, self._now() - self._start)
        return self._largest

    def _now(self) -> int:
        if self._device.is_cuda:
            return torch.cuda.max_memory_allocated(self._device.device)
        return _resident("VmHWM" if self._marks else "VmRSS")


def _resident(name: str) -> int:
    """Bytes by the kernel; 0 where it does not say."""
    with contextlib.suppress(OSError):
        if found := re.search(rf"^{name}:\s+(\d+) kB", STATUS.read_text(), re.M):
            return int(found[1]) * 1024
    return 0
