"""Where is -ELBO convex? Its Hessian over all Gaussians N(m, v) of one weight, by automatic differentiation, against a closed form.

A "method" is the parameterisation in which one would descend. No randomness, no optimisation, seconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.func import grad, jacrev, vmap

from bench.errors import UserError
from bench.run.build import build
from bench.run.session import Session
from bench.tasks.inference.bayes import BayesianModel
from bench.types import NonNegativeInt, PositiveInt

BATCHES_SEEDS = True
STEP, REACH = 0.1, 9.0  # the trapezoidal rule over N(0, 1), exact to rounding for functions analytic near the real line
ROUNDING = 1e-10  # an eigenvalue above minus this, relative to the larger one, is not negative


class Parameterisation(Protocol):
    """Coordinates [..., 2] of N(m, v), differentiable both ways."""

    def parameters(self, m: Tensor, v: Tensor) -> Tensor:
        """The coordinates of N(m, v)."""

    def moments(self, point: Tensor) -> tuple[Tensor, Tensor]:
        """(m, v) of coordinates."""

    def basis(self, m: Tensor, v: Tensor) -> Tensor:
        """Columns [..., 2, 2] of the basis in which `fisher` and `hessian` are given."""

    def fisher(self, m: Tensor, v: Tensor) -> Tensor:
        """The diagonal [..., 2] of the Fisher information."""

    def hessian(self, m: Tensor, v: Tensor, derivatives: list[Tensor], prior_precision: Tensor) -> Tensor:
        """The Hessian of -ELBO in closed form [..., 2, 2], from E f'', E f''', E f''''."""


def run(
    session: Session,
    state: dict[str, Any] | None,
    *,
    means: list[float],
    log10_variances: list[float],
    counts: list[PositiveInt],
    stride: NonNegativeInt,
    points: list[list[float]],
    pair: list[list[float]],
) -> None:
    """Log a map of the Hessian, a row for each of `points`, and what the whole map says.

    Rows of the map, every stride-th in both directions (0: none): `m`, `v`, `relative_curvature`, the smallest eigenvalue of the Hessian
    relative to the Fisher information, cut to [-1, 1]; negative where -ELBO is not convex. Rows of `points`: `low_eigenvalue`,
    `high_eigenvalue`, in the coordinates themselves. Final: `share_nonconvex`, the share of the map with a negative eigenvalue;
    `min_eigenvalue`; `jensen_gap`, -ELBO at the midpoint of `pair` minus the mean at its ends, positive only where it is not convex;
    `closed_form_error`, the largest relative error of the closed form on the map.
    """
    for name, value, length in (
        ("means", means, 2),
        ("log10_variances", log10_variances, 2),
        ("counts", counts, 2),
        ("pair", pair, 2),
    ):
        if len(value) != length:
            raise UserError(f"task.{name} = {value}: {length} of them")
    if any(len(point) != 2 or point[1] <= 0 for point in [*points, *pair]):
        raise UserError(f"task.points = {points}, task.pair = {pair}: lists of [m, v] with v > 0")
    plane = Plane(session)
    session.begin(1)
    m, v = torch.meshgrid(_spaced(means, counts[0]), 10 ** _spaced(log10_variances, counts[1]), indexing="ij")
    m, v = m.to(plane.device), v.to(plane.device)
    found = plane.hessians(m, v)
    rows = _map_rows(m, v, plane.relative(m, v, found), stride) if stride else []
    rows += plane.point_rows(points)
    eigenvalues = torch.linalg.eigvalsh(found)
    negative = eigenvalues[..., 0] < -ROUNDING * eigenvalues[..., 1].abs()
    final = {
        "share_nonconvex": negative.double().mean().item(),
        "min_eigenvalue": eigenvalues.min().item(),
        "jensen_gap": plane.jensen_gap(pair),
        "closed_form_error": plane.closed_form_error(m, v, found),
    }
    for seed_run in session.runs:
        for row in rows:
            seed_run.log(1, **row)
        finite = all(math.isfinite(value) for value in final.values())
        seed_run.finish("finished" if finite else "diverged", **final)
    session.progress.note(1, share_nonconvex=final["share_nonconvex"])


def _spaced(ends: list[float], count: int) -> Tensor:
    return torch.linspace(ends[0], ends[1], count, dtype=torch.float64)


def _map_rows(m: Tensor, v: Tensor, value: Tensor, stride: int) -> list[dict[str, float]]:
    columns = (x[::stride, ::stride].flatten().tolist() for x in (m, v, value.clamp(-1, 1)))
    return [{"m": round(a, 6), "v": float(f"{b:.5g}"), "relative_curvature": round(c, 4)} for a, b, c in zip(*columns)]


