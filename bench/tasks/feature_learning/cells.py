"""One dimension of the feature-learning task: its networks, directions and samples, and the rows of each seed's curve.

Shapes: G settings, P = seeds x replicates paths, N neurons, k directions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from bench.seeding import generator
from bench.tasks.feature_learning.hitting import HittingTimes
from bench.tasks.feature_learning.index_models import RIDGE, TEST, IndexModel
from bench.tasks.feature_learning.network_errors import network_error, population_loss, ridge_error
from bench.tasks.feature_learning.protocol import Method
from bench.tasks.feature_learning.two_layer import TwoLayer

Row = dict[str, float]


@dataclass(frozen=True)
class Measures:
    """What counts as recovery, and how the second phase is carried out: the task's keys of these names."""

    aligned_at: float
    threshold: float
    sustain: float
    ridge_samples: list[int]
    ridge_widths: list[int]
    ridge_penalties: list[float]
    ridge_bias: float
    test_samples: int


class Cell:
    """One dimension d: all settings, seeds and replicates.

    Args:
        reports: numbers of samples at which rows are logged.
        settings: the hyper-parameters of each setting, {} where there is no grid.
        dtype: of networks and samples.

    Attributes:
        w: rows [G, P, N, d]. theta: directions [P, k, d]. neurons: the second layer, biases and activation, which most methods leave alone.
        last: the last row of each seed at the largest n so far, by the first setting.

    Raises:
        ValueError: the network cannot have this target.
    """

    def __init__(
        self,
        d: int,
        reports: list[int],
        model: IndexModel,
        network: TwoLayer,
        method: Method,
        seeds: Sequence[int],
        replicates: int,
        settings: list[Row],
        measures: Measures,
        dtype: torch.dtype,
    ) -> None:
        self.d, self.reports, self.model, self.method, self.measures = d, reports, model, method, measures
        self.seeds, self.replicates, self.settings = list(seeds), replicates, settings
        self.neurons = self.untrained = network.neurons(seeds, replicates, d, model.target, model.device, dtype)
        theta = model.directions(seeds, replicates, d)
        start = network.weights(seeds, replicates, d, theta).to(dtype).expand(len(settings), -1, -1, -1)
        self.theta, self.start, self.w = theta.to(dtype), start, start.clone()
        shape, stay = (len(settings), len(theta)), measures.sustain * d
        self.hitting = HittingTimes(shape, replicates, measures.threshold, stay, model.device)
        self.last: list[Row] = []
        self.largest = 0  # n of `last`

    def restart(self) -> None:
        """The networks as they were at the start."""
        self.w, self.neurons = self.start.clone(), self.untrained

    def sample(self, block: int, count: int) -> tuple[Tensor, Tensor]:
        """x [P, count, d] and y [P, count] of one block."""
        x, y = self.model.labelled(self.seeds, self.replicates, self.d, block, count, self.theta.double())
        return x.to(self.w.dtype), y.to(self.w.dtype)

    def overlaps(self) -> tuple[Tensor, Tensor]:
        """Cosines and inner products of rows and directions, [G, P, N, k]."""
        return torch.nn.functional.normalize(self.w, dim=-1) @ self.theta.mT, self.w @ self.theta.mT

    def report(self, n: int, iterations: int, cosines: Tensor, raw: Tensor, **more: Tensor) -> list[list[Row]]:
        """For each seed a row for each setting, means over replicates, where they are finite; then the best settings'.

        Args:
            more: metrics [G, P] of the end; only with them rows have a hitting time and a best setting.
        """
        found = summary(cosines, self.measures.aligned_at)
        if self.model.target.linear_direction is not None:
            along = raw @ self.model.target.linear_direction.to(raw)
            found["projection"] = (self.neurons.a[..., 0].sign() * along).mean(-1)
        found |= more
        table = torch.stack([value.double() for value in found.values()], -1)
        means = table.reshape(len(self.settings), len(self.seeds), self.replicates, len(found)).mean(2).tolist()
        times, fixed = self.hitting.of_seeds().tolist(), self._counts(n, iterations)
        latest, logged = [], []
        for s in range(len(self.seeds)):
            rows = [{**fixed, **own, **dict(zip(found, means[g][s]))} for g, own in enumerate(self.settings)]
            for g, row in enumerate(rows):
                if more and math.isfinite(times[g][s]):
                    row["hitting_time"] = times[g][s]
            finite = [row for row in rows if all(math.isfinite(value) for value in row.values())]
            best = tuned(finite) if more and len(rows) > 1 else {}
            latest.append(rows[0] | best)
            logged.append([*finite, *([fixed | best] if best else [])])
        if n >= self.largest:
            self.last, self.largest = latest, n
        return logged

    def _counts(self, n: int, iterations: int) -> Row:
        counted = n if self.method.fresh and self.method.batch_size else n * iterations
        return {
            "dimension": self.d,
            "samples": counted if self.method.fresh else n,
            "samples_per_dim": n / self.d,
            "iterations": iterations,
            "gradient_evaluations": self.method.evaluations * counted,
        }

    def end(self, n: int, iterations: int, train: tuple[Tensor, Tensor] | None = None) -> list[list[Row]]:
        """The last rows of this d and n, with losses and errors; before them those of the second phase, where several are asked for."""
        test = self.sample(TEST, self.measures.test_samples)
        errors, phases = self._errors(train, test), self._second_phases(test)
        if phases:
            errors["test_error"] = list(phases.values())[-1]
        curves = self._phase_rows(phases, self._counts(n, iterations)) if len(phases) > 1 else [[]] * len(self.seeds)
        rows = self.report(n, iterations, *self.overlaps(), **errors)
        return [before + last for before, last in zip(curves, rows)]

    def _errors(self, train: tuple[Tensor, Tensor] | None, test: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        target, w = self.model.target, self.w
        variance = target.variance + self.model.noise**2
        error = network_error(w, self.neurons, *test)
        norms = w.norm(dim=-1)
        found = {"test_loss": error / 2, "network_error": error / variance, "norm_error": (norms - 1).abs().amax(-1)}
        if train is not None:
            found["train_error"] = network_error(w, self.neurons, *train) / variance
        loss = population_loss(w, self.theta, self.neurons, target, self.model.noise)
        if loss is not None:
            found["population_loss"] = loss
        return found

    def _second_phases(self, test: tuple[Tensor, Tensor]) -> dict[tuple[int, int], Tensor]:
        """{(N, T_2): test error [G, P]} of a second layer on the first N neurons with T_2 samples, new ones; the last is on the most."""
        measures, found = self.measures, {}  # type: ignore[var-annotated]
        if not measures.ridge_samples:
            return found
        x, y = self.sample(RIDGE, max(measures.ridge_samples))
        neurons = replace(self.neurons, b=self._biases(measures.ridge_bias))
        variance = self.model.target.variance + self.model.noise**2
        for width in sorted(measures.ridge_widths or [self.w.shape[2]]):
            part = neurons.first(width)
            for count in sorted(measures.ridge_samples):
                fit = x[:, :count], y[:, :count]
                each = [ridge_error(w[:, :width], part, fit, test, measures.ridge_penalties) for w in self.w]
                found[width, count] = torch.stack(each) / variance
        return found

    def _phase_rows(self, phases: dict[tuple[int, int], Tensor], counts: Row) -> list[list[Row]]:
        """For each seed a row for each second phase and setting, means over replicates."""
        shape, rows = (len(self.settings), len(self.seeds), self.replicates), [[] for _ in self.seeds]  # type: ignore[var-annotated]
        for (width, count), error in phases.items():
            means = error.double().reshape(shape).mean(2)
            fixed = {**counts, "ridge_width": width, "ridge_samples": count}
            for s, own in enumerate(rows):
                found = [{**fixed, **row, "test_error": float(means[g, s])} for g, row in enumerate(self.settings)]
                own += [row for row in found if math.isfinite(row["test_error"])]
        return rows

    def _biases(self, largest: float) -> Tensor:
        """New biases [P, N, 1], uniform on [-largest, largest]."""
        streams = [generator(s, "init", self.d, r, RIDGE) for s in self.seeds for r in range(self.replicates)]
        drawn = torch.stack([torch.rand(self.w.shape[2], 1, generator=g, dtype=torch.float64) for g in streams])
        return (largest * (2 * drawn - 1)).to(self.w)

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds of this dimension."""
        below, hit, a, b = self.hitting.below, self.hitting.hit, self.neurons.a, self.neurons.b
        trained = {"w": self.w.clone(), "a": a, "b": b, "below": below, "hit": hit}
        return trained | {"last": self.last, "largest": self.largest}

    def restore(self, state: dict[str, Any]) -> None:
        """The inverse of `state`."""
        self.w, self.hitting.below, self.hitting.hit = (state[k] for k in ("w", "below", "hit"))
        self.neurons = replace(self.neurons, a=state["a"], b=state["b"])
        self.last, self.largest = state["last"], state["largest"]


def pad(x: Tensor, width: int) -> Tensor:
    """x with zeros appended to its last axis."""
    return torch.nn.functional.pad(x, (0, width - x.shape[-1]))


def summary(cosines: Tensor, aligned_at: float) -> dict[str, Tensor]:
    """Overlap metrics [..., P] of the cosines [..., P, N, k]."""
    size = cosines.norm(dim=-1)
    found = {
        "overlap_mean": size.mean(-1),
        "overlap_max": size.amax(-1),
        "aligned": (size >= aligned_at).to(size.dtype).mean(-1),
    }
    largest = cosines.abs().amax(-2)
    if largest.shape[-1] > 1:
        found |= {f"overlap_{i + 1}": largest[..., i] for i in range(largest.shape[-1])}
    return found


def tuned(rows: list[Row]) -> Row:
    """Of a seed's settings: the shortest hitting time and the setting that has it, and the largest overlaps, whichever has them."""
    found = {f"tuned_{name}": max(row[name] for row in rows) for name in ("overlap_mean", "overlap_max") if rows}
    hits = [row for row in rows if "hitting_time" in row]
    if hits:
        best = min(hits, key=lambda row: row["hitting_time"])
        found |= {f"tuned_{name}": best[name] for name in ("hitting_time", "lr", "inner_lr") if name in best}
    return found
