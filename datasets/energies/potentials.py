"""Potentials on the line."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.types import NonNegativeFloat


class Cosine:
    """U(x) = confinement x^2 - amplitude cos(2 pi frequency x): wells at multiples of 1 / frequency, 2 amplitude deep; flat with zeros.

    Args:
        amplitude: half the height of a barrier.
        frequency: wells a unit of length.
        confinement: half the curvature of the parabola that they lie in.
    """

    def __init__(
        self,
        *,
        amplitude: NonNegativeFloat = 2.0,
        frequency: NonNegativeFloat = 1.0,
        confinement: NonNegativeFloat = 0.0,
    ) -> None:
        self.amplitude, self.frequency, self.confinement = amplitude, frequency, confinement

    def energy(self, x: NDArray) -> NDArray:
        """U(x), shape of x; not finite where it overflows."""
        with np.errstate(over="ignore", invalid="ignore"):
            return self.confinement * x**2 - self.amplitude * np.cos(2 * np.pi * self.frequency * x)
