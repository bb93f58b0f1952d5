"""Train a two-layer ReLU network on a two-layer teacher: does it find the teacher's neurons, or only its function?

All seeds and all settings of a grid of hyper-parameters advance in one batch. Every metric is a population quantity in closed form,
whatever the method trains on. Shapes: K settings, S seeds, m neurons, r teachers, d dimension. Float64.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from bench.errors import UserError
from bench.run.build import build
from bench.run.grid import product
from bench.run.session import Session
from bench.seeding import generator
from bench.tasks.teacher_recovery.drawings import circle_rows, stage_rows
from bench.tasks.teacher_recovery.oracle import Oracle
from bench.tasks.teacher_recovery.protocol import Method, Training
from bench.tasks.teacher_recovery.recovery import certificates, measures, subspace_share
from bench.tasks.teacher_recovery.relu_population import Teachers, directions, small_penalty_constant
from bench.types import NonNegativeInt, PositiveInt

BATCHES_SEEDS = True
CHUNK = 64  # steps between looks at the clock


def run(
    session: Session,
    state: dict[str, Any] | None,
    *,
    width: PositiveInt,
    steps: PositiveInt,
    points: PositiveInt,
    grid: dict[str, list[float]] | None,
    drawn_seed: NonNegativeInt | None,
    circle_points: NonNegativeInt,
) -> None:
    """Stages 1 and 2 of the method, then `steps` steps of its third, where it has one. The student's m rows start uniform on the sphere.

    Rows of the curve at `points` numbers of iterations, evenly spaced in log: those of `recovery.measures`, `iterations`,
    `gradient_evaluations` (expectations, or samples) and `regularised_time`, lr sum_t lam_t.
    Final metrics: these, `subspace_share_start` and `subspace_share` of the rows before and after stage 1, `features_loss` after stages 1
    and 2, `loss_constant`, the limit of loss / lam^2 at the regularised minimiser; with lam_T > 0 `loss_over_lam2`, its ratio to that limit
    `constant_ratio`, `max_certificate` and `min_teacher_certificate`.
    With a grid, the curve has instead one row a setting, of all these in the end beside the setting's own values; the final metrics are
    those of the first setting.
    Rows of the `drawn_seed`, for figures: `stage`, `x`, `y`, `signed_mass` of every neuron's direction on the plane of the first two
    teachers, at the start (0) and after each stage, and x, y, `teacher_weight` of every teacher; `angle`, `certificate` on half the
    great circle through the first two.
    """
    problem = Recovery(session, width, steps, grid or {})
    problem.report_at(points)
    problem.draw_seed(drawn_seed, circle_points)
    problem.run(state)


class Recovery:
    """The student of every (setting, seed) pair, and the teacher of each seed."""

    def __init__(self, session: Session, width: int, steps: int, grid: dict[str, list[float]]) -> None:
        self.session, self.device = session, session.device.device
        parts = session.job.parts
        self.values = product(grid, parts["method"], self.device)
        self.settings = len(next(iter(self.values.values()), [0]))
        self.method: Method | Training = build("method", {**parts["method"], **self.values})
        data = build("dataset", parts["dataset"], session.job.settings.data_root, session.seeds)
        self.teachers: Teachers = data.to(self.device)
        if self.teachers.weights.shape[-1] < 2:
            raise UserError("dataset.neurons = 1: recovery is measured against two teachers or more")
        self.oracle = Oracle(self.teachers, session.seeds)
        self.width, self.step, self.total = width, 0, steps if self.method.trains else 0
        self.time = torch.zeros(self.settings, 1, dtype=torch.float64, device=self.device)
        self.found: dict[str, Tensor] = {}
        if self.method.trains:
            self.method.begin(steps, self.device)
        self.reports: set[int] = set()
        self.drawn: int | None = None

    def report_at(self, points: int) -> None:
        """Log rows at so many numbers of steps, evenly spaced in log, the last among them."""
        self.reports = {round(self.total ** ((k + 1) / points)) for k in range(points)} | {self.total}

    def draw_seed(self, seed: int | None, circle_points: int) -> None:
        """Log the rows of the figures of this seed, where it is one of the session's."""
        self.drawn = self.session.seeds.index(seed) if seed in self.session.seeds else None
        self.circle_points = circle_points

    @torch.no_grad()
    def run(self, state: dict[str, Any] | None) -> None:
        """From the start or a checkpoint to the last step."""
        self.session.begin(self.total, 0 if state is None else state["step"])
        if state is None:
            self._features()
        else:
            self._restore(state)
        while self.step < self.total:
            self._advance()
            if self.step in self.reports and self.settings == 1:
                self._report()
            if self.step % CHUNK == 0:
                self.session.progress.step(self.step)
            if self.session.due() and self.step < self.total:
                self.session.save(self._state())
        self._finish()

    def _features(self) -> None:
        """Stages 1 and 2."""
        signs, rows = self._start()
        self._draw(0, rows, signs / self.width)
        share = subspace_share(rows, self.teachers)
        rows = self.method.first(self.oracle, signs, rows)
        self._draw(1, rows, signs / self.width)
        a, w = self.method.second(self.oracle, rows)
        shape = (self.settings, len(self.session.runs), self.width)
        self.a, self.w = a.expand(shape).clone(), w.expand(*shape, -1).clone()
        self._draw(2, self.w[0], self.a[0] * self.w[0].norm(dim=-1))
        self.found = {
            "subspace_share_start": share,
            "subspace_share": subspace_share(rows, self.teachers),
            "features_loss": measures(self.a, self.w, self.teachers)["loss"],
            "loss_constant": small_penalty_constant(self.teachers),
        }

    def _start(self) -> tuple[Tensor, Tensor]:
        """Signs [S, m] and unit rows [S, m, d]; those of a narrower network are the first of a wider one's."""
        streams = [generator(seed, "init") for seed in self.session.seeds]
        size = (self.width, self.teachers.dim + 1)
        drawn = torch.stack([torch.randn(size, generator=s, dtype=torch.float64) for s in streams]).to(self.device)
        return drawn[..., 0].sign(), directions(drawn[..., 1:])[0]

    def _advance(self) -> None:
        self.time += self.method.lr * self.method.decay(self.step)  # type: ignore[union-attr]
        self.a, self.w = self.method.update(self.oracle, self.step, self.a, self.w)  # type: ignore[union-attr]
        self.step += 1

    def _columns(self) -> dict[str, Tensor]:
        """The metrics of a row [K, S]."""
        return {**measures(self.a, self.w, self.teachers), "regularised_time": self.time.expand(self.a.shape[:2])}

    def _report(self) -> None:
        """A row for each seed."""
        rows = _rows(self._columns(), 0)
        for run, row in zip(self.session.runs, rows):
            run.log(self.step, iterations=self.step, gradient_evaluations=self.oracle.evaluations, **row)
        self.session.progress.note(self.step, loss=rows[0]["loss"], far_mass=rows[0]["far_mass"])

    def _finish(self) -> None:
        """The rows of the figures and of the settings, and the final metrics."""
        if self.method.trains:
            self._draw(3, self.w[0], self.a[0] * self.w[0].norm(dim=-1))
        finals = self._finals()
        cost = {"iterations": self.step, "gradient_evaluations": self.oracle.evaluations}
        rows = [_rows(finals, k) for k in range(self.settings)]
        for k, more in self._of_penalty(finals).items():
            rows[k] = [row | own for row, own in zip(rows[k], more)]
        self.session.examples = self.oracle.evaluations * self.settings * len(self.session.runs)
        for s, run in enumerate(self.session.runs):
            own = [row[s] for row in rows]
            for k, row in enumerate(own if self.values else []):
                run.log(self.step, **{name: value[k, 0].item() for name, value in self.values.items()}, **row)
            finite = all(math.isfinite(value) for row in own for value in row.values())
            self.session.gradient_evaluations[s] = self.oracle.evaluations
            run.finish("finished" if finite else "diverged", **own[0], **cost)
        self.session.progress.note(self.step, loss=rows[0][0]["loss"], far_mass=rows[0][0]["far_mass"])

    def _finals(self) -> dict[str, Tensor]:
        """The metrics at the end that every setting has, [K, S]."""
        return self._columns() | {name: value.expand(self.a.shape[:2]) for name, value in self.found.items()}

    def _of_penalty(self, finals: dict[str, Tensor]) -> dict[int, list[dict[str, float]]]:
        """What only a penalty gives, for the settings that end with one: a row for each seed. Draws the circle of the first setting."""
        if not self.step:
            return {}
        lam = self.method.decay(self.step - 1).expand(self.a.shape[:2])  # type: ignore[union-attr]
        kept = (lam > 0).all(1).nonzero().flatten().tolist()
        if not kept:
            return {}
        a, w, lam = self.a[kept], self.w[kept], lam[kept]
        ratio = finals["loss"][kept] / lam.square()
        found = {"loss_over_lam2": ratio, "constant_ratio": ratio / finals["loss_constant"][kept]}
        if self.drawn is not None and self.circle_points and kept[0] == 0:
            for row in circle_rows(self.teachers, self.drawn, a, w, lam, self.circle_points):
                self.session.runs[self.drawn].log(self.step, **row)
        found |= certificates(a, w, self.teachers, lam, self.session.seeds)
        return {k: _rows(found, i) for i, k in enumerate(kept)}

    def _draw(self, stage: int, rows: Tensor, signed_mass: Tensor) -> None:
        """Log the neurons [S, m, d] and teachers of the drawn seed; of the first setting."""
        if self.drawn is not None:
            for row in stage_rows(self.teachers, self.drawn, stage, rows, signed_mass):
                self.session.runs[self.drawn].log(self.step, **row)

    def _state(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("step", "a", "w", "time", "found")}
        return own | {"method": self.method.state, "evaluations": self.oracle.evaluations}

    def _restore(self, state: dict[str, Any]) -> None:
        for name in ("step", "a", "w", "time", "found"):
            setattr(self, name, state[name])
        self.method.state, self.oracle.evaluations = state["method"], state["evaluations"]


def _rows(columns: dict[str, Tensor], k: int) -> list[dict[str, float]]:
    """A row for each seed from columns [K, S], of setting k."""
    return [dict(zip(columns, row)) for row in zip(*(column[k].tolist() for column in columns.values()))]
