"""What an on-line portfolio strategy is. Its data are `market.Market`.

Shapes: T periods, m assets, C cost levels, K settings (values of hyper-parameters) that advance in one batch. Weights are [C, K, m] float64
on the simplex; those that depend on neither cost nor setting may be [1, 1, m], and everything broadcasts.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class Strategy(Protocol):
    """Built with the run's seed and its hyper-parameters, floats or tensors [K, 1]; `begin` is called once, `update` after each period.

    Attributes:
        reads_accounts: does `update` use `held` or `net`? False: the accounts are kept for a block of periods at a time, which is
            faster, and `held` and `net` are those of an earlier period or None.
    """

    reads_accounts: bool

    def begin(self, relatives: Tensor, costs: Tensor) -> Tensor:
        """Weights of the first period.

        Args:
            relatives: x [T, m], price relatives p_t / p_{t-1} of all periods; only what was seen may be used, except in hindsight.
            costs: gamma [C], proportional cost of a full turnover; half of it is paid on each side.
        """

    def update(self, t: int, weights: Tensor, held: Tensor, net: Tensor) -> Tensor:
        """Weights of period t + 1 after period t (0-based) was seen.

        Args:
            weights: those of period t, [C, K, m].
            held: what they drifted to, w x / (w . x), [C, K, m].
            net: growth of wealth in period t after costs, [C, K, 1].
        """
