"""The variance of a doubly stochastic gradient: by formula, from moments in closed form or measured, and by Monte Carlo.

Shapes: S seeds, b components and m draws a minibatch, d dimension.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor

from bench.errors import UserError
from bench.run.session import Session
from bench.seeding import generator
from bench.tasks.doubly_stochastic.budget import Moments, measure
from methods.noisy.doubly_sgd import DoublySGD

NUMBERS = 200_000  # b m k R of the steps whose draws are made at once, a seed
MINIBATCHES = 64  # at least so many behind a Monte Carlo estimate
ELSEWHERE = 10**9  # the step from which on the draws of estimates come, away from those of descents
Batch = tuple[Tensor, ...]


class Problem(Protocol):
    """A finite sum with infinite data; see datasets.sums.noisy_sums.NoisySum."""

    dim: int
    noise_dim: int
    num_components: int
    smoothness: float | None
    strong_convexity: float | None
    optimum: Tensor
    has_optimum: bool
    footprint: int

    def start(self) -> Tensor: ...
    def project(self, x: Tensor) -> Tensor: ...
    def batch(self, index: Tensor, noise: Tensor | None) -> Batch: ...
    def gradient(self, x: Tensor, batch: Batch) -> Tensor: ...
    def moments(self, x: Tensor, rho: float) -> Moments | None: ...


def per_step(method: DoublySGD, problem: Problem, paths: int) -> int:
    """Numbers that a step's draws take, a seed."""
    return paths * max(method.evaluations * problem.noise_dim, problem.footprint)


