"""Outside references of one reflected diffusion: Kummer's function for a parabola, scipy's integrator for a row of wells."""

from __future__ import annotations

import math

import pytest
from outside_made import made
from scipy.integrate import solve_ivp
from scipy.optimize import brentq
from scipy.special import hyp1f1

from bench.tasks.mixing.generator import centres, flat_gap, generator, log_law, spectral_gap, symmetrised
from datasets.energies.potentials import Cosine

D = 3.0
DATASET = {"dataset": "flat_interval"}


def _ours(name: str, potential: Cosine) -> float:
    """The gap, from two grids, as if of cells of no width."""
    chain, found = made(name, **DATASET), []
    for per_unit in (40, 80):
        x, width = centres(D, per_unit)
        energy = potential.energy(x)
        matrix, asymmetry = symmetrised(generator(chain, energy, width), log_law(chain, energy))
        found.append(spectral_gap(matrix, asymmetry, flat_gap(chain, (math.pi / D) ** 2)))
    return found[1] + (found[1] - found[0]) / 3


def _kummer(temperature: float, curvature: float) -> float:
    """T u'' - k x u' = -l u, u odd and flat at the end: u = x M(1/2 - l / 2k, 3/2, k x^2 / 2T)."""

    def slope(gap: float) -> float:
        a, s = 0.5 - gap / (2 * curvature), curvature * D**2 / (8 * temperature)
        return hyp1f1(a, 1.5, s) + 2 * s * a / 1.5 * hyp1f1(a + 1, 2.5, s)

    return brentq(slope, curvature, curvature + 1.5 * temperature * (math.pi / D) ** 2, rtol=1e-12)


def _shot(temperature: float) -> float:
    """T u'' = U' u' - l u from u(0) = 0, u'(0) = 1 to u'(D / 2) = 0."""

    def slope(gap: float) -> float:
        def field(x: float, u: list[float]) -> list[float]:
            return [u[1], (4 * math.pi * math.sin(2 * math.pi * x) * u[1] - gap * u[0]) / temperature]

        return solve_ivp(field, (0, D / 2), [0.0, 1.0], rtol=1e-10, atol=1e-12).y[1, -1]

    flat = temperature * (math.pi / D) ** 2
    return brentq(slope, 0.01 * flat, 1.2 * flat, rtol=1e-10)


def _agree(name: str, temperature: float) -> None:
    parabola = Cosine(amplitude=0.0, confinement=0.4)
    assert _ours(name, parabola) == pytest.approx(_kummer(temperature, 0.8), rel=1e-6)
    assert _ours(name, Cosine()) == pytest.approx(_shot(temperature), rel=2e-5)


def reflected_langevin() -> None:
    """At T = 1."""
    _agree("reflected_langevin", 1.0)


def reflected_langevin_hot() -> None:
    """At T = 10."""
    _agree("reflected_langevin_hot", 10.0)


REFERENCES = {f.__name__: f for f in (reflected_langevin, reflected_langevin_hot)}
