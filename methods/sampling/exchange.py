r"""When two chains exchange their positions: the rule, and the variance of the noise that it corrects for.

With e the chains' minibatch energies (N times the mean loss of the minibatch that they share) and D = U_c - U_h, c colder than h, an exchange
leaves the product of the chains' laws as it is if it is accepted with probability min(1, exp(delta D)), delta = 1/T_c - 1/T_h.

Known is D + eps, eps = (e_c - U_c) - (e_h - U_h). If eps is N(0, s^2), then E exp(delta (D + eps) - delta^2 s^2 / 2) = exp(delta D), and what is
more, accepting with min(1, exp(delta (D + eps) - delta^2 s^2 / 2)) is in detailed balance (Ceperley and Dewing, 1999, the penalty method). So

    log u < delta (D + eps - correction),    correction = delta s^2 / (2 F),    F = 1.

s^2 is the variance of the noise of the DIFFERENCE. If the two energies had independent noise of variance sigma^2 each, s^2 = 2 sigma^2, and the
correction is the familiar delta sigma^2; on one minibatch the noise is common in part, s^2 is smaller, and F = 1 costs less. F > 1 exchanges
more often than is right. The Gaussian prior's part of U is known and has no noise.

Estimate of s^2: the closure tells one number a minibatch, and the chains move between minibatches. Along a chain's path
    r_t = e_t - e_{t-1} - (N grad_{t-1} + N grad_t) . (theta_t - theta_{t-1}) / 2
is what its energy changed beyond what its own gradients explain to third order: the noise of t less that of t-1. So (r^c_t - r^h_t)^2 / 2 has the
mean s^2; without noise it vanishes, whatever the chains do. It is averaged over the last hundred steps or so. Minibatches without replacement,
m an epoch, make it too large by the factor 1 + 1 / (m - 1).

The rule of the released code of r2SGLD is e_h - e_c - F >= 0, the sign opposite to theory, without temperatures or chance.

References: Deng et al., 2020, arXiv 2008.05367 (the correction); Ceperley and Dewing, 1999, J. Chem. Phys. 110, 9812.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

MEMORY = 100  # steps


@dataclass
class Visit:
    """One chain at this step: its minibatch energy e, e with the prior's part, its gradients, and whether they are finite."""

    energy: float
    potential: float
    gradients: list[Tensor]
    sound: bool


@dataclass
class Past:
    """What a position remembers of the step before: its energy e, and half the work that the gradient there did on the way here."""

    energy: float = math.nan
    work: float = math.nan


@dataclass
class Pair:
    """Of chains k and k + 1: exchanges tried and made, and the estimate of s^2 from so many steps."""

    tried: int = 0
    made: int = 0
    steps: int = 0
    variance: float = 0.0

    def learn(self, cold: float, hot: float) -> None:
        """Take in r of both chains; a NaN or an infinity tells nothing."""
        sample = (cold - hot) * (cold - hot) / 2
        if math.isfinite(sample):
            self.steps += 1
            self.variance += max(1 / self.steps, 1 / MEMORY) * (sample - self.variance)


def metropolis(cold: Visit, hot: Visit, delta: float, variance: float, factor: float, uniform: float) -> bool:
    """Is the exchange accepted, with s^2, F and u in [0, 1)? A NaN never is."""
    correction = delta * variance / (2 * factor)
    return math.log1p(-uniform) < delta * (cold.potential - hot.potential - correction)


def released(cold: Visit, hot: Visit, factor: float) -> bool:
    """The same by the rule of the released code."""
    return hot.energy - cold.energy - factor >= 0
