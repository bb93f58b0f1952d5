"""What a "method" of the mixing task is: chains at their temperatures and how adjacent ones swap; and its data: a potential on the line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from numpy.typing import NDArray


class Method(Protocol):
    """Chains dX_k = -U'(X_k) dt + sqrt(2 T_k) dW_k in one potential, reflected at the ends; adjacent ones exchange their states."""

    @property
    def temperatures(self) -> Sequence[float]:
        """T_1, ..., T_P."""

    def swap_rates(self, k: int, low: NDArray, high: NDArray) -> NDArray:
        """Swaps a unit of time of chains k and k + 1 (from 0), whose states have energies `low` and `high`, of any shape; symmetric in no way."""


class Potential(Protocol):
    """U on the line, up to a constant; the stationary law at temperature T is proportional to exp(-U / T)."""

    def energy(self, x: NDArray) -> NDArray:
        """U(x), shape of x."""
