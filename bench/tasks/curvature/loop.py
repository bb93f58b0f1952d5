"""Where is -ELBO convex? Its Hessian over all Gaussians N(m, v) of one weight, by automatic differentiation, against a closed form.

A "method" is the parameterisation in which one would descend. No randomness, no optimisation, seconds.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from bench.errors import UserError
from bench.numerics import eigvalsh
from bench.run.build import build
from bench.run.session import Session
from bench.tasks.curvature.plane import Plane
from bench.types import NonNegativeInt, PositiveInt

BATCHES_SEEDS = True
ROUNDING = 1e-10  # an eigenvalue above minus this, relative to the larger one, is not negative


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
    pairs = {"means": means, "log10_variances": log10_variances, "counts": counts, "pair": pair}
    for name, value in pairs.items():
        if len(value) != 2:  # type: ignore[arg-type]
            raise UserError(f"task.{name} = {value}: 2 of them")
    if any(len(point) != 2 or point[1] <= 0 for point in [*points, *pair]):
        raise UserError(f"task.points = {points}, task.pair = {pair}: lists of [m, v] with v > 0")
    parts, device = session.job.parts, session.device.device
    model = build("dataset", parts["dataset"], session.job.settings.data_root, session.seeds)
    plane = Plane(build("method", parts["method"]), model.to(device))
    session.begin(1)
    m, v = torch.meshgrid(_spaced(means, counts[0]), 10 ** _spaced(log10_variances, counts[1]), indexing="ij")
    m, v = m.to(device), v.to(device)
    found = plane.hessians(m, v)
    rows = _map_rows(m, v, plane.relative(m, v, found), stride) if stride else []
    rows += plane.point_rows(points)
    eigenvalues = eigvalsh(found)
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
