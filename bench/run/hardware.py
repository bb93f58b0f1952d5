"""Where and how a run computes: device, precision, memory layout, threads, peak memory."""

from __future__ import annotations

import contextlib
import ctypes
import resource
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from bench.errors import UserError
from bench.run.schema import Hardware

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of mallopt(3)


@dataclass(frozen=True)
class Device:
    """Where tensors live and how networks compute."""

    device: torch.device
    settings: Hardware

    @property
    def is_cuda(self) -> bool:
        return self.device.type == "cuda"

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """bf16 autocast when asked for, else nothing."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.precision == "bf16")

    def place(self, model: nn.Module) -> nn.Module:
        """The model on the device, in the memory layout asked for."""
        layout = torch.channels_last if self.settings.channels_last else torch.contiguous_format
        return model.to(self.device, memory_format=layout)  # type: ignore[call-overload]

    def compiled(self, function: Callable) -> Callable:
        """torch.compile when asked for."""
        return torch.compile(function) if self.settings.compile else function

    def synchronize(self) -> None:
        """Wait for the device: only around clocks, never in a loop."""
        if self.is_cuda:
            torch.cuda.synchronize(self.device)

    def forget_peak_memory(self) -> None:
        """On a GPU the peak counts from now."""
        if self.is_cuda:
            torch.cuda.reset_peak_memory_stats(self.device)

    def peak_memory(self) -> int:
        """Bytes: the allocator's peak on a GPU, the process's peak resident set on a CPU."""
        if self.is_cuda:
            return torch.cuda.max_memory_allocated(self.device)
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def open_device(settings: Hardware) -> Device:
    """The device that the settings name; threads and, on a CPU, how memory is kept are set for the process."""
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise UserError("hardware.device = 'cuda': this build of torch sees no CUDA device; use hardware=cpu")
    device = Device(torch.device("cuda" if settings.device != "cpu" and torch.cuda.is_available() else "cpu"), settings)
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    if not device.is_cuda:
        _keep_memory()
    return device


def _keep_memory() -> None:
    """Large arrays are reused instead of handed back to the system and faulted in again at every operation (glibc; elsewhere nothing happens)."""
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
