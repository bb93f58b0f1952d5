r"""An audit of the guarantee: planted images, each of which is among the private ones or is not by a fair coin, and guesses about the coins.

Under (epsilon, delta) the number of right guesses is stochastically at most a Binomial(r, 1 / (1 + e^-epsilon)), but for a small mass that delta moves. What
was guessed right therefore bounds epsilon from below, in one training run, with a confidence that holds for every attack: a bound above the stated
epsilon refutes the guarantee, one below it proves nothing.

Reference: Steinke, Nasr, Jagielski, 2023, "Privacy auditing with one (1) training run", arXiv 2305.08846, Theorem 5.2 and Algorithm 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.stats import binom
from torch import Tensor

from bench.seeding import generator
from bench.tasks.generation.pair import Pair

CONFIDENCE = 0.95
# shares of the canaries that are guessed on, those of extreme scores; the best bound counts, at a quarter of the level each
SHARES = (0.9, 0.5, 0.25, 0.1)
CELLS = 4  # of a canary's pattern, a side
STREAM = 80
LARGEST = 64.0  # of an epsilon that is looked for


@dataclass(frozen=True)
class Canaries:
    """m planted images.

    Attributes:
        x: uint8 [m, C, S, S].
        y: int64 [m].
        included: bool [m], which are among the private images; known to the audit, not to the attack.
    """

    x: Tensor
    y: Tensor
    included: Tensor


@dataclass(frozen=True)
class Audit:
    """What the guesses say.

    Attributes:
        epsilon: the lower bound, at CONFIDENCE.
        right, guesses: of the share of the canaries whose bound it is.
    """

    epsilon: float
    right: int
    guesses: int


def plant(pair: Pair, count: int, seed: int) -> tuple[Pair, Canaries]:
    """The pair with about half of `count` canaries among its private images, at their end, and all the canaries.

    A canary is a pattern of 4 x 4 cells, black or white in each channel by a fair coin, of a random class: like no
    image of a set, and hardly like another canary.
    The number of private images is public, as everywhere, with the canaries that are among them.
    """
    draws = generator(seed, "data", STREAM)
    channels, side, _ = pair.shape
    cells = torch.randint(2, (count, channels, CELLS, CELLS), generator=draws)
    rows = torch.arange(side) * CELLS // side
    x = (255 * cells[:, :, rows][:, :, :, rows]).to(torch.uint8)
    y = torch.randint(pair.num_classes, (count,), generator=draws)
    included = torch.rand(count, generator=draws) < 0.5
    device = pair.private_x.device
    canaries = Canaries(x.to(device), y.to(device), included.to(device))
    planted = replace(
        pair,
        private_x=torch.cat([pair.private_x, canaries.x[canaries.included]]),
        private_y=torch.cat([pair.private_y, canaries.y[canaries.included]]),
    )
    return planted, canaries


def audit(scores: Tensor, included: Tensor, delta: float) -> Audit:
    """Guess that canaries of high scores were included and those of low ones were not, half of the guesses each; which scores are looked at is not
    chosen by the answers: of four shares of the canaries each has a bound at a quarter of the level, and the largest counts.

    Args:
        scores: [m], higher the more it seems included (such as minus its loss); from the trained network and the canaries alone.
        included: bool [m].
        delta: of the guarantee.

    Raises:
        ValueError: scores that are not finite, or fewer than two.
    """
    values, truth = scores.double().cpu().numpy(), included.cpu().numpy()
    if len(values) < 2 or not np.isfinite(values).all():
        raise ValueError(f"{len(values)} scores of canaries; at least two finite ones are expected")
    order = np.argsort(values, kind="stable")
    confidence = 1 - (1 - CONFIDENCE) / len(SHARES)
    found = []
    for share in SHARES:
        half = max(1, round(share * len(values) / 2))
        half = min(half, len(values) // 2)
        right = int(truth[order[len(values) - half :]].sum() + (~truth[order[:half]]).sum())
        bound = epsilon_lower_bound(right, 2 * half, len(values), delta, confidence)
        found.append(Audit(bound, right, 2 * half))
    return max(found, key=lambda one: one.epsilon)


def epsilon_lower_bound(right: int, guesses: int, canaries: int, delta: float, confidence: float = CONFIDENCE) -> float:
    """The largest epsilon at which so many right guesses, or more, have a chance of at most 1 - confidence; 0 where there is none.

    Args:
        right: v, of `guesses` r, whose number and choice do not depend on the coins.
        canaries: m >= r, included by fair coins.
    """
    level = 1 - confidence
    if p_value(right, guesses, canaries, 0.0, delta) > level:
        return 0.0
    low, high = 0.0, LARGEST
    while high - low > 1e-6:
        middle = (low + high) / 2
        if p_value(right, guesses, canaries, middle, delta) <= level:
            low = middle
        else:
            high = middle
    return low


def p_value(right: int, guesses: int, canaries: int, epsilon: float, delta: float) -> float:
    """An upper bound of the chance of `right` or more right guesses under (epsilon, delta).

    beta + 2 m delta max_i P(v > B >= v - i) / i with B ~ Binomial(r, 1 / (1 + e^-epsilon)) and beta = P(B >= v).

    Raises:
        ValueError: not 0 <= right <= guesses <= canaries.
    """
    if not 0 <= right <= guesses <= canaries:
        raise ValueError(f"{right} right of {guesses} guesses on {canaries} canaries")
    chance = 1 / (1 + math.exp(-epsilon))
    beta = float(binom.sf(right - 1, guesses, chance))
    below = np.cumsum(binom.pmf(np.arange(right - 1, -1, -1), guesses, chance))  # P(v > B >= v - i), i = 1, ...
    moved = float((below / np.arange(1, right + 1)).max()) if right else 0.0
    return min(1.0, beta + 2 * canaries * delta * moved)
