"""The planner of a part by hand: how many runs would decide a median, from binomial probabilities alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom

from bench.judge.parts import Quantity, planner


def power(share: float, n: int, side: float) -> float:
    """That n runs, each right with this probability, put the median's interval on the right side: its end is the
    k-th value, with the largest k of P(Binomial(n, 1/2) < k) <= side, so that at most k - 1 of them may be wrong."""
    k = max(k for k in range(n + 1) if k == 0 or binom.cdf(k - 1, n, 0.5) <= side)
    return float(binom.cdf(k - 1, n, 1 - share)) if k else 0.0


def quantity(values: list[float], accept: tuple[float, float]) -> Quantity:
    return Quantity("a minus b", np.array(values), np.array(values), accept)


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("right", [True, False])
def test_the_opposite_is_planned_at_its_share_of_the_level(right, parts):
    """Six of eight runs on one side, 6.5 / 9 with half a run more: a claim has its whole level for each part, its
    opposite a share of it."""
    values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, -1.0, -2.0]
    found = planner(quantity(values if right else [-v for v in values], (0.0, math.inf)), 0.025, parts)
    side = 0.025 if right else 0.025 / parts
    assert found.towards == ("reproduced" if right else "not reproduced")
    assert found.power == pytest.approx({n: power(6.5 / 9, n, side) for n in (6, 12, 24)}, abs=1e-12)
    assert found.needed == next(n for n in range(1, 1000) if power(6.5 / 9, n, side) >= 0.8)


def test_two_borders_are_missed_as_often_as_either():
    """Seven of eight above the lower border and six below the upper one: what is missed at either adds up."""
    values = [-1.0, 1.0, 2.0, 3.0, 4.0, 5.0, 7.0, 8.0]
    found = planner(quantity(values, (0.0, 6.0)), 0.025, 1)
    both = {n: power(7.5 / 9, n, 0.025) + power(6.5 / 9, n, 0.025) - 1 for n in range(1, 200)}
    assert found.power == pytest.approx({n: max(0.0, both[n]) for n in (6, 12, 24)}, abs=1e-12)
    assert found.needed == next(n for n, share in both.items() if share >= 0.8)
