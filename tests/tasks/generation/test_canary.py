"""The audit: its p-value by hand, and simulated audits of mechanisms whose epsilon is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from scipy.stats import binom, norm

from bench.tasks.generation.canary import audit, epsilon_lower_bound, p_value, plant
from bench.tasks.generation.pair import Pair

DELTA = 1e-5


def gaussian_epsilon(sigma: float) -> float:
    """Of the Gaussian mechanism of sensitivity 1 (Balle and Wang, 2018, Theorem 8), at DELTA."""

    def excess(epsilon: float) -> float:
        a, b = 1 / (2 * sigma), epsilon * sigma
        return norm.cdf(a - b) - math.exp(epsilon) * norm.cdf(-a - b) - DELTA

    return brentq(excess, 0, 50)


def test_without_delta_the_p_value_is_the_binomial_s():
    assert p_value(8, 10, 20, 0.0, 0.0) == pytest.approx(56 / 1024)  # 45 + 10 + 1 of 2^10
    assert p_value(10, 10, 10, math.log(3), 0.0) == pytest.approx(0.75**10)
    assert p_value(0, 10, 10, 2.0, 0.5) == 1.0
    with pytest.raises(ValueError, match="3 right of 2 guesses"):
        p_value(3, 2, 4, 0.0, 0.0)


def test_delta_adds_the_theorem_s_mass():
    """With two guesses and two right: max(P(B = 1), (P(B = 1) + P(B = 0)) / 2) = max(2 q p, (1 - q^2) / 2)."""
    q = 1 / (1 + math.exp(-0.7))
    moved = max(2 * q * (1 - q), (1 - q * q) / 2)
    assert p_value(2, 2, 5, 0.7, 0.01) == pytest.approx(q * q + 2 * 5 * 0.01 * moved)


def test_all_right_is_the_closed_form_and_chance_is_nothing():
    """(1 / (1 + e^-epsilon))^r = .05."""
    q = 0.05 ** (1 / 500)
    assert epsilon_lower_bound(500, 500, 500, 0.0) == pytest.approx(math.log(q / (1 - q)), abs=1e-5)
    assert epsilon_lower_bound(500, 500, 500, DELTA) < epsilon_lower_bound(500, 500, 500, 0.0)
    assert epsilon_lower_bound(260, 500, 500, 0.0) == 0.0
    assert epsilon_lower_bound(0, 500, 500, DELTA) == 0.0


@pytest.mark.parametrize(
    ("right", "guesses", "canaries", "delta", "published"),
    [(75, 100, 1000, 1e-4, 0.673), (1439, 1510, 100_000, 1e-5, 2.675)],
)
def test_bounds_are_those_that_the_paper_prints(right, guesses, canaries, delta, published):
    """Steinke et al., 2023, arXiv 2305.08846v1, Appendix D (p. 46) and section 7 (p. 28), as others quote them; the second is cut, not rounded."""
    assert epsilon_lower_bound(right, guesses, canaries, delta) == pytest.approx(published, abs=1e-3)


def coins(draw: np.random.Generator, m: int) -> np.ndarray:
    return draw.random(m) < 0.5


def test_randomized_response_is_exceeded_as_often_as_the_level_allows():
    """Its epsilon is exact and the theorem is tight for it: a bound above it comes in at most 5 % of audits, and not much more rarely."""
    draw, m, epsilon = np.random.default_rng(0), 400, 1.0
    right = draw.binomial(m, 1 / (1 + math.exp(-epsilon)), 4000)
    bounds = {int(v): epsilon_lower_bound(int(v), m, m, 0.0) for v in np.unique(right)}
    share = np.mean([bounds[int(v)] > epsilon for v in right])
    assert binom.ppf(0.999, 4000, 0.05) / 4000 >= share > 0.02


def test_the_bound_of_a_gaussian_mechanism_is_below_its_epsilon():
    """Sum of the included canaries, orthogonal unit vectors, with noise: 200 audits; a bound above epsilon in at most 5 % of them, and mostly one of use."""
    draw, m, sigma = np.random.default_rng(1), 500, 0.6
    true = gaussian_epsilon(sigma)
    found = []
    for _ in range(200):
        included = coins(draw, m)
        scores = included + sigma * draw.standard_normal(m)
        found.append(audit(torch.tensor(scores), torch.tensor(included), DELTA).epsilon)
    assert np.mean(np.array(found) > true) <= 0.05
    assert np.median(found) > 0.5
    assert gaussian_epsilon(1.0) == pytest.approx(4.377, abs=1e-3)


def test_noise_that_is_ten_times_too_small_is_found_out():
    """Billed as sigma = 1, released with a tenth of it."""
    draw, m = np.random.default_rng(2), 500
    included = coins(draw, m)
    told = audit(torch.tensor(included + 0.1 * draw.standard_normal(m)), torch.tensor(included), DELTA)
    assert told.epsilon > gaussian_epsilon(1.0)
    assert (told.right, told.guesses) == (450, 450)


def test_scores_that_know_nothing_give_a_positive_bound_rarely():
    draw, m = np.random.default_rng(3), 100
    found = [audit(torch.tensor(draw.standard_normal(m)), torch.tensor(coins(draw, m)), 0.0) for _ in range(300)]
    assert np.mean([one.epsilon > 0 for one in found]) <= 0.05
    with pytest.raises(ValueError, match="at least two finite"):
        audit(torch.tensor([1.0, float("inf")]), torch.tensor([True, False]), 0.0)


def test_half_of_the_canaries_are_planted_at_the_end_and_the_rest_is_as_before():
    x, y = torch.zeros(6, 3, 10, 10, dtype=torch.uint8), torch.arange(6) % 3
    pair = Pair(x, y, x, y, x, y, public_classes=3, num_classes=3, conditional=True)
    planted, canaries = plant(pair, 400, 0)
    again, _ = plant(pair, 400, 0)
    there = canaries.included
    assert 160 < int(there.sum()) < 240
    assert torch.equal(planted.private_x[:6], x)
    assert torch.equal(planted.private_x[6:], canaries.x[there])
    assert torch.equal(planted.private_y[6:], canaries.y[there])
    assert planted.digest("private") == again.digest("private") != plant(pair, 400, 1)[0].digest("private")
    assert (planted.digest("public"), planted.digest("held")) == (pair.digest("public"), pair.digest("held"))
    assert set(canaries.x.unique().tolist()) == {0, 255}
    assert len(canaries.x.flatten(1).unique(dim=0)) == 400
    assert set(canaries.y.tolist()) == {0, 1, 2}
