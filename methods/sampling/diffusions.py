"""Reflected Langevin diffusions in continuous time, one or several that exchange their states. NumPy alone."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from bench.types import NonNegativeFloat, PositiveFloat


class ReflectedDiffusion:
    r"""Reflected replica exchange Langevin diffusion (r2LD), of one chain the reflected Langevin diffusion.

    dX_k = -U'(X_k) dt + sqrt(2 T_k) dW_k, reflected at the boundary; chains k and k + 1 exchange their states at the rate
    a min(1, exp((1 / T_k - 1 / T_{k+1}) (U(X_k) - U(X_{k+1})))), which leaves the product of their Gibbs laws invariant.

    Args:
        temperatures: T_1 < ... < T_P, the coldest first; its chain is the one that samples.
        swap_intensity: a, swaps a unit of time where all are accepted; 0: independent chains; of no effect on one chain.
    References: Zheng et al., 2024, arXiv 2405.07839 (its abstract and released code); Chen et al., 2019, arXiv 2007.01990.
    """

    def __init__(self, *, temperatures: list[PositiveFloat], swap_intensity: NonNegativeFloat = 0.0) -> None:
        if not temperatures or any(cold >= hot for cold, hot in pairwise(temperatures)):
            raise ValueError(f"temperatures = {temperatures}: increasing numbers, at least one")
        self.temperatures, self.swap_intensity = temperatures, swap_intensity

    def swap_rates(self, k: int, low: NDArray, high: NDArray) -> NDArray:
        """Swaps a unit of time of chains k and k + 1 (from 0), whose states have energies `low` and `high`."""
        cold, hot = self.temperatures[k : k + 2]
        return self.swap_intensity * np.exp(np.minimum(0.0, (1 / cold - 1 / hot) * (low - high)))
