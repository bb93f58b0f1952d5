"""Anticor: wealth moves from what rose to what its lagged correlations say rises next (Borodin, El-Yaniv, Gogan, 2004)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from bench.types import AtLeastTwo
from methods.portfolio.strategy import Strategy

ENTRIES = 2**21  # of the claim matrices that are held at a time
TIE = 1e-12  # means, deviations and correlations that differ by less are equal


class Anticor(Strategy):
    r"""Buy-and-hold mixture of Anticor over the windows w = 2 .. W; with two layers, BAH_W(Anticor(Anticor)).

    At the end of day t the last two windows of log-relatives, LX1 and LX2, have means mu1, mu2 and correlations
    M_cor(i, j) = corr(LX1_i, LX2_j), 0 where a variance is 0. Asset i claims against j when mu2_i >= mu2_j and M_cor(i, j) > 0:

        claim_{i->j} = M_cor(i, j) + max(0, -M_cor(i, i)) + max(0, -M_cor(j, j)),    P = claim / row sums (I where they are 0)
        b_{t+1} = P^T bhat_t

    Before 2 w days an expert leaves its weights alone. The second layer runs the same on the daily growth of the first layer's
    experts, as if they were assets. The experts of the last layer are mixed by their wealth.

    All weights depend on the relatives alone, not on costs, so they are computed at the start, each day's from the days before.

    Args:
        seed: not used.
        max_window: W, at least 2.
        layers: 1 or 2.
    References:
        Borodin, El-Yaniv, Gogan, 2004, JAIR 21, and the toolbox. Its one-layer version starts each rebalancing from the expert's
        last weights, its two-layer version from what they drifted to; so does this one.
    Known limits:
        Equal means are common: prices that come back to where they were, and all experts that have not started. In floating point the
        toolbox decides these ties by rounding errors (a product of a vector and a matrix adds the last of 29 equal experts up in
        another order), so that its final wealth moves by up to 1% from one copy of the data, BLAS or memory layout to another. Here
        differences below 1e-12 are ties, as in exact arithmetic; the tests hold both against the toolbox's operations.
        Time grows as T W m^2 and memory as T W m.
    """

    reads_accounts = False

    def __init__(self, seed: int = 0, *, max_window: AtLeastTwo = 30, layers: Literal[1, 2] = 1) -> None:
        if max_window < 2:
            raise ValueError(f"max_window = {max_window}: at least 2, a correlation needs two days")
        super().__init__(seed)
        self.max_window, self.layers = max_window, layers

    def begin(self, relatives: Tensor, costs: Tensor) -> Tensor:
        super().begin(relatives, costs)
        inner = experts(relatives, self.max_window, drift=self.layers == 2)
        growth = (inner * relatives[:, None]).sum(-1)
        if self.layers == 1:
            path = mix(inner, growth)
        else:
            outer = experts(growth, self.max_window, drift=True)
            path = (mix(outer, (outer * growth[:, None]).sum(-1))[..., None] * inner).sum(1)
        self.path = path / path.sum(-1, keepdim=True)
        return self.path[0][None, None]

    def update(self, t: int, weights: Tensor, held: Tensor, net: Tensor) -> Tensor:
        return self.path[t + 1][None, None] if t + 1 < len(self.path) else weights


def mix(weights: Tensor, growth: Tensor) -> Tensor:
    """Weights of a mixture of experts that bought equal shares of each and held on, [T, m].

    Args:
        weights: of the experts in each period, [T, n, m].
        growth: of their wealth in each period, [T, n].
    """
    log_wealth = growth.log().cumsum(0)
    before = torch.cat([torch.zeros_like(log_wealth[:1]), log_wealth[:-1]])
    return (before.softmax(-1)[..., None] * weights).sum(1)


def experts(relatives: Tensor, max_window: int, drift: bool) -> Tensor:
    """Weights of the Anticor experts with windows 2 .. max_window in each period, [T, max_window - 1, m].

    Args:
        relatives: [T, m].
        max_window: W.
        drift: rebalance what the weights drifted to, instead of the weights.
    """
    periods, m = relatives.shape
    logs, n = relatives.log(), max_window - 1
    weights = relatives.new_full((periods, n, m), 1 / m)
    chunk = max(1, ENTRIES // (n * m * m))
    for start in range(0, periods - 1, chunk):
        stop = min(start + chunk, periods - 1)
        moves = torch.eye(m, dtype=logs.dtype, device=logs.device).repeat(stop - start, n, 1, 1)
        for w in range(2, max_window + 1):
            first = max(start, 2 * w - 1)
            if first < stop:
                moves[first - start :, w - 2] = transfers(logs[first - 2 * w + 1 : stop], w)
        for t in range(start, stop):
            b = weights[t]
            if drift:
                b = b * relatives[t]
                b = b / b.sum(-1, keepdim=True)
            weights[t + 1] = (b[:, None] @ moves[t - start])[:, 0]
    return weights


def transfers(logs: Tensor, window: int) -> Tensor:
    """P of one window after each day from the 2 w-th of the given ones on, [days - 2 w + 1, m, m].

    Args:
        logs: log-relatives, [days, m].
        window: w.
    """
    windows = logs.unfold(0, window, 1)  # [days - w + 1, m, w]
    means = windows.mean(-1)
    offset = windows - means[..., None]
    size = offset.square().sum(-1, keepdim=True).sqrt()
    unit = torch.where(size > TIE, offset / size, 0.0)
    claim = unit[:-window] @ unit[window:].mT  # correlations, then claims
    mean = means[window:]
    counts = (claim > TIE) & (mean[:, :, None] >= mean[:, None, :] - TIE)
    own = (-claim.diagonal(dim1=1, dim2=2)).clamp_min(0)
    claim.add_(own[:, :, None]).add_(own[:, None, :]).mul_(counts)
    total = claim.sum(-1, keepdim=True)
    none = total == 0
    claim.div_(total.masked_fill(none, 1)).diagonal(dim1=1, dim2=2).add_(none[..., 0])
    return claim
