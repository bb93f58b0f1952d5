"""The teacher-recovery task in plain loops: each seed and setting by itself; the rows and final metrics of a whole run."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import torch
from reference.teacher_recovery_teachers import (
    Array,
    Teacher,
    certificate,
    climbed,
    correlation,
    gradients,
    kernels,
    largest_certificate,
    limit_constant,
    measures,
    plane,
    share_in_span,
    start,
    teacher,
)

from bench.seeding import generator

DATA = {"dim": 10, "neurons": 3, "signs": "alternating", "mixing": 0.3, "max_cosine": 0.6}
TASK = {"width": 50, "points": 12, "grid": None, "drawn_seed": None, "circle_points": 0}
STAGES = {"features": "gradient_step", "ridge": 1e-3, "lr": 0.5, "lam": 3e-3, "halvings": 9.0, "floor": 1e-5}
METHODS: dict[str, dict[str, Any]] = {  # what each is by default; without lr: no third stage
    "random_features": {"features": "random", "ridge": 1e-6},
    "one_step_features": {"features": "gradient_step", "ridge": 1e-6},
    "regularised_gd": STAGES,
    "random_start_gd": {**STAGES, "features": "random"},
    "regularised_gd_fixed": {**STAGES, "lam": 1e-3, "halvings": 0.0, "floor": 0.0},
    "unregularised_gd": {**STAGES, "lam": 0.0, "halvings": 0.0, "floor": 0.0},
    "regularised_sgd": {**STAGES, "sampled": True},
}
CHUNK = 10_000  # samples of the first stages that one stream makes
Row = dict[str, float]


def centred(x: torch.Tensor, a: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """sum_j a_j relu(w_j.x) [n], less its own mean and linear part, E relu(w.x) = ||w|| / sqrt(2 pi) and w / 2."""
    mean = w.norm(dim=1) / math.sqrt(2 * math.pi)
    return (torch.relu(x @ w.T) - mean - x @ w.T / 2) @ a


class Student:
    """One setting of one seed, from its start to the end of all stages."""

    def __init__(self, method: dict[str, Any], true: Teacher, width: int, steps: int, seed: int) -> None:
        self.method, self.true, self.seed = method, true, seed
        self.sampled, self.evaluations, self.time = method.get("sampled", False), 0, 0.0
        self.steps = steps if "lr" in method else 0
        self.linear: tuple[torch.Tensor, torch.Tensor] | None = None
        signs, rows = start(width, true.units.shape[1], seed)
        self.drawn = [(rows, signs / width)]  # rows and signed masses by stage
        first = self._first(signs, rows)
        self.drawn.append((first, signs / width))
        self.a, self.w = self._second(first)
        self.drawn.append((self.w, self._masses()))
        self.features = {
            "subspace_share_start": share_in_span(rows, true),
            "subspace_share": share_in_span(first, true),
            "features_loss": measures(self.a, self.w, true)["loss"],
            "loss_constant": limit_constant(true),
        }

    def _masses(self) -> Array:
        return self.a * np.linalg.norm(self.w, axis=1)

    def samples(self, count: int, *index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """x [n, d], and y less mean and linear part once these are known."""
        stream = generator(self.seed, "noise", *index)
        x = torch.randn(count, self.true.units.shape[1], generator=stream, dtype=torch.float64)
        units, weights = torch.from_numpy(self.true.units), torch.from_numpy(self.true.weights)
        y = torch.relu(x @ units.T) @ weights
        self.evaluations += count
        return x, y if self.linear is None else y - self.linear[0] - x @ self.linear[1]

    def _large(self, stage: int) -> tuple[torch.Tensor, torch.Tensor]:
        total, parts = self.method["first_samples"], []
        for k, begin in enumerate(range(0, total, CHUNK)):
            parts.append(self.samples(min(CHUNK, total - begin), stage, k))
        return torch.cat([x for x, _ in parts]), torch.cat([y for _, y in parts])

    def _preprocess(self) -> None:
        if self.sampled and self.linear is None:
            x, y = self._large(0)
            self.linear = y.mean(), (y[:, None] * x).mean(0)

    def _first(self, signs: Array, rows: Array) -> Array:
        """One step from a network of output 0, with a decay that erases the start."""
        if self.method["features"] == "random":
            return rows
        self._preprocess()
        if self.sampled:
            x, y = self._large(1)
            w = torch.tensor(rows, requires_grad=True)
            loss = -(y * centred(x, torch.from_numpy(signs), w)).mean()  # R = -y at f = 0
            steps = -torch.autograd.grad(loss, w)[0].numpy()
        else:
            self.evaluations += 1
            steps = [s * correlation(row, self.true.units, self.true.weights)[1] for s, row in zip(signs, rows)]
        return np.array([step / np.linalg.norm(step) for step in steps])

    def _second(self, u: Array) -> tuple[Array, Array]:
        """Ridge regression of the output weights, then balance."""
        self._preprocess()
        if self.sampled:
            x, y = self._large(2)
            features = np.array([centred(x, torch.ones(1).double(), torch.tensor(row)[None]).numpy() for row in u]).T
            gram, target = features.T @ features / len(y), features.T @ y.numpy() / len(y)
        else:
            self.evaluations += 1
            gram, target = kernels(u, u), kernels(u, self.true.units) @ self.true.weights
        c = np.linalg.solve(gram + self.method["ridge"] * np.eye(len(u)), target)
        return np.sign(c) * np.sqrt(abs(c)), np.sqrt(abs(c))[:, None] * u

    def decay(self, t: int) -> float:
        """lam_t of step t = 0, 1, ..."""
        return max(self.method["lam"] * 0.5 ** (self.method["halvings"] * t / self.steps), self.method["floor"])

    def step(self, t: int) -> None:
        """Gradient descent on both layers with weight decay."""
        if self.sampled:
            x, y = self.samples(self.method["batch_size"], 3, t)
            a, w = torch.tensor(self.a, requires_grad=True), torch.tensor(self.w, requires_grad=True)
            found = torch.autograd.grad((centred(x, a, w) - y).square().mean() / 2, (a, w))
            by_a, by_w = (part.numpy() for part in found)
        else:
            self.evaluations += 1
            by_a, by_w = gradients(self.a, self.w, self.true)
        lr, lam = self.method["lr"], self.decay(t)
        self.time += lr * lam
        self.a, self.w = self.a - lr * (by_a + lam * self.a), self.w - lr * (by_w + lam * self.w)

    def row(self) -> Row:
        """The numbers of a row of the curve."""
        return {**measures(self.a, self.w, self.true), "regularised_time": self.time}

    def final(self, penalised: bool) -> Row:
        """All numbers at the end; penalised: those that are held against the decay of the last step too."""
        found = {**self.row(), **self.features}
        if penalised:
            lam = self.decay(self.steps - 1)
            ratio = found["loss"] / lam**2
            found |= {"loss_over_lam2": ratio, "constant_ratio": ratio / found["loss_constant"]}
            found["max_certificate"] = climbed(self.a, self.w, self.true, lam, self.seed)
            assert math.isclose(
                found["max_certificate"], largest_certificate(self.a, self.w, self.true, lam), rel_tol=1e-5
            )
            signs = np.sign(self.true.weights)
            each = [s * certificate(v, self.a, self.w, self.true, lam) for s, v in zip(signs, self.true.units)]
            found["min_teacher_certificate"] = min(each)
        return found


class Reference:
    """The rows of each seed's curve and its final metrics; `data` and `task`: keys that differ from the defaults above.

    Attributes:
        curves, finals: a list and a dict for each seed. examples: evaluations of all students.
    """

    def __init__(self, method: str, data: dict, task: dict, seeds: list[int], own: dict) -> None:
        self.data, self.task, self.method = {**DATA, **data}, {**TASK, **task}, {**METHODS[method], **own}
        grid = self.task["grid"] or {}
        self.settings = [dict(zip(grid, values)) for values in itertools.product(*grid.values())]
        self.curves, self.finals, self.examples = [], [], 0
        with np.errstate(all="ignore"):  # a run may overflow
            for seed in seeds:
                self._seed(seed)

    def _seed(self, seed: int) -> None:
        true, task, curve, ends = teacher(self.data, seed), self.task, [], []
        methods = [{**self.method, **setting} for setting in self.settings]
        penalised = ["lr" in m and (m["lam"] * 2.0 ** -m["halvings"] > 0 or m["floor"] > 0) for m in methods]
        for k, setting in enumerate(self.settings):
            student = Student(methods[k], true, task["width"], task["steps"], seed)
            drawn = k == 0 and seed == task["drawn_seed"]
            if drawn:
                curve += [row for stage in range(3) for row in self._stage(student, stage, 0)]
            points = {round(student.steps ** ((i + 1) / task["points"])) for i in range(task["points"])}
            for t in range(student.steps):
                student.step(t)
                if t + 1 in points | {student.steps} and len(self.settings) == 1:
                    counts = {"step": t + 1, "iterations": t + 1, "gradient_evaluations": student.evaluations}
                    curve.append({**counts, **student.row()})
            if drawn and student.steps:
                student.drawn.append((student.w, student._masses()))
                curve += self._stage(student, 3, student.steps)
            ends.append({**setting, **student.final(penalised[k])})
            if drawn and penalised[k]:
                curve += self._circle(student)
            self.examples += student.evaluations
        if task["grid"]:
            curve += [{"step": student.steps, **row} for row in ends]
        cost = {"iterations": student.steps, "gradient_evaluations": student.evaluations}
        self.curves.append(curve)
        self.finals.append({name: v for name, v in ends[0].items() if name not in (task["grid"] or {})} | cost)

    def _stage(self, student: Student, stage: int, t: int) -> list[Row]:
        axes, found = plane(student.true), []
        rows, masses = student.drawn[stage]
        for row, mass in zip(rows, masses):
            x, y = (round(float(axis @ row) / float(np.linalg.norm(row)), 4) for axis in axes)
            found.append({"step": t, "stage": stage, "x": x, "y": y, "signed_mass": float(f"{mass:.4g}")})
        for row, weight in zip(student.true.units, student.true.weights):
            x, y = (round(float(axis @ row), 4) for axis in axes)
            found.append({"step": t, "stage": stage, "x": x, "y": y, "teacher_weight": float(weight)})
        return found

    def _circle(self, student: Student) -> list[Row]:
        (first, across), points, found = plane(student.true), self.task["circle_points"], []
        for i in range(points):
            degrees = 180 * i / points
            u = math.cos(math.radians(degrees)) * first + math.sin(math.radians(degrees)) * across
            eta = certificate(u, student.a, student.w, student.true, student.decay(student.steps - 1))
            found.append({"step": student.steps, "angle": round(degrees, 6), "certificate": float(f"{eta:.4g}")})
        return found
