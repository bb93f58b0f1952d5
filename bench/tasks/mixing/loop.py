"""How fast does a reflected diffusion mix on an interval, by its diameter? Its spectral gap, exactly, on cells.

A "method" is one diffusion or several that exchange their states. No randomness, no simulation, seconds.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np

from bench.errors import UserError
from bench.run.build import build
from bench.run.session import Session
from bench.tasks.mixing.generator import centres, flat_gap, generator, log_law, spectral_gap, symmetrised
from bench.tasks.mixing.protocol import Method, Potential
from bench.types import PositiveFloat, PositiveInt

BATCHES_SEEDS = True


def run(
    session: Session, state: dict[str, Any] | None, *, diameters: list[PositiveFloat], cells_per_unit: PositiveInt
) -> None:
    """Log a row for each diameter D; the final metrics are those of the last one, the errors the largest of all.

    `gap`, the second smallest real part of the eigenvalues of minus the generator; `mixing_time` = 1 / gap; `gap_product` = gap D^2;
    `states` of the generator; `detailed_balance_error`, how far it is from being reversible with respect to the chains' Gibbs laws;
    `flat_gap_error`, relative to the closed form of the continuum, where the potential is flat. Final: `slope` of log gap by log D too, by
    least squares, where there are two diameters or more.
    """
    if not diameters or any(a >= b for a, b in pairwise(diameters)):
        raise UserError(f"task.diameters = {diameters}: increasing numbers, at least one")
    parts = session.job.parts
    potential, diffusion = build("dataset", parts["dataset"]), build("method", parts["method"])
    session.begin(len(diameters))
    rows = []
    for step, diameter in enumerate(diameters, start=1):
        rows.append(_row(diffusion, potential, diameter, cells_per_unit))
        for seed_run in session.runs:
            seed_run.log(step, **rows[-1])
        session.progress.step(step)
    errors = ("flat_gap_error", "detailed_balance_error")
    final = rows[-1] | {name: max(row[name] for row in rows) for name in errors if name in rows[-1]}
    if len(rows) > 1:
        points = ([math.log(row[name]) for row in rows] for name in ("diameter", "gap"))
        final["slope"] = float(np.polyfit(*points, 1)[0])  # type: ignore[call-overload]
    for seed_run in session.runs:
        seed_run.finish(**final)  # type: ignore[arg-type]
    session.progress.note(len(diameters), gap=final["gap"])


def _row(diffusion: Method, potential: Potential, diameter: float, cells_per_unit: int) -> dict[str, float]:
    x, width = centres(diameter, cells_per_unit)
    energy = potential.energy(x)
    matrix, asymmetry = symmetrised(generator(diffusion, energy, width), log_law(diffusion, energy))
    flat = flat_gap(diffusion, (math.pi / diameter) ** 2)
    gap = spectral_gap(matrix, asymmetry, flat)
    row = {
        "diameter": diameter,
        "states": matrix.shape[0],
        "gap": gap,
        "mixing_time": 1 / gap,
        "gap_product": gap * diameter**2,
        "detailed_balance_error": asymmetry,
    }
    return row | ({"flat_gap_error": abs(gap / flat - 1)} if np.ptp(energy) == 0 else {})
