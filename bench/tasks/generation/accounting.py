r"""What T releases of the Poisson-subsampled Gaussian mechanism cost, and the noise that a budget asks for.

Each release is sum_{i in I} g_i + sigma C xi with ||g_i|| <= C, xi ~ N(0, I), and I holds each example independently with probability q.
Neighbouring data sets differ in one example that is added or removed.

`prv`: Opacus' accountant by Fourier transforms of privacy loss variables (Gopi et al., 2021), upper end, with its error of 0.01 in epsilon.
`pld`: dp-accounting's by privacy loss distributions (Doroshenko et al., 2022), pessimistic. `rdp`: Opacus' by Renyi divergences (Mironov et
al., 2019), looser and fast. Without sampling, q = 1, the first two are the closed form of Balle and Wang (2018), Theorem 8, for
sigma / sqrt(T).
"""

from __future__ import annotations

import math
import warnings
from functools import cache, lru_cache
from typing import Literal

from bench.errors import UserError
from bench.libraries import dp_accounting, opacus_accountants

Accountant = Literal["prv", "pld", "rdp"]
MOST = 1e3  # of an epsilon: more is no privacy to speak of, and more than accountants' tables can hold
LARGEST = 1e6  # noise multiplier; what epsilon it has is the least that an accountant can state
AIM = 5e-4  # by which a calibrated budget stays below the given one, relative; it is met to as much


def epsilon(q: float, sigma: float, steps: int, delta: float, accountant: Accountant = "prv") -> float:
    """The epsilon at `delta` of `steps` releases, an upper bound; 0 without a release, infinite without noise.

    Args:
        q: probability with which an example is in a batch, in (0, 1].
        sigma: noise multiplier, standard deviation of the noise over C.

    Raises:
        UserError: q, sigma, steps or delta is outside its range, or the extra `dp` is not installed.
    """
    if not 0 < q <= 1:
        raise UserError(f"rate = {q}: an example's probability of being in a batch; above 0, at most 1")
    if not 0 < delta < 1:
        raise UserError(f"delta = {delta}: between 0 and 1, below one over the number of private examples")
    if not sigma >= 0 or steps < 0:
        raise UserError(f"noise_multiplier = {sigma}, steps = {steps}: neither is negative")
    if steps == 0:
        return 0.0
    return math.inf if sigma == 0 else _spent(float(q), float(sigma), int(steps), float(delta), accountant)


@lru_cache(maxsize=4096)
def _spent(q: float, sigma: float, steps: int, delta: float, accountant: str) -> float:
    if q == 1 and accountant != "rdp":
        return _gaussian(math.sqrt(steps) / sigma, delta)
    try:
        with (
            warnings.catch_warnings()
        ):  # of Renyi orders at the end of the list, and of exponentials beyond the largest float
            warnings.simplefilter("ignore")
            return max(0.0, _by_library(q, sigma, steps, delta, accountant))
    except (ValueError, MemoryError):
        raise UserError(
            f"delta = {delta:g}: accountant = {accountant} cannot state what {steps} releases with noise_multiplier = {sigma:.4g} cost; "
            "a larger delta, a smaller epsilon, or another accountant"
        ) from None


def _by_library(q: float, sigma: float, steps: int, delta: float, accountant: str) -> float:
    if accountant == "pld":
        theirs = dp_accounting()
        event = theirs.PoissonSampledDpEvent(q, theirs.GaussianDpEvent(sigma))
        ledger = theirs.pld.PLDAccountant(theirs.NeighboringRelation.ADD_OR_REMOVE_ONE)
        return float(ledger.compose(event, steps).get_epsilon(delta))
    library = opacus_accountants()
    ledger = (library.PRVAccountant if accountant == "prv" else library.RDPAccountant)()
    ledger.history = [(sigma, q, steps)]
    return float(ledger.get_epsilon(delta))


def _gaussian(mu: float, delta: float) -> float:
    """The epsilon of N(mu, 1) against N(0, 1): delta = Phi(mu / 2 - epsilon / mu) - e^epsilon Phi(-mu / 2 - epsilon / mu)."""
    from scipy.optimize import brentq
    from scipy.special import log_ndtr

    def excess(value: float) -> float:
        first, second = log_ndtr(mu / 2 - value / mu), value + log_ndtr(-mu / 2 - value / mu)
        return float(first + math.log(max(-math.expm1(second - first), 1e-300)) - math.log(delta))

    if excess(0.0) <= 0:
        return 0.0
    highest = mu * mu / 2 + mu * math.sqrt(2 * math.log(1 / delta))  # by the tail of the privacy loss
    return float(brentq(excess, 0.0, highest + 1e-9, xtol=1e-12, rtol=1e-12))


@cache
def noise_multiplier(budget: float, q: float, steps: int, delta: float, accountant: Accountant = "prv") -> float:
    """The smallest sigma whose `steps` releases cost at most epsilon = `budget`, and at least 0.999 of it; kept in memory.

    Raises:
        UserError: no noise is enough (PRV never states less than its error), or as `epsilon`.
    """
    if not 0 < budget <= MOST:
        raise UserError(f"epsilon = {budget:g}: above 0 and at most {MOST:g}, or null for no privacy")
    refusal = UserError(
        f"epsilon = {budget}: less than accountant = {accountant} can state; larger, or accountant = pld"
    )
    if epsilon(q, LARGEST, steps, delta, accountant) >= budget:
        raise refusal
    excess = lambda sigma: math.log(epsilon(q, sigma, steps, delta, accountant) / (budget * (1 - AIM)) + 1e-300)  # noqa: E731
    start = max(budget, 1.0)  # Renyi orders end too early for less
    sigma = 1.0 if accountant == "rdp" else noise_multiplier(start, q, steps, delta, "rdp") * start / budget
    below, above, slope, found = 0.0, math.inf, -1.0, excess(sigma)
    while abs(found) > AIM:
        below, above = (sigma, above) if found > 0 else (below, sigma)
        tried = sigma * math.exp(min(max(-found / slope, -1.0), 1.0))
        if not below < tried < above:
            tried = math.sqrt(below * above) if below and above < math.inf else sigma * (2.0 if found > 0 else 0.5)
        if tried > LARGEST or above - below < 1e-9 * above:
            raise refusal
        last, sigma, before = found, tried, sigma
        found = excess(sigma)
        if last != found:
            slope = min((found - last) / math.log(sigma / before), -0.05)
    return sigma
