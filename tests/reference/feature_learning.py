"""The feature-learning task in plain loops: every dimension, setting, seed and replicate by itself; the rows and final metrics of a whole run."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field

import numpy as np
from reference.feature_learning_data import TEST, Array, Network, directions, link_of, network, rows_at_start, samples
from reference.feature_learning_errors import (
    hitting_time,
    lower_median,
    network_error,
    overlaps,
    population_loss,
    second_phases,
)
from reference.feature_learning_methods import METHODS, exponent, step
from scipy.stats import linregress

BLOCK, LOOK = 32, 1024  # samples that are drawn at once; at whose multiples a run may end early
SINGLE = {"link": "he3", "normalised": True, "noise": 0.0, "rotated": True}
SEVERAL = {"target": "z1+he3_z2", "normalised": False, "noise": 0.0, "rotated": True}
MODEL = {"activation": "relu", "bias": "none", "second_layer": "signs", "output": "mean", "start": "uniform"}
MODEL |= {"small": 0.3}
TASK = {"samples_power": 1.0, "samples_log": False, "iterations": None, "replicates": 1, "grid": None}
TASK |= {"aligned_at": 0.5, "threshold": 0.35, "sustain": 1.0, "stop": "never", "ridge_widths": None}
TASK |= {"ridge_penalties": [1e-6, 1e-5, 1e-4, 1e-3, 1e-2], "ridge_bias": 3.0}
Row = dict[str, float]


@dataclass
class Path:
    """One network on its own samples: W and the network after each step, and the samples of the last."""

    theta: Array
    nets: list[Network]
    rows: list[Array]
    levels: list[float] = field(default_factory=list)
    last: tuple[Array, Array] | None = None


class Reference:
    """The rows of each seed's curve and its final metrics; `data`, `model`, `task`: keys that differ from the defaults above.

    Attributes:
        curves, finals: a list and a dict for each seed. examples: samples gone through by all networks.
    """

    def __init__(self, method: str, data: dict, model: dict, task: dict, seeds: list[int], own: dict) -> None:
        self.data = {**(SEVERAL if "target" in data else SINGLE), **data}
        self.model, self.task, self.seeds = {**MODEL, **model}, {**TASK, **task}, seeds
        self.method, grid = {**METHODS[method], **own}, self.task["grid"] or {}
        self.settings = [dict(zip(grid, values)) for values in itertools.product(*grid.values())]
        self.link, self.curves, self.examples = link_of(self.data), [[] for _ in seeds], 0
        self.lasts: list[dict[int, Row]] = [{} for _ in seeds]  # by dimension
        given = self.data["d"]
        self.dims = sorted([given] if isinstance(given, int) else given)
        with np.errstate(all="ignore"):  # a run may overflow
            for d in self.dims:
                (self._all_samples if self.method["batch_size"] is None else self._one_pass)(d)
            self.finals = [self._final(s) for s in range(len(seeds))]

    def _reports(self, d: int) -> list[int]:
        size, task = self.method["batch_size"] or 1, self.task
        scale = d ** task["samples_power"] * (math.log(d) if task["samples_log"] else 1)
        return sorted({max(size, round(each * scale / size) * size) for each in task["samples"]})

    def _start(self, seed: int, replicate: int, d: int) -> Path:
        theta = directions(self.data, self.link.k, seed, replicate, d)
        net = network(self.model, self.link, seed, replicate, d)
        return Path(theta, [net], [rows_at_start(self.model, theta, seed, replicate, d)])

    def _places(self) -> list[tuple[int, int, int]]:
        """Numbers of the setting, the seed and the replicate."""
        return list(
            itertools.product(range(len(self.settings)), range(len(self.seeds)), range(self.task["replicates"]))
        )

    def _advance(self, path: Path, setting: Row, x: Array, y: Array, part: float) -> None:
        net = Network(**vars(path.nets[-1]))  # a copy, as one method trains it
        path.rows.append(step({**self.method, **setting}, path.rows[-1], x, y, net, self.link, part))
        path.nets.append(net)
        path.last = x, y

    def _one_pass(self, d: int) -> None:
        """Fresh samples in small batches, each used once."""
        size, reports, paths = self.method["batch_size"], self._reports(d), {}
        for g, s, r in self._places():
            path = paths[g, s, r] = self._start(self.seeds[s], r, d)
            for seen in range(0, reports[-1], size):
                block, at = divmod(seen, BLOCK)
                if at == 0:
                    x, y = samples(self.data, path.theta, self.seeds[s], r, d, block + 1, BLOCK)
                part = seen / reports[-1]
                self._advance(path, self.settings[g], x[at : at + size], y[at : at + size], part)
                path.levels.append(self._overlaps(path, len(path.rows) - 1)["overlap_mean"])
        end = self._end(paths, d, size, reports[-1])
        for n in reports:
            if n < reports[-1] and n <= end:
                self._rows(paths, d, n, n // size, end=False)
        self._rows(paths, d, end, end // size, end=True)
        self.examples += end * len(paths)

    def _end(self, paths: dict, d: int, size: int, horizon: int) -> int:
        """Samples at which the dimension ends: all, or the first look at which every seed's median path had hit."""
        stop = {"never": None, "all": all, "any": any}[self.task["stop"]]
        for seen in range(LOOK, horizon, LOOK) if stop else []:
            times = self._times(paths, d, size, seen)
            if all(stop(times[g, s] < math.inf for g in range(len(self.settings))) for s in range(len(self.seeds))):
                return seen
        return horizon

    def _times(self, paths: dict, d: int, size: int, seen: int) -> dict[tuple[int, int], float]:
        task, found = self.task, {}
        for g, s in itertools.product(range(len(self.settings)), range(len(self.seeds))):
            own = [paths[g, s, r].levels[: seen // size] for r in range(task["replicates"])]
            each = [hitting_time(levels, size, task["threshold"], task["sustain"] * d) for levels in own]
            found[g, s] = lower_median(each)
        return found

    def _all_samples(self, d: int) -> None:
        """All n samples at each step, the same ones or new ones; each n starts anew."""
        for n in self._reports(d):
            paths, steps = {}, self.method["steps"]
            for g, s, r in self._places():
                path = paths[g, s, r] = self._start(self.seeds[s], r, d)
                for t in range(steps):
                    block = t + 1 if self.method["fresh"] else 1
                    x, y = samples(self.data, path.theta, self.seeds[s], r, d, block, n)
                    self._advance(path, self.settings[g], x, y, t / steps)
            for t in sorted(set(self.task["iterations"] or [])):
                if t < steps:
                    self._rows(paths, d, n, t, end=False)
            self._rows(paths, d, n, steps, end=True)
            self.examples += n * steps * len(paths)

    def _overlaps(self, path: Path, t: int) -> Row:
        return overlaps(path.rows[t], path.theta, path.nets[t], self.link, self.task["aligned_at"])

    def _errors(self, path: Path, t: int, name: tuple) -> Row:
        """Numbers of the end of one path."""
        w, net, link, data = path.rows[t], path.nets[t], self.link, self.data
        test = samples(data, path.theta, *name, TEST, self.task["test_samples"])
        variance = link.variance + data["noise"] ** 2
        error = network_error(w, net, *test)
        found = {"test_loss": error / 2, "network_error": error / variance}
        found["norm_error"] = max(abs(np.linalg.norm(row) - 1) for row in w)
        if self.method["batch_size"] is None:
            found["train_error"] = network_error(w, net, *path.last) / variance
        if link.closed and not net.biased and self.model["activation"] == "relu":
            found["population_loss"] = population_loss(w, path.theta, net, data, link)
        return found

    def _counts(self, d: int, n: int, t: int) -> Row:
        """What was used: gradients of single samples are two a sample where a step looks twice."""
        looks = 2 if self.method["kind"] in ("reuse", "ahead") else 1
        gone = n if self.method["batch_size"] else n * t  # samples gone through
        used = gone if self.method["fresh"] else n  # different ones
        fixed = {"step": t, "dimension": d, "samples": used, "samples_per_dim": n / d, "iterations": t}
        return fixed | {"gradient_evaluations": looks * gone}

    def _rows(self, paths: dict, d: int, n: int, t: int, *, end: bool) -> None:
        """Rows of each seed after t steps, means over its replicates."""
        fixed, size = self._counts(d, n, t), self.method["batch_size"]
        for s, seed in enumerate(self.seeds):
            rows, phase_rows = [], {}
            for g, setting in enumerate(self.settings):
                found = []
                for r in range(self.task["replicates"]):
                    path, name = paths[g, s, r], (seed, r, d)
                    own = self._overlaps(path, t)
                    if end:
                        own |= self._errors(path, t, name)
                        phases = second_phases(
                            path.rows[t], path.theta, path.nets[t], self.data, self.link, self.task, name
                        )
                        own |= {f"phase {key}": value for key, value in phases.items()}
                        own |= dict(zip(["test_error"], list(phases.values())[-1:]))
                    found.append(own)
                row = {key: sum(own[key] for own in found) / len(found) for key in found[0]}
                for key in [key for key in row if key.startswith("phase")]:
                    phase_rows.setdefault(key, []).append({**setting, "test_error": row.pop(key)})
                rows.append({**fixed, **setting, **row})
                if end and size and (time := self._times(paths, d, size, n)[g, s]) < math.inf:
                    rows[-1]["hitting_time"] = time
            self._log(s, d, fixed, rows, phase_rows, end)

    def _log(self, s: int, d: int, fixed: Row, rows: list[Row], phase_rows: dict[str, list[Row]], end: bool) -> None:
        for key, own in phase_rows.items() if len(phase_rows) > 1 else []:
            width, count = key.removeprefix("phase (").removesuffix(")").split(", ")
            self.curves[s] += [{**fixed, "ridge_width": int(width), "ridge_samples": int(count), **row} for row in own]
        whole = [row for row in rows if np.isfinite(list(row.values())).all()]
        self.curves[s] += whole
        self.lasts[s][d] = rows[0]
        if end and len(rows) > 1 and whole:
            best = {f"tuned_{key}": max(row[key] for row in whole) for key in ("overlap_mean", "overlap_max")}
            hits = [row for row in whole if "hitting_time" in row]
            if hits:
                first = min(hits, key=lambda row: row["hitting_time"])
                best |= {f"tuned_{key}": first[key] for key in ("hitting_time", "lr", "inner_lr") if key in first}
            self.curves[s].append({**fixed, **best})
            self.lasts[s][d] = {**rows[0], **best}

    def _final(self, s: int) -> Row:
        """Of the largest dimension at its largest n, and what follows from all of them or from the link."""
        lasts = [self.lasts[s][d] for d in self.dims]
        found = {key: value for key, value in lasts[-1].items() if key != "step"}
        for key in ("hitting", "tuned_hitting"):
            times = [row.get(f"{key}_time") for row in lasts]
            if len(times) > 1 and None not in times:
                found[f"{key}_slope"] = float(linregress(np.log(self.dims), np.log(times)).slope)
        if self.link.exponents:
            found |= dict(zip(("information_exponent", "generative_exponent"), self.link.exponents))
            theory = exponent(self.method, *self.link.exponents)
            found |= {"theory_slope": theory} if theory is not None else {}
        if self.link.power:
            found |= dict(zip(("label_power", "label_power_exponent"), self.link.power))
        return found
