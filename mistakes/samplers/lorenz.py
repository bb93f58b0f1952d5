"""Classic mistakes in the identification of the Lorenz system, planted one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from bench.judge.selftest import Mistake


@contextmanager
def summed_gradient() -> Iterator[None]:
    """The gradient of the minibatch's sum, not divided by its size."""
    from datasets.energies.lorenz import Lorenz

    gradient = Lorenz.noisy_gradient
    with patch.object(Lorenz, "noisy_gradient", lambda self, x, *draw: 4096 * gradient(self, x, *draw)):
        yield


@contextmanager
def missing_constraint() -> Iterator[None]:
    """sigma > beta + 1 is forgotten by the mirror."""
    from bench.tasks.sampling.domains import HalfSpaces
    from datasets.energies.lorenz_domain import Normal

    reflect = HalfSpaces.reflect

    def three(self: Any, x: Any, y: Any) -> Any:
        fewer = HalfSpaces(self.a[:3], self.c[:3], self.centre)
        return reflect(fewer, x, y)

    with patch.object(Normal, "reflect", three):
        yield


@contextmanager
def reset_to_truth() -> Iterator[None]:
    """The mirror puts all but the three parameters to the truth, as the released helper does."""
    from datasets.energies import lorenz
    from datasets.energies.lorenz_domain import Reset

    with patch.dict(lorenz.MIRRORS, {"normal": Reset}):
        yield


@contextmanager
def kept_others() -> Iterator[None]:
    """The released helper without its reset."""
    from datasets.energies import lorenz
    from datasets.energies.lorenz_domain import InParameters

    with patch.dict(lorenz.MIRRORS, {"reset": InParameters}):
        yield


@contextmanager
def true_start() -> Iterator[None]:
    """The chains start at the truth."""
    from datasets.energies.lorenz import BETA, RHO, SIGMA, Lorenz, coefficients

    with patch.object(Lorenz, "start", lambda self: coefficients(SIGMA, RHO, BETA)):
        yield


RELEASED = ("r2sgld/lorenz_released", {"method": "sgld_lorenz", "method.reflect": True})
RECOVERY = ("r2sgld/lorenz", {})
MIRROR = ("r2sgld/lorenz_mirror", {})
AUDIT = ("r2sgld/lorenz_audit", {"method.reflect": True})
FREE = ("r2sgld/lorenz_audit", {"method.reflect": False})
MISTAKES = [
    Mistake("tenth-of-step", "a tenth of the step", *RECOVERY, overrides=("method.lr=2e-6",)),
    Mistake("summed-gradient", "the gradient is not divided by the minibatch's size", *RELEASED, summed_gradient),
    Mistake("missing-constraint", "the mirror forgets sigma > beta + 1", *MIRROR, missing_constraint),
    Mistake("reset-to-truth", "the mirror tells the truth", *MIRROR, reset_to_truth),
    Mistake("kept-others", "the released helper without its reset", *AUDIT, kept_others),
    Mistake("true-start", "chains start at the truth", *FREE, true_start),
]
