"""Classic mistakes in the generators of reflected replica exchange, planted one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from bench.judge.selftest import Mistake


@contextmanager
def absorbing_ends() -> Iterator[None]:
    """A chain that would leave the interval is lost instead of reflected."""
    import numpy as np
    import scipy.sparse as sp

    from bench.tasks.mixing import generator

    reflected = generator.langevin

    def absorbing(energy: Any, temperature: float, width: float) -> Any:
        lost = np.zeros(len(energy))
        lost[[0, -1]] = temperature / width**2
        return sp.csr_array(reflected(energy, temperature, width) - sp.diags_array(lost))

    with patch.object(generator, "langevin", absorbing):
        yield


@contextmanager
def joined_ends() -> Iterator[None]:
    """A chain that leaves at one end enters at the other: a circle."""
    import numpy as np
    import scipy.sparse as sp

    from bench.tasks.mixing import generator

    reflected = generator.langevin

    def joined(energy: Any, temperature: float, width: float) -> Any:
        n, rise = len(energy), (energy[0] - energy[-1]) / temperature
        rate = temperature / width**2
        over, back = rate * np.exp(-rise / 2), rate * np.exp(rise / 2)
        ends = sp.coo_array(([over, -over, back, -back], ([n - 1, n - 1, 0, 0], [0, n - 1, n - 1, 0])), shape=(n, n))
        return sp.csr_array(reflected(energy, temperature, width) + ends)

    with patch.object(generator, "langevin", joined):
        yield


@contextmanager
def whole_rise() -> Iterator[None]:
    """Rates exp(-dU / T) without the half: balanced with respect to the law of half the temperature."""
    from bench.tasks.mixing import generator

    halved = generator.langevin
    with patch.object(generator, "langevin", lambda energy, t, width: halved(2 * energy, t, width)):
        yield


@contextmanager
def unit_noise() -> Iterator[None]:
    """The noise has no temperature: rates of 1 / w^2, right in the potential."""
    from bench.tasks.mixing import generator

    langevin = generator.langevin
    with patch.object(generator, "langevin", lambda energy, t, width: langevin(energy, t, width) / t):
        yield


@contextmanager
def unit_interval() -> Iterator[None]:
    """Cells as wide as if the interval had length 1, whatever its diameter."""
    from bench.tasks.mixing import loop

    centres = loop.centres

    def shrunk(diameter: float, per_unit: int) -> Any:
        x, _ = centres(diameter, per_unit)
        return x, 1 / len(x)

    with patch.object(loop, "centres", shrunk):
        yield


@contextmanager
def reversed_swap() -> Iterator[None]:
    """Swaps are accepted by the difference of energies of the other sign."""
    from methods.sampling.diffusions import ReflectedDiffusion

    rates = ReflectedDiffusion.swap_rates
    with patch.object(ReflectedDiffusion, "swap_rates", lambda self, k, low, high: rates(self, k, high, low)):
        yield


@contextmanager
def unbounded_swap() -> Iterator[None]:
    """The ratio of the laws itself is the rate, without Metropolis' minimum with 1."""
    import numpy as np

    from methods.sampling.diffusions import ReflectedDiffusion

    def unbounded(self: Any, k: int, low: Any, high: Any) -> Any:
        cold, hot = self.temperatures[k : k + 2]
        return self.swap_intensity * np.exp((1 / cold - 1 / hot) * (low - high))

    with patch.object(ReflectedDiffusion, "swap_rates", unbounded):
        yield


@contextmanager
def threshold_swap() -> Iterator[None]:
    """Every swap whose probability is above a threshold is made, as in the released code (3e-4 with a correction of 0.81 * 9)."""
    from methods.sampling.diffusions import ReflectedDiffusion

    def threshold(self: Any, k: int, low: Any, high: Any) -> Any:
        return self.swap_intensity * (high - low <= 0.91)

    with patch.object(ReflectedDiffusion, "swap_rates", threshold):
        yield


@contextmanager
def lost_swap() -> Iterator[None]:
    """An exchange that is counted and not made: both chains keep their states."""
    from methods.sampling.diffusions import ReflectedDiffusion

    with patch.object(ReflectedDiffusion, "swap_rates", lambda self, k, low, high: 0 * (low + high)):
        yield


FLAT = ("r2sgld/spectrum", {"dataset": "flat_interval"})
WELLS = ("r2sgld/spectrum", {"dataset": "cosine_interval"})
PAIR = ("r2sgld/spectrum", {"method": "reflected_replica"})
SWAP = ("r2sgld/spectrum_swap", {"method": "reflected_replica"})
MISTAKES = [
    Mistake("absorbing-ends", "a chain is lost at an end", *FLAT, absorbing_ends),
    Mistake("joined-ends", "a circle for an interval", *FLAT, joined_ends),
    Mistake("whole-rise", "rates without the half of the rise", *WELLS, whole_rise),
    Mistake("unit-noise", "noise without its temperature", "r2sgld/spectrum", {}, unit_noise),
    Mistake("unit-interval", "cells that forget the diameter", "r2sgld/spectrum", {}, unit_interval),
    Mistake("confined", "a parabola beneath the wells", *WELLS, overrides=("dataset.confinement=0.2",)),
    Mistake("lost-swap", "swaps that are not made", *PAIR, lost_swap),
    Mistake("lost-swaps", "as above", *SWAP, lost_swap),
    Mistake("reversed-rates", "energies of the other sign", *SWAP, reversed_swap),
    Mistake("unbounded-swap", "no minimum with 1", *SWAP, unbounded_swap),
    Mistake("threshold-swap", "the released code's rule", *SWAP, threshold_swap),
]
