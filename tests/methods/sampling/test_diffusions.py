"""Swaps of a reflected replica exchange diffusion by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from methods.sampling.diffusions import ReflectedDiffusion


def test_a_cold_chain_takes_a_lower_state_always_and_a_higher_one_sometimes():
    chains = ReflectedDiffusion(temperatures=[1.0, 2.0, 4.0], swap_intensity=3.0)
    low, high = np.array([5.0, 1.0, 1.0]), np.array([1.0, 1.0, 5.0])
    np.testing.assert_allclose(chains.swap_rates(0, low, high), [3, 3, 3 * math.exp(-4 * (1 - 1 / 2))])
    np.testing.assert_allclose(chains.swap_rates(1, low, high), [3, 3, 3 * math.exp(-4 * (1 / 2 - 1 / 4))])


def test_far_energies_overflow_nothing():
    chains = ReflectedDiffusion(temperatures=[1.0, 10.0], swap_intensity=2.0)
    assert chains.swap_rates(0, np.array([1e300, -1e300]), np.array([-1e300, 1e300])).tolist() == [2.0, 0.0]


@pytest.mark.parametrize("temperatures", [[], [2.0, 1.0], [1.0, 1.0]])
def test_temperatures_that_do_not_increase_are_refused(temperatures):
    with pytest.raises(ValueError, match="increasing numbers, at least one"):
        ReflectedDiffusion(temperatures=temperatures, swap_intensity=1.0)
