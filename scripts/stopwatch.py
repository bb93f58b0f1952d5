"""What the speed benchmarks share: rows of their tables, and works timed in interleaved rounds."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

Row = tuple[str, str, str]


def timed(work: Callable[[], object]) -> float:
    """Seconds that `work` takes; on a GPU until it is done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def interleaved(works: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each work in each round, after one round that is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for k in range(rounds + 1):
        for name, work in works.items():
            spent = timed(work)
            if k:
                seconds[name].append(spent)
    return seconds
