"""What the feature-learning task keeps of one dimension: networks, directions, hitting times, the rows of each seed's curve.

Shapes: G settings, P = seeds x replicates paths, N neurons, k directions, S steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from bench.seeding import generator
from bench.tasks.feature_learning.index_models import RIDGE, TEST, IndexModel
from bench.tasks.feature_learning.measures import Measures, summary
from bench.tasks.feature_learning.network_errors import network_error, population_loss, ridge_error
from bench.tasks.feature_learning.protocol import Method
from bench.tasks.feature_learning.two_layer import Neurons


def pad(x: Tensor, width: int) -> Tensor:
    """x with zeros appended to its last axis."""
    return torch.nn.functional.pad(x, (0, width - x.shape[-1]))


class Cell:
    """One dimension d: all settings, seeds and replicates.

    Args:
        logs: of each seed, log(step, **metrics) of a row of its curve.

    Attributes:
        w: rows [G, P, N, d]. theta: directions [P, k, d]. reports: numbers of samples at which rows are logged.
        hit: samples at the start of the first sustained stay above the threshold [G, P], infinite where there was none yet.
        last: the last row of each seed at the largest n so far, by the first setting.
    """

    def __init__(
        self,
        seeds: list[int],
        logs: list[Callable[..., None]],
        model: IndexModel,
        d: int,
        reports: list[int],
        theta: Tensor,
        w: Tensor,
        neurons: Neurons,
        settings: list[dict[str, float]],
        method: Method,
        measures: Measures,
        linear: Tensor | None,
    ) -> None:
        self.seeds, self.logs, self.model, self.d, self.reports, self.method = seeds, logs, model, d, reports, method
        self.measures, self.linear = measures, linear
        self.theta, self.w, self.neurons, self.settings = theta, w, neurons, settings
        self.start = w.clone()
        self.replicates = len(theta) // len(seeds)
        shape = w.shape[:2]
        self.below = torch.zeros(shape, dtype=torch.float64, device=w.device)  # samples when the overlap was last below
        self.hit = torch.full(shape, math.inf, dtype=torch.float64, device=w.device)
        self.last: list[dict[str, Any]] = []
        self.largest = 0  # n of `last`

    def restart(self) -> None:
        """The networks as they were at the start."""
        self.w = self.start.clone()

    def sample(self, block: int, count: int) -> tuple[Tensor, Tensor]:
        """x [P, count, d] and y [P, count] of one block."""
        x, y = self.model.labelled(self.seeds, self.replicates, self.d, block, count, self.theta.double())
        return x.to(self.w.dtype), y.to(self.w.dtype)

    def overlaps(self) -> tuple[Tensor, Tensor]:
        """Cosines and inner products of rows and directions, [G, P, N, k]."""
        return torch.nn.functional.normalize(self.w, dim=-1) @ self.theta.mT, self.w @ self.theta.mT

    def watch(self, cosines: Tensor, before: int, size: int) -> None:
        """Look for the hitting time in the steps of a block.

        Args:
            cosines: after each step, [S, G, P, N, k]. before: samples seen when the block began. size: samples a step.
        """
        level = cosines.norm(dim=-1).mean(-1)
        seen = before + size * torch.arange(1, len(level) + 1, device=level.device, dtype=torch.float64)[:, None, None]
        above = level >= self.measures.threshold
        below = torch.cat([self.below[None], torch.where(above, 0.0, seen)]).cummax(0).values[1:]
        stayed = above & (seen - below - size >= self.measures.sustain * self.d)
        self.hit = torch.minimum(self.hit, torch.where(stayed, below + size, math.inf).amin(0))
        self.below = below[-1]

    def _hitting_time(self) -> Tensor:
        """Median over the replicates of each seed, the lower one of two; infinite where fewer than half have hit; [G, seeds]."""
        return self.hit.reshape(len(self.hit), -1, self.replicates).median(-1).values

    def decided(self, stop: str) -> bool:
        """Do the hitting times stand: of each seed by all settings, or by any of them (which is the best one's)?"""
        if stop == "never":
            return False
        found = torch.isfinite(self._hitting_time())
        return bool(found.all() if stop == "all" else found.any(0).all())

    def report(self, n: int, iterations: int, cosines: Tensor, raw: Tensor, **more: Tensor) -> None:
        """A row for each seed and setting: means over replicates. `more`: metrics [G, P]."""
        found = summary(cosines, self.measures.aligned_at)
        if self.linear is not None:
            along = raw @ self.linear.to(raw)
            found["projection"] = (self.neurons.a[..., 0].sign() * along).mean(-1)
        found |= more
        names = list(found)
        table = torch.stack([found[name].double() for name in names], -1)
        means = table.reshape(len(self.settings), -1, self.replicates, len(names)).mean(2).tolist()
        times = self._hitting_time().tolist()
        counted = n if self.method.fresh and self.method.batch_size else n * iterations
        fixed = {
            "dimension": self.d,
            "samples": counted if self.method.fresh else n,
            "samples_per_dim": n / self.d,
            "iterations": iterations,
            "gradient_evaluations": self.method.evaluations * counted,
        }
        latest = []
        for s, log in enumerate(self.logs):
            rows = [{**fixed, **own, **dict(zip(names, means[g][s]))} for g, own in enumerate(self.settings)]
            for g, row in enumerate(rows):
                if more and math.isfinite(times[g][s]):
                    row["hitting_time"] = times[g][s]
            finite = [row for row in rows if all(math.isfinite(value) for value in row.values())]
            best = self._best(finite) if more and len(rows) > 1 else {}
            latest.append(rows[0] | best)
            for row in [*finite, *([fixed | best] if best else [])]:
                log(iterations, **row)
        if n >= self.largest:
            self.last, self.largest = latest, n

    @staticmethod
    def _best(rows: list[dict[str, float]]) -> dict[str, float]:
        """Of a seed's settings: the shortest hitting time and the setting that has it, and the largest overlaps, whichever has them."""
        found = {f"tuned_{name}": max(row[name] for row in rows) for name in ("overlap_mean", "overlap_max") if rows}
        hits = [row for row in rows if "hitting_time" in row]
        if hits:
            best = min(hits, key=lambda row: row["hitting_time"])
            found |= {f"tuned_{name}": best[name] for name in ("hitting_time", "lr", "inner_lr") if name in best}
        return found

    def end(self, n: int, iterations: int, train: tuple[Tensor, Tensor] | None = None) -> None:
        """The last row of this d and n, with losses and errors."""
        self.report(n, iterations, *self.overlaps(), **self._errors(train))

    def _errors(self, train: tuple[Tensor, Tensor] | None) -> dict[str, Tensor]:
        measures, target, w = self.measures, self.model.target, self.w
        variance = target.variance + self.model.noise**2
        test = self.sample(TEST, measures.test_samples)
        error = network_error(w, self.neurons, *test)
        norms = w.norm(dim=-1)
        found = {"test_loss": error / 2, "network_error": error / variance, "norm_error": (norms - 1).abs().amax(-1)}
        if train is not None:
            found["train_error"] = network_error(w, self.neurons, *train) / variance
        loss = population_loss(w, self.theta, self.neurons, target, self.model.noise)
        if loss is not None:
            found["population_loss"] = loss
        if measures.ridge_samples:
            fit, biases = self.sample(RIDGE, measures.ridge_samples), self._biases(measures.ridge_bias)
            errors = [ridge_error(each, biases, fit, test, measures.ridge_penalties) for each in w]
            found["test_error"] = torch.stack(errors) / variance
        return found

    def _biases(self, largest: float) -> Tensor:
        """New biases [P, N, 1], uniform on [-largest, largest]."""
        streams = [generator(s, "init", self.d, r, RIDGE) for s in self.seeds for r in range(self.replicates)]
        drawn = torch.stack([torch.rand(self.w.shape[2], 1, generator=g, dtype=torch.float64) for g in streams])
        return (largest * (2 * drawn - 1)).to(self.w)

    def note(self) -> dict[str, float]:
        """For the console: the mean over seeds."""
        return {"overlap": sum(row["overlap_mean"] for row in self.last) / len(self.last)}

    def state(self) -> dict[str, Any]:
        return {"w": self.w.clone(), "below": self.below, "hit": self.hit, "last": self.last, "largest": self.largest}

    def restore(self, state: dict[str, Any]) -> None:
        self.w, self.below, self.hit = (state[k] for k in ("w", "below", "hit"))
        self.last, self.largest = state["last"], state["largest"]
