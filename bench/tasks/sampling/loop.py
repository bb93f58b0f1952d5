"""Sample exp(-U / tau) on a bounded domain with chains that see noisy energies and gradients: how far are the first chain's points from it?

All seeds and all replicates of a seed advance in one batch, and so do the chains at other temperatures that a method exchanges with. Cost
is counted in gradients of one copy: a pair of chains takes half as many steps as a single chain.

Shapes: S seeds, R replicates, N = S R copies, P chains of a copy, d dimension, K samples. Double precision.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bench.errors import UserError
from bench.run.build import build
from bench.run.session import Session
from bench.seeding import generator
from bench.tasks.sampling.coefficients import summaries
from bench.tasks.sampling.compiled import Compiled, advance
from bench.tasks.sampling.density import Counts, Reference
from bench.tasks.sampling.protocol import Draws, Method, Target, effective_sample_size
from bench.types import NonNegativeInt, PositiveInt

BATCHES_SEEDS = True
CHUNK = 256  # steps whose draws are made at once
BLOCK = 8  # steps of one compiled call


def run(
    session: Session,
    state: dict[str, Any] | None,
    *,
    evaluations: PositiveInt,
    burn_in: NonNegativeInt,
    thin: PositiveInt,
    reports: list[PositiveInt],
    replicates: PositiveInt,
    cloud: NonNegativeInt,
    mixing: bool,
) -> None:
    """Log a row after each number of gradients in `reports` and at the end; the last one gives the final metrics.

    Metrics, of the first chain's samples from `burn_in` on, all replicates of a seed together: `share_outside`, `swap_rate` (of neighbours,
    all pairs), `ess` (the smallest over coordinates, of one replicate), `energy_mean`. In the plane also `kl_grid` and `kl_coarse` against
    exact cell probabilities, and where there are modes `mode_tv`, `modes_covered` of the `modes_core`. Of coefficients their intervals and errors.

    Args:
        evaluations: gradients of a copy in all.
        thin: gradients between samples.
        cloud: the last samples of each seed that are logged as rows `x`, `y` (in more dimensions `x0`, `x1`, ...), beside the domain's
            boundary, `rim_x` and `rim_y`.
        mixing: also `mixing_time`, the steps until the mean of |x - centre|^2 over replicates first reaches 1 - 1/e of its value under the law;
            left out where it never does.
    """
    if burn_in >= evaluations:
        raise UserError(f"task.burn_in = {burn_in}: less than task.evaluations = {evaluations}")
    if any(r > evaluations or r <= burn_in for r in reports):
        raise UserError(f"task.reports = {reports}: numbers above task.burn_in = {burn_in} up to {evaluations}")
    sampling = Sampling(session, replicates, evaluations, burn_in, thin, min(reports, default=0))
    sampling.mixing = sampling.prepare_mixing() if mixing else None
    sampling.run(state, sorted({*reports, evaluations}))
    sampling.finish(cloud)


class Sampling:
    """The chains, and what has been seen of the first one."""

    def __init__(
        self, session: Session, replicates: int, evaluations: int, burn_in: int, thin: int, reported: int
    ) -> None:
        self.session, self.replicates, self.seeds = session, replicates, session.seeds
        parts, self.device = session.job.parts, session.device.device
        self.target: Target = build("dataset", parts["dataset"], session.job.settings.data_root)
        self.method: Method = build("method", parts["method"])
        self.domain, self.chains = self.target.domain.to(self.device), self.method.chains
        self.steps, self.burn_in, self.thin, self.reported = evaluations // self.chains, burn_in, thin, reported
        if self.steps == 0:
            raise UserError(f"task.evaluations = {evaluations}: one step of {self.chains} chains takes {self.chains}")
        self._check_samples()
        copies = len(self.seeds) * replicates
        self.x = self.target.start().to(self.device).expand(self.chains, copies, self.domain.dim).clone()
        self._check_start(self.x[0, 0])
        try:
            self.method.begin(self.x, self.domain, self.steps, self.target.energy_variance)
        except ValueError as error:
            raise UserError(f"method.{error}") from error
        self.reference = self._reference(getattr(self.method, "temperatures", [1.0])[0])
        self.counts = Counts(self.reference, self.domain, len(self.seeds), self.device)
        self.trace: list[Tensor] = []  # samples [K, N, d]
        self.pending: list[Tensor] = []
        self.step, self.energies, self.mixing = 0, 0, None  # type: int, int, dict[str, Any] | None
        self.rows: list[dict[str, float]] | None = None  # of the last report
        self.fast = Compiled(advance, self.device.type == "cpu") if session.device.settings.compile else None

    def _samples(self, spent: int) -> bool:
        """Is the first chain's point after so many gradients a sample?"""
        return spent > self.burn_in and spent // self.thin > (spent - self.chains) // self.thin

    def _check_samples(self) -> None:
        """Refuse a run that ends, or reports, before the first sample."""
        first = next((k * self.chains for k in range(1, self.steps + 1) if self._samples(k * self.chains)), None)
        if first is None:
            raise UserError(
                f"task.thin = {self.thin}: no sample after task.burn_in = {self.burn_in} of {self.steps * self.chains} gradients"
            )
        if self.reported and self.reported < first - self.chains + 1:
            raise UserError(f"task.reports = [{self.reported}, ...]: the first sample comes after {first} gradients")

    def _check_start(self, start: Tensor) -> None:
        """Refuse mirrored chains from a point outside, which no step could leave."""
        if not getattr(self.method, "reflect", False) or self.domain.inside(start):
            return
        if torch.equal(self.domain.reflect(start, start), start):
            raise UserError(
                "dataset: the chains start outside the domain and are mirrored; start inside, or method.reflect=false"
            )

    def _reference(self, temperature: float) -> Reference | None:
        """The law in cells, where there is a plane to divide."""
        target, box = self.target, torch.cat([self.domain.low, self.domain.high])
        if self.domain.dim != 2 or not box.isfinite().all():
            return None
        self.domain.to("cpu")
        found = Reference.of(target.energy, self.domain, target.window, target.modes, temperature)
        self.domain.to(self.device)
        return found.to(self.device)

    def prepare_mixing(self) -> dict[str, Any]:
        """What `mixing_time` needs, and its values so far."""
        if self.reference is None:
            raise UserError("task.mixing = true: needs a domain of the plane")
        square = self.reference.square - 2 * (self.reference.mean * self.domain.centre).sum()
        return {
            "level": float(square + self.domain.centre.square().sum()) * (1 - 2.718281828459045**-1),
            "times": torch.full((len(self.seeds),), -1, dtype=torch.int64, device=self.device),
        }

    @torch.no_grad()
    def run(self, state: dict[str, Any] | None, reports: list[int]) -> None:
        """From the start or a checkpoint to the last step."""
        if state is not None:
            self._restore(state)
            reports = [report for report in reports if report > self.step * self.chains]
        self.session.begin(self.steps, self.step)
        for first in range(self.step - self.step % CHUNK, self.steps, CHUNK):
            draws = self._draws(first, min(CHUNK, self.steps - first))
            while self.step < min(first + CHUNK, self.steps):
                end = min(self._end_of_block(), first + CHUNK, self.steps, *(-(-r // self.chains) for r in reports[:1]))
                self._advance(end, draws.part(self.step - first, end - first))
                while reports and (self.step * self.chains >= reports[0] or self.step == self.steps):
                    self._report(reports.pop(0))
                if self.session.due() and self.step < self.steps:
                    self.session.save(self._state())
            self.session.progress.step(self.step)
            self.session.examples = self.step * self.x.shape[0] * self.x.shape[1]

    def _draws(self, first: int, count: int) -> Draws:
        """Of steps first, ...; chain k's numbers do not depend on the number of chains."""
        p, r, d = self.chains, self.replicates, self.domain.dim
        normal = torch.empty(CHUNK, p, len(self.seeds) * r, d, dtype=torch.float64)
        uniform = torch.empty(CHUNK, p - 1, len(self.seeds) * r, dtype=torch.float64)
        for s, seed in enumerate(self.seeds):
            mine = slice(s * r, (s + 1) * r)
            for k in range(p):
                stream = generator(seed, "noise", first, k)
                normal[:, k, mine] = torch.randn(CHUNK, r, d, generator=stream).double()
                if k:
                    uniform[:, k - 1, mine] = torch.rand(CHUNK, r, generator=stream, dtype=torch.float64)
        theirs = self.target.draws(self.seeds, first, CHUNK, p, r)
        parts = [part[:count].to(self.device) for part in (normal, uniform, *theirs)]
        return Draws(parts[0], parts[1], tuple(parts[2:]))

    def _end_of_block(self) -> int:
        """Compiled, steps are taken in blocks from multiples of BLOCK; else one by one."""
        return self.step - self.step % BLOCK + BLOCK if self.fast is not None and self.fast.runs else self.step + 1

    def _advance(self, end: int, draws: Draws) -> None:
        """The steps up to `end`; those of a part of a block run uncompiled, which saves another compilation."""
        first, count = self.step, end - self.step
        rates = [self.method.rates(t) for t in range(first, end)] if self.method.varies else None
        whole = self.fast is not None and count == BLOCK
        given = rates if rates is None or not whole else self.x.new_tensor(rates)
        call = self.fast if self.fast is not None and whole else advance
        self.x, path, asked = call(self.method, self.target, first % 2, self.x, draws, given)
        if whole and not self.fast.runs:  # type: ignore[union-attr]
            self.session.report(f"{self.session.job.title}: runs uncompiled, it cannot be traced: {self.fast.reason}")  # type: ignore[union-attr]
            self.fast = None
        self.step, self.energies = end, self.energies + asked
        for step, x in enumerate(path, first + 1):
            spent = step * self.chains
            if self._samples(spent):
                self.pending.append(x)
                if len(self.pending) == CHUNK:
                    self._count()
        if self.mixing is not None:
            self._watch(first, torch.stack(path))

    def _watch(self, first: int, path: Tensor) -> None:
        """Note the seeds whose mean square first reaches the level on the path [steps, N, d] after step `first`."""
        squares = (path - self.domain.centre).square().sum(-1).unflatten(1, (-1, self.replicates)).mean(2)
        reached = squares >= self.mixing["level"]  # type: ignore[index]
        new = reached.any(0) & (self.mixing["times"] < 0)  # type: ignore[index]
        self.mixing["times"] = torch.where(new, first + 1 + reached.int().argmax(0), self.mixing["times"])  # type: ignore[index]

    def _count(self) -> None:
        """The pending samples into the trace and the histograms."""
        if self.pending:
            samples = torch.stack(self.pending)
            self.trace.append(samples)
            self.counts.add(samples.unflatten(1, (-1, self.replicates)))
            self.pending = []

    def _report(self, spent: int) -> None:
        self._count()
        rows = self.rows = self._metrics()
        self.session.gradient_evaluations = [self.step * self.chains] * len(rows)
        for run, row in zip(self.session.runs, rows):
            run.log(self.step, gradient_evaluations=spent, energy_evaluations=self.energies, **row)
        shown = "kl_coarse" if "kl_coarse" in rows[0] else "share_outside"
        self.session.progress.note(self.step, **{shown: sum(row[shown] for row in rows) / len(rows)})

    def _metrics(self) -> list[dict[str, float]]:
        """A row of each seed."""
        found = self.counts.metrics()
        if self.method.swaps is not None:
            tried = sum(self.method.attempts(self.step)) * self.replicates
            swaps = self.method.swaps.sum(0).view(-1, self.replicates).sum(1)
            found["swap_rate"] = swaps.double() / max(tried, 1)
        names = sorted(found, key=list(found).index)
        rows = zip(*(found[name].double().tolist() for name in names))
        return [dict(zip(names, row)) for row in rows]

    def finish(self, cloud: int) -> None:
        """The final metrics and the clouds; the last report was made after the last step, or none where a checkpoint of the end was restored."""
        rows = self._metrics() if self.rows is None else self.rows
        samples = torch.cat(self.trace).unflatten(1, (-1, self.replicates))  # [K, S, R, d]
        for s, (run, row) in enumerate(zip(self.session.runs, rows)):
            mine = samples[:, s]
            final = row | self._moments(mine) | self._geometry(s)
            if self.target.coefficients is not None:
                rows, more = summaries(mine.flatten(0, 1), self.target.coefficients)
                final |= more
                for each in rows:
                    run.log(self.step, **each)
            self._clouds(run, mine.flatten(0, 1), cloud)
            last = self.x.unflatten(1, (-1, self.replicates))[:, s]  # [P, R, d]
            sound = bool(last.isfinite().all()) and bool(mine.isfinite().all())
            run.finish("finished" if sound else "diverged", **final)

    def _moments(self, samples: Tensor) -> dict[str, float]:
        """The effective sample size, of coordinates that move, and the mean energy of samples [K, R, d]."""
        known = self.reference
        mean = samples.mean((0, 1)) if known is None else known.mean
        variance = samples.var((0, 1), correction=0) if known is None else known.variance
        moving = (samples.amax((0, 1)) != samples.amin((0, 1))).nonzero().flatten().tolist() or range(samples.shape[-1])
        each = [effective_sample_size(samples[..., i], mean[i], variance[i]).mean() for i in moving]
        energy = torch.cat([self.target.energy(part) for part in samples.split(1024)]).mean()
        return {"ess": float(torch.stack(each).min()), "energy_mean": float(energy)}

    def _geometry(self, s: int) -> dict[str, float]:
        """What a figure over domains needs."""
        spent = {"gradient_evaluations": self.step * self.chains, "energy_evaluations": self.energies}
        if self.reference is not None:
            spent["diameter"] = self.domain.diameter
        if self.mixing is not None and (time := int(self.mixing["times"][s])) > 0:
            spent["mixing_time"] = time
        return spent

    def _clouds(self, run: Any, samples: Tensor, cloud: int) -> None:
        """The last samples as rows, and the boundary."""
        if not cloud:
            return
        d = samples.shape[-1]
        names = ["x", "y"] if d == 2 else [f"x{i}" for i in range(d)]
        for point in samples[-cloud:].tolist():
            run.log(self.step, **dict(zip(names, point)))
        outline = getattr(self.domain, "outline", None)
        for x, y in outline(100).tolist() if outline else ():
            run.log(self.step, rim_x=x, rim_y=y)

    def _state(self) -> dict[str, Any]:
        self._count()
        more = {"mixing": self.mixing, "trace": self.trace, "energies": self.energies}
        return {
            "step": self.step,
            "x": self.x,
            "counts": self.counts.state_dict(),
            "method": self.method.state_dict(),
        } | more

    def _restore(self, state: dict[str, Any]) -> None:
        self.step, self.x, self.trace, self.energies = (state[k] for k in ("step", "x", "trace", "energies"))
        self.mixing = state["mixing"]
        self.counts.load_state_dict(state["counts"])
        self.method.load_state_dict(state["method"])
