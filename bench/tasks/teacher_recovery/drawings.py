"""Rows for figures of one seed: neurons and teachers on the plane of its first two teachers, and the dual certificate on a great circle.

Shapes: S seeds, m neurons, d dimension.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from torch import Tensor

from bench.tasks.teacher_recovery.recovery import certificate_circle, plane
from bench.tasks.teacher_recovery.relu_population import Teachers, directions


def stage_rows(teachers: Teachers, s: int, stage: int, rows: Tensor, signed_mass: Tensor) -> Iterator[dict[str, float]]:
    """`stage`, `x`, `y` of the direction of every neuron, with its `signed_mass`, then of every teacher, with its `teacher_weight`; of seed s.

    Args:
        rows: [S, m, d], of any length. signed_mass: [S, m].
    """
    basis = plane(teachers)[s].mT
    for (x, y), mass in zip((directions(rows[s])[0] @ basis).tolist(), signed_mass[s].tolist()):
        yield {"stage": stage, "x": round(x, 4), "y": round(y, 4), "signed_mass": _short(mass)}
    for (x, y), weight in zip((teachers.units[s] @ basis).tolist(), teachers.weights[s].tolist()):
        yield {"stage": stage, "x": round(x, 4), "y": round(y, 4), "teacher_weight": weight}


def circle_rows(
    teachers: Teachers, s: int, a: Tensor, w: Tensor, lam: Tensor, points: int
) -> Iterator[dict[str, float]]:
    """`angle` in degrees from the first teacher and `certificate` there, of seed s and the first setting; see `certificate_circle`."""
    angles, values = certificate_circle(a, w, teachers, lam, points)
    for angle, value in zip(angles.tolist(), values[0, s].tolist()):
        yield {"angle": round(math.degrees(angle), 6), "certificate": _short(value)}


def _short(value: float) -> float:
    """Four digits, enough to draw; NaN stays."""
    return float(f"{value:.4g}")