class Plane:
    """-ELBO of a model of one weight as a function of the coordinates of N(m, v)."""

    def __init__(self, session: Session) -> None:
        parts, self.device = session.job.parts, session.device.device
        self.coordinates: Parameterisation = build("method", parts["method"])
        data = build("dataset", parts["dataset"], session.job.settings.data_root, session.seeds)
        model: BayesianModel = data.to(self.device)
        if model.dim != 1 or len(model.x) != 1:
            raise UserError(f"task curvature: a model of one weight, the same for all seeds; this one has {model.dim}")
        self.x, self.y, self.nll = model.x[0, :, 0], model.y[0], model.likelihood.nll
        self.prior_mean, self.prior_precision = model.prior_mean[0], model.prior_precision[0, 0]
        self.nodes = torch.arange(-REACH, REACH + STEP / 2, STEP, dtype=torch.float64, device=self.device)
        weights = torch.exp(-self.nodes.square() / 2)
        self.weights = weights / weights.sum()

    def minus_elbo(self, point: Tensor) -> Tensor:
        """E_q f + KL(q || prior) up to a constant, for coordinates [2]."""
        m, v = self.coordinates.moments(point)
        energy = self._mean(lambda z: self.nll(self.x[:, None] * z, self.y[:, None]).sum(0), m, v)
        return energy + self.prior_precision / 2 * ((m - self.prior_mean).square() + v) - v.log() / 2

    def _mean(self, of: Callable[[Tensor], Tensor], m: Tensor, v: Tensor) -> Tensor:
        return of(m + v.sqrt() * self.nodes) @ self.weights

    def hessians(self, m: Tensor, v: Tensor) -> Tensor:
        """By automatic differentiation in the coordinates themselves, [..., 2, 2]."""
        points = self.coordinates.parameters(m, v).reshape(-1, 2)
        return vmap(jacrev(grad(self.minus_elbo)), chunk_size=1024)(points).reshape(*m.shape, 2, 2)

    def relative(self, m: Tensor, v: Tensor, found: Tensor) -> Tensor:
        """The smallest eigenvalue of the Hessians relative to the Fisher information, [...]."""
        basis = self.coordinates.basis(m, v) / self.coordinates.fisher(m, v).sqrt()[..., None, :]
        return torch.linalg.eigvalsh(basis.mT @ found @ basis)[..., 0]

    def closed_form_error(self, m: Tensor, v: Tensor, found: Tensor) -> float:
        """The largest entry of the difference, relative to the largest of the Hessian, over all points."""
        basis = self.coordinates.basis(m, v)
        closed = self.coordinates.hessian(m, v, self._derivatives(m, v), self.prior_precision)
        error = (basis.mT @ found @ basis - closed).abs().amax((-2, -1)) / closed.abs().amax((-2, -1))
        return error.max().item()

    def _derivatives(self, m: Tensor, v: Tensor) -> list[Tensor]:
        """E f'', E f''', E f'''' of f(z) = -log p(y | z), [...]."""
        order: Callable[[Tensor], Tensor] = lambda z: self.nll(self.x * z, self.y).sum()  # noqa: E731
        found = []
        for _ in range(4):
            order = grad(order)
            each = vmap(order)
            found.append(self._at_nodes(each, m, v))
        return found[1:]

    def _at_nodes(self, of: Callable[[Tensor], Tensor], m: Tensor, v: Tensor) -> Tensor:
        z = m[..., None] + v.sqrt()[..., None] * self.nodes
        return of(z.flatten()).reshape(z.shape) @ self.weights

    def point_rows(self, points: list[list[float]]) -> list[dict[str, float]]:
        """The eigenvalues at (m, v)."""
        if not points:
            return []
        m, v = torch.tensor(points, dtype=torch.float64, device=self.device).unbind(-1)
        eigenvalues = torch.linalg.eigvalsh(self.hessians(m, v)).tolist()
        return [
            {"m": m, "v": v, "low_eigenvalue": low, "high_eigenvalue": high}
            for (m, v), (low, high) in zip(points, eigenvalues)
        ]

    def jensen_gap(self, pair: list[list[float]]) -> float:
        """-ELBO at the midpoint of two points, averaged in the coordinates, minus the mean of its values there."""
        ends = self.coordinates.parameters(*torch.tensor(pair, dtype=torch.float64, device=self.device).unbind(-1))
        values = [self.minus_elbo(point) for point in (ends.mean(0), *ends)]
        return (values[0] - (values[1] + values[2]) / 2).item()
