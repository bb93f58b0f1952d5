"""What a result was computed with: versions, processor, threads, commit. No host or user name."""

from __future__ import annotations

import contextlib
import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from bench.run import world
from bench.run.hardware import Device
from bench.run.paths import ROOT
from bench.run.speed import speed

PACKAGES = ("torch", "torchvision", "numpy", "hydra-core", "omegaconf", "wandb", "scikit-learn", "scipy")


def environment(device: Device) -> dict[str, Any]:
    """The machine, as env.json holds it, and the number of processes where there were several."""
    several = {"processes": world.size()} if device.settings.processes != "one" else {}
    return {
        **_static(),
        "device": device.device.type,
        "gpu": _gpu(device),
        "threads": torch.get_num_threads(),
        "hardware": device.settings.model_dump(),
        **several,
    }


def in_words(device: Device) -> str:
    """`cpu, 2 threads` or `cuda: NVIDIA H100 80GB HBM3, bf16`."""
    precision = ", bf16" if device.settings.precision == "bf16" else ""
    several = f"{world.size()} processes, each on " if device.settings.processes != "one" else ""
    if device.is_cuda:
        return f"{several}cuda: {_gpu(device)}{precision}"
    threads = torch.get_num_threads()
    return f"{several}cpu, {threads} thread{'s' * (threads > 1)}{precision}"


def _gpu(device: Device) -> str | None:
    return torch.cuda.get_device_name(device.device) if device.is_cuda else None


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
        "speed": speed(),
        "git_commit": _git("rev-parse", "HEAD"),
        "git_dirty": None if status is None else bool(status),
    }


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
