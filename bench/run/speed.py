"""How fast is this machine? A quick test, so that seconds measured elsewhere say something about here."""

from __future__ import annotations

import time
from functools import cache

import numpy as np


@cache
def speed() -> float:
    """Higher is faster."""
    x = np.random.default_rng(0).standard_normal((200, 200))
    best = 1e9
    for _ in range(5):
        begun = time.perf_counter()
        for _ in range(10):
            y = x @ x
            y += x
        best = min(best, time.perf_counter() - begun)
    return round(1 / best, 3)