def chunks(steps: int, per_step: int, first: int = 0) -> Iterator[tuple[int, int]]:
    """(first step, number of steps) of the chunks whose draws are made at once, from the one that holds step `first` on."""
    size = max(1, NUMBERS // per_step)
    for start in range(first // size * size, steps, size):
        yield start, min(size, steps - start)


def draw(
    problem: Problem, method: DoublySGD, seeds: list[int], first: int, count: int, paths: int, like: Tensor
) -> Batch:
    """The batches of steps first, ..., first + count - 1, with leading dimensions [count, S paths]."""
    index = method.minibatches(seeds, first, count, paths).to(like.device)
    noise = method.noise(seeds, first, count, paths, problem.noise_dim)
    return problem.batch(index, None if noise is None else noise.to(like))


class Variance:
    """V at one point for each seed: from the moments (closed form, or of a pilot sample), and from draws of the estimator."""

    def __init__(
        self,
        session: Session,
        problem: Problem,
        method: DoublySGD,
        point: Tensor,
        draws: int,
        pilot: list[int] | None,
    ) -> None:
        self.session, self.problem, self.method, self.point = session, problem, method, point
        self.draws = 0 if method.exact else draws
        self.seeds = session.seeds if pilot is None else [0]  # of the Monte Carlo estimate
        if pilot is None:
            self.moments = [problem.moments(point, method.rho)] * len(session.seeds)
        else:
            self.moments = [self._measured(seed, pilot) for seed in session.seeds]

    def found(self, batch_sizes: list[int] | None) -> list[dict[str, float]]:
        """The final metrics of each seed; logs a row for each split of the budget by `batch_sizes`, None: the method's own alone."""
        b, m = self.method.b, self.method.m
        chosen = [(b, m)]
        if batch_sizes is not None:
            try:
                chosen = [(s.batch_size, s.mc_samples) for s in self.moments[0].splits(b * m, batch_sizes)]
            except ValueError as error:
                raise UserError(f"task.splits: {error}") from None
        sampled = [
            self._sampled(self.method.with_split(*split)) for split in chosen
        ]  # a list of S numbers or None each
        finals = []
        for s, (run, moments) in enumerate(zip(self.session.runs, self.moments)):
            rows = [self._row(moments, *split, None if v is None else v[s]) for split, v in zip(chosen, sampled)]
            if batch_sizes is not None:
                for row in rows:
                    run.log(0, **row)
            own = None if (b, m) not in chosen else rows[chosen.index((b, m))].get("variance_mc")
            final = self._final(moments) | self._row(moments, b, m, own)
            if batch_sizes is not None:
                final |= self._of_splits(moments, rows)
            finals.append(final)
        return finals

    def _row(self, moments: Moments, b: int, m: int, sampled: float | None) -> dict[str, float]:
        v = self._formula(moments, b, m)
        row = {"batch_size": b, "mc_samples": m, "variance": v}
        return row if sampled is None else row | {"variance_mc": sampled, "variance_ratio": sampled / v}

    def _formula(self, moments: Moments, b: int, m: int) -> float:
        if self.method.exact:
            return moments.subsampling_variance(b, self.method.replacement)
        return moments.variance(b, m, self.method.replacement)

    def _final(self, moments: Moments) -> dict[str, float]:
        b, m, replacement = self.method.b, self.method.m, self.method.replacement
        subsampling = moments.subsampling_variance(b, replacement)
        monte_carlo = 0.0 if self.method.exact else moments.monte_carlo_variance(b, m, replacement)
        return {
            "tau2": moments.tau2,
            "mean_s": moments.mean_s,
            "var_s": moments.var_s,
            "noise_correlation": moments.rho,
            "subsampling_variance": subsampling,
            "monte_carlo_variance": monte_carlo,
            "monte_carlo_share": monte_carlo / (subsampling + monte_carlo) if monte_carlo else 0.0,
            "optimal_batch_size": moments.optimal_batch_size(b * m),
        }

    def _of_splits(self, moments: Moments, rows: list[dict[str, float]]) -> dict[str, float]:
        """Where the smallest V is, and what other splits lose."""
        v = [row["variance"] for row in rows]
        best = min(range(len(v)), key=v.__getitem__)
        found = {
            "best_batch_size": rows[best]["batch_size"],
            "smallest_over_best": v[0] / v[best],
            "largest_over_best": v[-1] / v[best],
            "largest_increase": max((after / before for before, after in itertools.pairwise(v)), default=1.0),
        }
        sampled = [row.get("variance_mc", math.nan) for row in rows]
        return found | ({"excess_variance": sampled[best] / min(sampled)} if self.draws else {})

    def _sampled(self, method: DoublySGD) -> list[float] | None:
        """tr Cov of the minibatch gradient for each seed. A larger minibatch has lighter tails and is drawn less often, as b^-1/2.

        With a pilot sample one estimate is what every seed's prediction is held against.
        """
        count, seeds = max(int(self.draws / method.b**0.5), MINIBATCHES), len(self.seeds)
        if not self.draws:
            return None
        total = self.point.new_zeros(seeds, len(self.point))
        squares = self.point.new_zeros(seeds)
        for first, size in chunks(count, per_step(method, self.problem, 1)):
            g = self.problem.gradient(
                self.point, draw(self.problem, method, self.seeds, ELSEWHERE + first, size, 1, self.point)
            )
            total += g.sum(0)
            squares += g.square().sum((0, 2))
            self.session.examples += size * seeds * method.evaluations
        found = ((squares - total.square().sum(1) / count) / (count - 1)).tolist()
        return found * len(self.moments) if seeds == 1 else found

    def _measured(self, seed: int, pilot: list[int]) -> Moments:
        """From the gradients of a few components at a few draws that they share (bench.tasks.doubly_stochastic.budget)."""
        if len(pilot) != 2 or min(pilot) < 2 or pilot[0] > self.problem.num_components:
            raise UserError(f"task.pilot = {pilot}: [components, draws], at least 2 of each and at most n components")
        stream = generator(seed, "data", ELSEWHERE)
        index = torch.randperm(self.problem.num_components, generator=stream)[: pilot[0]].to(self.point.device)
        noise = torch.randn(pilot[1], 1, 1, self.problem.noise_dim, generator=stream, dtype=torch.float64)
        noise = noise.to(self.point)

        def gradients() -> Iterator[Tensor]:
            for i in index:
                batch = self.problem.batch(i.expand(pilot[1], 1), noise)
                yield self.problem.gradient(self.point, batch)

        moments = measure(gradients(), self.problem.num_components)
        if self.method.rho not in (0, 1):
            raise UserError(
                f"method.rho = {self.method.rho}: a pilot sample tells of shared (1) and separate (0) noise"
            )
        return moments if self.method.rho == 1 else moments.independent()
