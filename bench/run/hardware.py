"""Device, precision, threads, peak memory, the clock of a run, and the description of the machine."""

from __future__ import annotations

import contextlib
import platform
import resource
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from torch import nn

from bench.errors import UserError
from bench.run.paths import ROOT
from bench.run.schema import Hardware

PACKAGES = ("torch", "torchvision", "numpy", "hydra-core", "omegaconf", "wandb", "scikit-learn", "scipy")


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
        return model.to(self.device, memory_format=layout)

    def compiled(self, function: Callable) -> Callable:
        """torch.compile when asked for."""
        return torch.compile(function) if self.settings.compile else function

    def synchronize(self) -> None:
        """Wait for the device: only around clocks, never in a loop."""
        if self.is_cuda:
            torch.cuda.synchronize(self.device)

    def peak_memory(self) -> int:
        """Bytes: the allocator's peak on a GPU, the process's peak resident set on a CPU."""
        if self.is_cuda:
            return torch.cuda.max_memory_allocated(self.device)
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def open_device(settings: Hardware) -> Device:
    """The device that the settings name; threads are set for the process."""
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise UserError("hardware.device = 'cuda': this build of torch sees no CUDA device; use hardware=cpu")
    cuda = settings.device != "cpu" and torch.cuda.is_available()
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    return Device(torch.device("cuda" if cuda else "cpu"), settings)


class Clock:
    """Seconds of work: from `start`, without what is paused (evaluation), added to a checkpoint's reading."""

    def __init__(self, device: Device, elapsed: float = 0.0) -> None:
        self._device = device
        self._elapsed = elapsed
        self._since: float | None = None

    def start(self) -> None:
        """Count from now."""
        self._device.synchronize()
        self._since = time.perf_counter()

    def read(self) -> float:
        """Seconds so far; on a GPU after the work queued is done."""
        self._device.synchronize()
        return self._elapsed + (0.0 if self._since is None else time.perf_counter() - self._since)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """What runs inside is not counted."""
        self._elapsed, self._since = self.read(), None
        try:
            yield
        finally:
            self.start()


def _git(*args: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *args], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _cpu() -> str:
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


@cache
def _static() -> dict[str, Any]:
    versions = {}
    for name in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            versions[name] = version(name)
    status = _git("status", "--porcelain")
    return {
        "python": platform.python_version(),
        "versions": versions,
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu(),
        "git_commit": _git("rev-parse", "HEAD"),
        "git_dirty": None if status is None else bool(status),
    }


def environment(device: Device) -> dict[str, Any]:
    """What a result was computed with: versions, processor, threads, commit. No host or user name."""
    return {
        **_static(),
        "device": device.device.type,
        "gpu": torch.cuda.get_device_name(device.device) if device.is_cuda else None,
        "threads": torch.get_num_threads(),
        "hardware": device.settings.model_dump(),
    }
