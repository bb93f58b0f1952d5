"""Who was a member? An attack by the loss: private images whose loss is lower than that of held-out ones give themselves away.

References: Yeom et al., 2018, arXiv 1709.01604; Carlini et al., 2022, arXiv 2112.03570, section II (rates of true members at few false ones).
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from bench.tasks.valuation.metrics import auc

FALSE_RATES = {"0.1": 0.001, "1": 0.01}  # by percent


def loss_attack(members: Tensor, others: Tensor) -> dict[str, float]:
    """`membership_auc`, the chance that a member's loss is lower than that of a held-out image (equal ones half), .5 for no knowledge;
    `membership_tpr_at_1_percent` and `membership_tpr_at_0.1_percent`, the share of the members below the threshold that calls at most that share of
    the held-out images members.

    Args:
        members, others: losses of private members [n] and of held-out images [m], from one network and equal draws of its noise.

    Raises:
        ValueError: an empty side, or losses that are not finite.
    """
    low, high = (losses.double().cpu().numpy() for losses in (members, others))
    for name, losses in (("member", low), ("held-out image", high)):
        if not len(losses) or not np.isfinite(losses).all():
            raise ValueError(f"losses of {len(losses)} {name}s; finite ones of at least one are expected")
    flags = np.r_[np.ones(len(low), bool), np.zeros(len(high), bool)]
    rates = {f"membership_tpr_at_{name}_percent": true_rate(low, high, rate) for name, rate in FALSE_RATES.items()}
    return {"membership_auc": auc(np.r_[low, high], flags), **rates}


def true_rate(members: np.ndarray, others: np.ndarray, false_rate: float) -> float:
    """The share of `members` below the (k + 1)-th lowest of `others`, where k = floor(false_rate m): at most k of those are below it."""
    allowed = int(np.floor(false_rate * len(others) + 1e-9))
    threshold = np.sort(others)[allowed] if allowed < len(others) else np.inf
    return float((members < threshold).mean())
