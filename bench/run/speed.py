"""How fast one thread of this machine is, so that costs measured on one machine can be scaled to another."""

from __future__ import annotations

import time
from functools import cache

import numpy as np

SECONDS = 0.05  # of trying
SIZE = 48  # matrices below the size at which BLAS starts threads; 4096 numbers stay in the first cache


@cache
def speed() -> float:
    """Rounds of a fixed piece of work a second (matrix products, elementwise functions, a sort, calls from Python), in one thread.

    The best of the rounds that fit into 50 ms: what else runs on the machine slows most rounds, but not all. Higher is faster.
    """
    a, x = np.linspace(-1, 1, SIZE * SIZE).reshape(SIZE, SIZE), np.linspace(-2, 2, 4096)
    best, end = float("inf"), time.perf_counter() + SECONDS
    while (begun := time.perf_counter()) < end:
        _round(a, x)
        best = min(best, time.perf_counter() - begun)
    return 1 / best


def _round(a: np.ndarray, x: np.ndarray) -> None:
    for _ in range(5):
        a = a @ a / SIZE
        x = np.sort(np.tanh(1.5 * x[::-1]) + 0.1)
