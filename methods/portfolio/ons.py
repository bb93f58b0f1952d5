"""Online Newton step for portfolios (Agarwal, Hazan, Kale, Schapire, 2006)."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.errors import UserError
from bench.numerics import solve
from bench.types import PositiveFloat, Probability
from methods.portfolio.strategy import Strategy


class ONS(Strategy):
    r"""Online Newton step.

    g_k = x_k / (b_k . x_k),    A_t = I + sum_{k <= t} g_k g_k^T,    c_t = (1 + 1/beta) sum_{k <= t} g_k
    p_t = argmin_{p in simplex} (q - p)^T A_t (q - p),    q = delta A_t^{-1} c_t
    b_{t+1} = (1 - eta) p_t + eta 1/m

    As A_t q = delta c_t, the projection minimises p^T A_t p / 2 - delta c_t . p and q itself is never formed.

    Args:
        seed: not used.
        eta: weight of the uniform portfolio in the mixture.
        beta: gradients count 1 + 1/beta times.
        delta: scale of the Newton step.
    References:
        Agarwal et al., 2006, ICML; the factor 1 + 1/beta and the defaults as in the OLPS toolbox.
    Known limits:
        One linear system of the size of the support a period and setting: m up to a few hundred.
    """

    reads_accounts = False

    def __init__(
        self, seed: int = 0, *, eta: Probability = 0.0, beta: PositiveFloat = 1.0, delta: PositiveFloat = 0.125
    ) -> None:
        super().__init__(seed)
        self.eta, self.beta, self.delta = eta, beta, delta

    def begin(self, relatives: Tensor, costs: Tensor) -> Tensor:
        weights = super().begin(relatives, costs)
        m = relatives.shape[1]
        scale = torch.as_tensor(self.delta * (1 + 1 / self.beta), dtype=relatives.dtype, device=relatives.device)
        settings = torch.broadcast_shapes(scale.shape, torch.as_tensor(self.eta).shape, (1, 1))[0]
        self.scale = scale.expand(settings, 1)
        self.matrix = torch.eye(m, dtype=relatives.dtype, device=relatives.device).repeat(settings, 1, 1)
        self.total = relatives.new_zeros(settings, m)
        self.projected = weights[0].repeat(settings, 1)
        return weights.expand(1, settings, m)

    def update(self, t: int, weights: Tensor, held: Tensor, net: Tensor) -> Tensor:
        x, m = self.relatives[t], self.relatives.shape[1]
        mixed = (1 - self.eta) * self.projected + self.eta / m
        gradient = x / (mixed @ x)[:, None]
        self.matrix += gradient[:, :, None] * gradient[:, None, :]
        self.total += gradient
        linear = self.scale * self.total
        self.projected = torch.stack([minimise(*each) for each in zip(self.matrix, linear, self.projected)])
        return ((1 - self.eta) * self.projected + self.eta / m)[None]


def minimise(matrix: Tensor, linear: Tensor, start: Tensor) -> Tensor:
    r"""Minimiser of p^T A p / 2 - c . p over the simplex by a primal active-set method, exact up to rounding.

    On a support S the minimiser under sum p = 1 is A_SS^{-1} (c_S - lambda 1). A step towards it stops at the first weight that
    reaches 0, which leaves S; at the minimiser the asset with the most negative multiplier (A p - c)_i + lambda enters S.

    Args:
        matrix: A [m, m], positive definite.
        linear: c [m].
        start: a point of the simplex, [m]; near the answer it saves steps.
    Returns:
        [m]; NaN where A or c is not finite.

    Raises:
        UserError: no answer after 20 m changes of the support (A not positive definite in double precision).
    """
    p, support = start.clone(), (start > 0).nonzero().squeeze(-1)
    unknown = torch.full_like(p, torch.nan)
    if not len(support):
        return unknown
    slack = 1e-12 * linear.abs().max()
    for _ in range(20 * len(p)):
        inner = matrix[support][:, support]
        right = torch.stack([linear[support], torch.ones_like(linear[support])], -1)
        free, ones = solve(inner, right).unbind(-1)
        multiplier = (free.sum() - 1) / ones.sum()
        target, here = free - multiplier * ones, p[support]
        if not torch.isfinite(target).all():
            return unknown
        if (target >= 0).all():
            p = torch.zeros_like(p).index_copy_(0, support, target / target.sum())
            dual = matrix @ p - linear + multiplier
            dual[support] = 0
            worst = dual.argmin()
            if dual[worst] >= -slack:
                return p
            support = torch.cat([support, worst[None]])
        else:
            reach = torch.where(target < 0, here / (here - target), torch.inf)
            blocked = reach.argmin()
            moved = here + reach[blocked] * (target - here)
            keep = torch.arange(len(support), device=p.device) != blocked
            support = support[keep]
            p = torch.zeros_like(p).index_copy_(0, support, moved[keep].clamp_min(0))
    raise UserError(
        "online Newton step: its projection does not settle, as price relatives or method.delta and method.beta are too far from 1 "
        "for double precision; bring them nearer, or check the prices for errors"
    )
