"""Gaussian variational inference: a method moves q to increase the ELBO of a Bayesian model; the best q is known.

All seeds and all settings of a grid of hyper-parameters advance in one batch. Shapes: K settings, S seeds, n data, d dimension. Float64.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from bench.errors import UserError
from bench.numerics import cholesky
from bench.run.build import build
from bench.run.grid import product
from bench.run.session import Session
from bench.seeding import generator
from bench.tasks.inference.bayes import BayesianModel
from bench.tasks.inference.estimators import EnergyGradients
from bench.tasks.inference.gaussian import Gaussian, kl
from bench.tasks.inference.protocol import Method
from bench.types import PositiveInt

BATCHES_SEEDS = True
CHUNK = 64  # steps between looks at the clock
LARGEST = 1e15  # nats: beyond it double precision does not tell ELBOs apart to a nat


def run(
    session: Session,
    state: dict[str, Any] | None,
    *,
    reports: list[PositiveInt],
    batch_size: PositiveInt | None,
    estimator: Literal["exact", "quadrature", "monte_carlo", "gradient"],
    samples: PositiveInt,
    start: Literal["prior", "random"],
    grid: dict[str, list[float]] | None,
) -> None:
    """Log a row after each number of iterations in `reports`; the last of them ends the run and gives the final metrics.

    Metrics: `kl` = KL(q || q*), `kl_reverse` = KL(q* || q), `elbo_gap` = ELBO(q*) - ELBO(q), all in nats; `gap_error` = |elbo_gap - kl|,
    zero for a conjugate model; `lost_pd_steps`, the steps that would have lost positive-definiteness and were not taken, and `lost_pd`,
    1 where there were any, else 0; `gradient_evaluations`, of single data, by one setting; in the end `slope`, of log kl against log t.

    With a grid, a row is that of the setting with the smallest ELBO gap of that seed at that time, named by `chosen_<name>`: known only
    afterwards, it is a lower envelope, in favour of the method that has the grid.
    """
    if not reports or len(set(reports)) < len(reports):
        raise UserError(f"task.reports = {reports}: a list of distinct iteration counts")
    problem = Inference(session, sorted(reports), grid or {})
    problem.begin(start, estimator, batch_size, samples)
    problem.run(state)


class Inference:
    """The q of every (setting, seed) pair, and the best q of each seed."""

    def __init__(self, session: Session, reports: Sequence[int], grid: dict[str, list[float]]) -> None:
        self.session, self.reports = session, list(reports)
        parts, self.device = session.job.parts, session.device.device
        self.values = product(grid, parts["method"], self.device)
        self.settings = len(next(iter(self.values.values()), [0]))
        self.method: Method = build("method", {**parts["method"], **self.values})
        data = build("dataset", parts["dataset"], session.job.settings.data_root, session.seeds)
        self.model: BayesianModel = data.to(self.device)
        self.best = self.model.optimum()
        self.best_elbo = self.model.elbo(self.best)
        self.step = 0

    def begin(self, start: str, estimator: str, batch_size: int | None, samples: int) -> None:
        """The first q, and the source of gradients."""
        self.method.begin(self._start(start))
        self.lost = torch.zeros(self.settings, len(self.session.runs), dtype=torch.int64, device=self.device)
        try:
            self.gradients = EnergyGradients(self.model, self.session.seeds, estimator, batch_size, samples)  # type: ignore[arg-type]
        except ValueError as error:
            raise UserError(f"task.{error}") from error
        self.points: list[list[float]] = []  # kl of the seeds at each report

    def _start(self, start: str) -> Gaussian:
        """q_0: the prior, or a normal mean of deviation 3 and a random Cholesky factor with a log-normal diagonal; [K, S, d]."""
        d, q = self.model.dim, self.model.prior
        mean, scale = q.mean, cholesky(q.covariance)
        if start == "random":
            streams = [generator(seed, "init") for seed in self.session.seeds]
            drawn = torch.stack([torch.randn(d, d + 1, generator=s, dtype=torch.float64) for s in streams])
            mean, scale = (
                3 * drawn[..., 0],
                drawn[..., 1:].tril(-1) + drawn[..., 1:].diagonal(dim1=-2, dim2=-1).exp().diag_embed(),
            )
        shape = (self.settings, len(self.session.runs), d)
        return Gaussian(mean.to(self.device).expand(shape), scale.to(self.device).expand(*shape, d))

    @torch.no_grad()
    def run(self, state: dict[str, Any] | None) -> None:
        """From the start or a checkpoint to the last report."""
        if state is not None:
            self._restore(state)
        total = self.reports[-1]
        self.session.begin(total, self.step)
        while self.step < total:
            q = self.method.q
            lost = self.method.update(self.step, *self.gradients(self.step, q))
            if lost is not None:
                self.lost += lost
            self.step += 1
            if self.step in self.reports:
                self._report()
            if self.step % CHUNK == 0:
                self.session.progress.step(self.step)
            if self.session.due() and self.step < total:
                self.session.save(self._state())

    def _report(self) -> None:
        """A row for each seed; after the last iteration the final metrics too."""
        scores, q = self._gaps(), self.method.q
        chosen, seeds = scores.argmin(0), torch.arange(scores.shape[1], device=self.device)
        q = Gaussian(q.mean[chosen, seeds], q.scale[chosen, seeds], q.upper)
        forward, gap = kl(q, self.best), self.best_elbo - self.model.elbo(q)
        columns = {
            "kl": forward,
            "kl_reverse": kl(self.best, q),
            "elbo_gap": gap,
            "gap_error": (gap - forward).abs(),
            "lost_pd_steps": self.lost[chosen, seeds],
            "lost_pd": (self.lost[chosen, seeds] > 0).double(),
        }
        columns |= {f"chosen_{name}": value[chosen, 0] for name, value in self.values.items()}
        if not self.model.likelihood.conjugate:
            del columns["gap_error"]
        self.points.append(forward.tolist())
        self._log([dict(zip(columns, row)) for row in zip(*(column.tolist() for column in columns.values()))])

    def _gaps(self) -> Tensor:
        """ELBO(q*) - ELBO(q) [K, S], infinite where it is no number; for a conjugate model it is KL(q || q*)."""
        q = self.method.q
        if self.model.likelihood.conjugate:
            gaps = kl(q, self.best)
        else:  # a setting at a time: the quadrature of all data fills memory
            elbos = [self.model.elbo(Gaussian(m, c, q.upper)) for m, c in zip(q.mean, q.scale)]
            gaps = self.best_elbo - torch.stack(elbos)
        return gaps.nan_to_num(nan=math.inf)

    def _log(self, rows: list[dict[str, float]]) -> None:
        evaluations = self.gradients.cost * self.step
        self.session.examples = evaluations * self.settings * len(rows)
        for k, (run, row) in enumerate(zip(self.session.runs, rows)):
            row |= {"iterations": self.step, "gradient_evaluations": evaluations}
            run.log(self.step, **row)
            self.session.gradient_evaluations[k] = evaluations
            if self.step == self.reports[-1]:
                path = [point[k] for point in self.points]
                run.finish("finished" if row["kl"] < LARGEST else "diverged", **row, **self._slope(path))
        mean = sum(row["kl"] for row in rows) / len(rows)
        self.session.progress.note(self.step, kl=mean)

    def _slope(self, path: list[float]) -> dict[str, float]:
        """The least-squares slope of log kl against log t over the reports, where there is one."""
        if len(path) < 2 or not all(math.isfinite(v) and v > 0 for v in path):
            return {}
        return {"slope": float(np.polyfit(np.log(self.reports), np.log(path), 1)[0])}

    def _state(self) -> dict[str, Any]:
        return {"step": self.step, "method": self.method.state, "lost": self.lost, "points": self.points}

    def _restore(self, state: dict[str, Any]) -> None:
        self.step, self.method.state, self.lost, self.points = (state[k] for k in ("step", "method", "lost", "points"))
