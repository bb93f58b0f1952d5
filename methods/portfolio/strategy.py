"""What an on-line portfolio strategy is, and the simplex.

Shapes: T periods, m assets, C cost levels, K settings (values of hyper-parameters) that advance in one batch. Weights are [C, K, m] float64
on the simplex; a strategy whose weights depend on neither cost nor setting returns [1, 1, m], and everything broadcasts.
Hyper-parameters are floats, or tensors [K, 1] for a batch of settings.
"""

from __future__ import annotations

import torch
from torch import Tensor


class Strategy:
    """Base of the strategies: the task calls `begin` once, then `update` after each period.

    Attributes:
        hindsight: does it use prices of the whole period from the start (Best, BCRP)? Others never look ahead: weights for period
            t + 1 depend on relatives[: t + 1] alone, which the tests check by changing the future.
        reads_accounts: does `update` use `held` or `net`? Where it does not, set this to False: the accounts are then kept for a block
            of periods at a time, which is faster, and `held` and `net` are those of an earlier period or None.
    """

    hindsight = False
    reads_accounts = True

    def __init__(self, seed: int = 0) -> None:
        """Every constructor takes the run's seed first and its hyper-parameters by keyword; only sampling strategies use the seed."""
        self.seed = seed

    def begin(self, relatives: Tensor, costs: Tensor) -> Tensor:
        """Weights of the first period, uniform unless overridden.

        Args:
            relatives: x [T, m], price relatives p_t / p_{t-1} of all periods; only what was seen may be used.
            costs: gamma [C], proportional cost of a full turnover; half of it is paid on each side.
        """
        self.relatives, self.costs = relatives, costs[:, None, None]
        m = relatives.shape[1]
        return relatives.new_full((1, 1, m), 1 / m)

    def update(self, t: int, weights: Tensor, held: Tensor, net: Tensor) -> Tensor:
        """Weights of period t + 1 after period t (0-based) was seen.

        Args:
            weights: those of period t, [C, K, m].
            held: what they drifted to, w x / (w . x), [C, K, m].
            net: growth of wealth in period t after costs, [C, K, 1].
        """
        raise NotImplementedError


def largest(value: float | Tensor) -> float:
    """The largest size of a hyper-parameter, a float or a tensor of settings."""
    return float(torch.as_tensor(value, dtype=torch.float64).abs().max())


def project(v: Tensor) -> Tensor:
    """Euclidean projection on the probability simplex along the last dimension (Duchi et al., 2008, Figure 1).

    The projection does not change when a constant is added to v, so the largest entry is moved to 0 first: the result is exact
    for entries of any size; where one is not finite, NaN.
    """
    v = v - v.amax(-1, keepdim=True)
    ordered = v.sort(dim=-1, descending=True).values
    excess = ordered.cumsum(-1) - 1
    k = torch.arange(1, v.shape[-1] + 1, dtype=v.dtype, device=v.device)
    support = (ordered * k > excess).sum(-1, keepdim=True)
    threshold = excess.gather(-1, support.clamp_min(1) - 1) / support
    clipped = (v - threshold).clamp_min_(0)
    return clipped / clipped.sum(-1, keepdim=True)
