"""The draws of many steps at once: minibatches of all seeds and paths, in chunks that fit memory."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from bench.tasks.doubly_stochastic.protocol import Batch, Method, Problem

NUMBERS = 200_000  # b m k R of the steps whose draws are made at once, a seed


def per_step(method: Method, problem: Problem, paths: int) -> int:
    """Numbers that a step's draws take, a seed."""
    return paths * max(method.evaluations * problem.noise_dim, problem.footprint)


def chunks(steps: int, per_step: int, first: int = 0) -> Iterator[tuple[int, int]]:
    """(first step, number of steps) of the chunks whose draws are made at once, from the one that holds step `first` on."""
    size = max(1, NUMBERS // per_step)
    for start in range(first // size * size, steps, size):
        yield start, min(size, steps - start)


def draw(problem: Problem, method: Method, seeds: list[int], first: int, count: int, paths: int, like: Tensor) -> Batch:
    """The batches of steps first, ..., first + count - 1, with leading dimensions [count, S paths]."""
    index = method.minibatches(seeds, first, count, paths).to(like.device)
    noise = method.noise(seeds, first, count, paths, problem.noise_dim)
    return problem.batch(index, None if noise is None else noise.to(like))
