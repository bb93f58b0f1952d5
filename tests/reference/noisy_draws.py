"""The draws of a doubly stochastic gradient, one path at a time: minibatches and noise of each step, from the named streams of a seed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from reference.noisy_problems import Array, Sum
from scipy.linalg import sqrtm

from bench.seeding import generator

DRAWN_AT_ONCE, APART = 200_000, 10**9  # numbers of the steps that share a stream; the first step of estimates of V


@dataclass(frozen=True)
class Method:
    """Descent along minibatches of b components with m draws each; adam is None, or its keyword arguments and the power of averaging."""

    b: int
    m: int = 1
    rho: float = 1.0
    exact: bool = False
    sampling: str = "without_replacement"
    schedule: str = "constant"
    adam: dict[str, Any] | None = None
    averaging: float | None = None

    @property
    def evaluations(self) -> int:
        return self.b if self.exact else self.b * self.m


def batches(
    problem: Sum, method: Method, seed: int, steps: int, paths: int, offset: int = 0
) -> Iterator[list[tuple[Array, Array | None]]]:
    """For each step the indices [b] and noise [b or 1, m, k] of each path."""
    size = max(1, DRAWN_AT_ONCE // (paths * max(method.evaluations * problem.k, problem.size)))
    for first in range(0, steps, size):
        count = min(size, steps - first)
        indices = _indices(problem.n, method, seed, first + offset, count, paths)
        noise = None
        if not method.exact:
            shape = (count, paths, 1 if method.rho == 1 else method.b, method.m, problem.k)
            stream = generator(seed, "noise", first + offset, method.b, method.m)
            noise = torch.randn(shape, generator=stream).numpy().astype(np.float64)
        for t in range(count):
            yield [(indices[t][r], None if noise is None else _coupled(noise[t, r], method)) for r in range(paths)]


def _indices(n: int, method: Method, seed: int, first: int, count: int, paths: int) -> list[list[Array]]:
    b = method.b
    if b == n and method.sampling != "with_replacement":
        return [[np.arange(n)] * paths] * count
    if method.sampling == "reshuffling":
        found = []
        for t in range(first, first + count):
            epoch, block = divmod(t, n // b)
            keys = torch.rand(paths, n, generator=generator(seed, "order", epoch), dtype=torch.float64).numpy()
            found.append([np.argsort(row)[block * b : block * b + b] for row in keys])
        return found
    stream = generator(seed, "order", first, b)
    if method.sampling == "without_replacement" and b * (b - 1) > 2 * n:
        keys = torch.rand(count, paths, n, generator=stream, dtype=torch.float64).numpy()
        return [[np.argsort(row)[:b] for row in step] for step in keys]
    drawn = torch.randint(n, (count * paths, b), generator=stream).numpy()
    while method.sampling == "without_replacement":
        repeated = [k for k, row in enumerate(drawn) if len(set(row.tolist())) < b]
        if not repeated:
            break
        drawn[repeated] = torch.randint(n, (len(repeated), b), generator=stream).numpy()
    return [[drawn[t * paths + r] for r in range(paths)] for t in range(count)]


def _coupled(noise: Array, method: Method) -> Array:
    """Draws [b, m, k] of correlation rho between slots: the symmetric root of the correlation matrix times independent ones."""
    if method.rho in (0, 1):
        return noise
    wanted = (1 - method.rho) * np.eye(method.b) + method.rho * np.ones((method.b, method.b))
    return np.einsum("ij,jmk->imk", np.real(sqrtm(wanted)), noise)
