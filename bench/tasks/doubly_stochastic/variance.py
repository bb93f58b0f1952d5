"""The variance of a doubly stochastic gradient: by formula, from moments in closed form or measured, and by Monte Carlo.

Shapes: S seeds, b components and m draws a minibatch, d dimension.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import torch
from torch import Tensor

from bench.errors import UserError
from bench.seeding import generator
from bench.tasks.doubly_stochastic.budget import Moments, measure
from bench.tasks.doubly_stochastic.draws import chunks, draw, per_step
from bench.tasks.doubly_stochastic.protocol import Method, Problem

MINIBATCHES = 64  # at least so many behind a Monte Carlo estimate
ELSEWHERE = 10**9  # the step from which on the draws of estimates come, away from those of descents
Row = dict[str, float]


class Variance:
    """V at one point for each seed: from the moments (closed form, or of a pilot sample), and from draws of the estimator.

    Args:
        point: where V is taken, [d].
        draws: minibatches behind a Monte Carlo estimate at b = 1; 0: no estimate.
        pilot: [components, draws] of a sample that the moments are measured on; None: closed form.

    Attributes:
        examples: component gradients that the estimates took.
    """

    def __init__(
        self, seeds: list[int], problem: Problem, method: Method, point: Tensor, draws: int, pilot: list[int] | None
    ) -> None:
        self.problem, self.method, self.point, self.examples = problem, method, point, 0
        self.draws = 0 if method.exact else draws
        self.seeds = seeds if pilot is None else [0]  # of the Monte Carlo estimate
        if pilot is None:
            self.moments = [problem.moments(point, method.rho)] * len(seeds)
        else:
            self.moments = [self._measured(seed, pilot) for seed in seeds]

    def found(self, batch_sizes: list[int] | None) -> list[tuple[list[Row], Row]]:
        """For each seed a row for each split of the budget by `batch_sizes` (None: no rows), and the final metrics."""
        b, m = self.method.b, self.method.m
        chosen = [(b, m)]
        if batch_sizes is not None:
            try:
                chosen = [(s.batch_size, s.mc_samples) for s in self.moments[0].splits(b * m, batch_sizes)]  # type: ignore[union-attr]
            except ValueError as error:
                raise UserError(f"task.splits: {error}") from None
        sampled = [self._sampled(self.method.with_split(*split)) for split in chosen]  # S numbers or None each
        found = []
        for s, moments in enumerate(self.moments):
            rows = [self._row(moments, *split, None if v is None else v[s]) for split, v in zip(chosen, sampled)]  # type: ignore[arg-type]
            own = None if (b, m) not in chosen else rows[chosen.index((b, m))].get("variance_mc")
            final = self._final(moments) | self._row(moments, b, m, own)  # type: ignore[arg-type]
            found.append(([], final) if batch_sizes is None else (rows, final | self._of_splits(rows)))
        return found

    def _row(self, moments: Moments, b: int, m: int, sampled: float | None) -> Row:
        v = self._formula(moments, b, m)
        row = {"batch_size": b, "mc_samples": m, "variance": v}
        return row if sampled is None else row | {"variance_mc": sampled, "variance_ratio": sampled / v}

    def _formula(self, moments: Moments, b: int, m: int) -> float:
        if self.method.exact:
            return moments.subsampling_variance(b, self.method.replacement)
        return moments.variance(b, m, self.method.replacement)

    def _final(self, moments: Moments) -> Row:
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
            "optimal_batch_size": self._optimal(moments, b * m),
        }

    def _optimal(self, moments: Moments, budget: int) -> float:
        """The real minimiser of this method's V over b in [1, min(budget, n)]; without noise V falls in b."""
        if self.method.exact:
            return float(min(budget, moments.num_components))
        return moments.optimal_batch_size(budget, self.method.replacement)

    def _of_splits(self, rows: list[Row]) -> Row:
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

    def _sampled(self, method: Method) -> list[float] | None:
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
            self.examples += size * seeds * method.evaluations
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
