"""What releases cost: Opacus' own test values, the sigmas of the paper's settings, closed forms, and budgets that are met."""

from __future__ import annotations

import math

import pytest
from scipy.stats import norm

from bench.errors import UserError
from bench.tasks.generation.accounting import epsilon, noise_multiplier

# rate, steps, delta, noise multipliers at epsilon 1, 5, 10 by privacy loss distributions: the settings of the released configs
SETTINGS = {
    "mnist": (2000 / 60000, 6000, 1e-5, (9.68, 2.42, 1.47)),
    "cifar10": (80 / 50000, 12500, 1e-5, (0.943, 0.563, 0.474)),
    "cifar10_dpldm": (0.04, 750, 1e-5, (4.21, 1.23, 0.858)),
    "celeba": (8192 / 162770, 397, 1e-6, (4.39, 1.27, 0.876)),
    "celebahq": (2048 / 27000, 131, 1e-5, (3.45, 1.10, 0.783)),
}
RENYI = {"mnist": (10.50, 2.58, 1.56), "celeba": (4.70, 1.34, 0.920), "celebahq": (3.74, 1.19, 0.835)}


@pytest.mark.parametrize(
    ("sigma", "q", "steps", "delta", "wanted"),
    [(1.5, 0.05, 1000, 1e-6, 6.2100), (1.5, 0.2, 100, 1e-6, 8.4990), (3.0, 0.05, 1000, 1e-6, 2.5276)],
)
def test_opacus_table_of_privacy_loss_variables(sigma, q, steps, delta, wanted):
    """opacus/tests/prv_accountant.py; the PLD lies below by PRV's error of 0.01."""
    assert epsilon(q, sigma, steps, delta, "prv") == pytest.approx(wanted, abs=1e-3)
    assert epsilon(q, sigma, steps, delta, "pld") == pytest.approx(wanted - 0.01, abs=2e-3)


def test_opacus_values_of_both_accountants():
    """opacus/tests/accountants_test.py: sigma 1.5, q 0.04, 2250 steps, delta 1e-5."""
    assert epsilon(0.04, 1.5, 2250, 1e-5, "rdp") == pytest.approx(7.32911117143, abs=1e-6)
    assert epsilon(0.04, 1.5, 2250, 1e-5, "prv") == pytest.approx(6.777395712150674, abs=1e-2)


@pytest.mark.parametrize("name", SETTINGS)
def test_noise_multipliers_of_the_papers_settings(name):
    """Within 1 %: a hundredth more noise meets the budget, a hundredth less does not."""
    q, steps, delta, sigmas = SETTINGS[name]
    for budget, sigma in [*zip((1, 5, 10), sigmas)][:: 2 if "cifar10" in name else 1]:  # the longest
        assert epsilon(q, 1.01 * sigma, steps, delta, "pld") < budget < epsilon(q, 0.99 * sigma, steps, delta, "pld")


@pytest.mark.parametrize("name", RENYI)
def test_renyi_needs_more_noise(name):
    q, steps, delta, sigmas = SETTINGS[name]
    for budget, looser, sigma in zip((1.0, 5.0, 10.0), RENYI[name], sigmas):
        found = noise_multiplier(budget, q, steps, delta, "rdp")
        assert 0.985 * looser < found < 1.002 * looser  # these are of whole orders alone
        assert found > sigma


@pytest.mark.parametrize("accountant", ["prv", "rdp"])
def test_a_calibrated_budget_is_met_and_used(accountant):
    sigma = noise_multiplier(10.0, 2048 / 27000, 131, 1e-5, accountant)
    spent = epsilon(2048 / 27000, sigma, 131, 1e-5, accountant)
    assert 0.998 * 10 < spent <= 10
    assert sigma == pytest.approx(0.835 if accountant == "rdp" else 0.783, rel=0.01)


@pytest.mark.parametrize(("sigma", "steps"), [(0.5, 1), (2.0, 4), (40.0, 9)])
def test_without_sampling_it_is_the_gaussian_mechanism(sigma, steps):
    """Balle and Wang, 2018: delta at the epsilon found, computed anew."""
    mu = math.sqrt(steps) / sigma
    for accountant in ("prv", "pld"):
        found = epsilon(1.0, sigma, steps, 1e-5, accountant)
        delta = norm.cdf(mu / 2 - found / mu) - math.exp(found) * norm.cdf(-mu / 2 - found / mu)
        assert delta == pytest.approx(1e-5, rel=1e-6)
    assert epsilon(1.0, sigma, steps, 1e-5, "rdp") > found
    assert noise_multiplier(found, 1.0, steps, 1e-5, "pld") == pytest.approx(sigma, rel=1e-3)


def test_ends():
    assert epsilon(0.1, 1.0, 0, 1e-5) == 0
    assert epsilon(0.1, 0.0, 3, 1e-5) == math.inf
    assert epsilon(1.0, 1e9, 1, 1e-5) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((0.0, 1.0, 1, 1e-5), "rate = 0.0"),
        ((1.5, 1.0, 1, 1e-5), "rate = 1.5"),
        ((0.1, 1.0, 1, 1.0), "delta = 1.0"),
        ((0.1, 1.0, 1, 0.0), "delta = 0.0"),
        ((0.1, -1.0, 1, 1e-5), "noise_multiplier = -1.0"),
        ((0.1, math.nan, 1, 1e-5), "noise_multiplier = nan"),
        ((0.1, 1.0, -1, 1e-5), "steps = -1"),
    ],
)
def test_impossible_settings_are_refused(arguments, said):
    with pytest.raises(UserError, match=said):
        epsilon(*arguments)


@pytest.mark.parametrize("accountant", ["prv", "rdp"])
def test_a_budget_below_what_an_accountant_can_state_is_refused(accountant):
    """PRV states no less than its error, Renyi's orders end; privacy loss distributions have neither limit."""
    with pytest.raises(UserError, match=rf"epsilon = 0\.005: less than accountant = {accountant} can state"):
        noise_multiplier(0.005, 0.5, 2, 1e-3, accountant)
    assert 0.00499 < epsilon(1.0, noise_multiplier(0.005, 1.0, 2, 1e-3, "pld"), 2, 1e-3, "pld") <= 0.005


def test_a_budget_of_0_is_refused():
    with pytest.raises(UserError, match="epsilon = 0: above 0"):
        noise_multiplier(0, 0.5, 2, 1e-3)


@pytest.mark.parametrize("accountant", ["prv", "pld", "rdp"])
def test_an_epsilon_is_never_negative_and_a_large_delta_is_calibrated_for(accountant):
    """Accountants state negative ones where delta alone covers all that is lost."""
    assert epsilon(0.1, 10.0, 1, 0.5, accountant) == 0
    sigma = noise_multiplier(1.0, 0.16, 4, 0.3, accountant)
    assert 0.99 < epsilon(0.16, sigma, 4, 0.3, accountant) <= 1
