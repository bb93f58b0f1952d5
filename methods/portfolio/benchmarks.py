"""Benchmarks of on-line portfolio selection: buy and hold, constant rebalanced portfolios, universal portfolios, EG.

Notation of all: x_t price relatives, b_t weights on the simplex, m assets, T periods; toolbox = OLPS (Li, Sahoo, Hoi, 2016).
"""

from __future__ import annotations

import torch
from torch import Tensor

from bench.errors import UserError
from bench.numerics import solve
from bench.types import PositiveFloat, PositiveInt
from methods.portfolio.strategy import Strategy


class UBAH(Strategy):
    r"""Uniform buy and hold, the market: b_1 = 1/m, and nothing is traded after the first purchase.

    S_T = (1/m) sum_i prod_t x_{t,i}
    """

    def update(self, t: int, weights: Tensor, held: Tensor, net: Tensor) -> Tensor:
        return held / held.sum(-1, keepdim=True)


class UCRP(Strategy):
    r"""Uniform constant rebalanced portfolio: back to b = 1/m in every period.

    S_T = prod_t mean_i(x_{t,i})
    """

    reads_accounts = False

    def update(self, t: int, weights: Tensor, held: Tensor, net: Tensor) -> Tensor:
        return weights


class Best(UCRP):
    r"""The best asset in hindsight: S_T = max_i prod_t x_{t,i}."""

    hindsight = True

    def begin(self, relatives: Tensor, costs: Tensor) -> Tensor:
        weights = torch.zeros_like(super().begin(relatives, costs))
        weights[..., relatives.log().sum(0).argmax()] = 1
        return weights


class BCRP(UCRP):
    r"""Best constant rebalanced portfolio in hindsight, at no cost: b* = argmax_b sum_t log(b . x_t).

    References:
        Cover, 1991, Universal portfolios.
    """

    hindsight = True

    def begin(self, relatives: Tensor, costs: Tensor) -> Tensor:
        super().begin(relatives, costs)
        return best_constant(relatives)[None, None]


def best_constant(relatives: Tensor, gap: float = 1e-12) -> Tensor:
    r"""Maximiser of mean_t log(b . x_t) over the simplex, [m], by a primal-dual interior-point method.

    With r = mean_t x_t / (b . x_t), the optimum is where r_i = 1 for b_i > 0 and r_i <= 1 elsewhere. Newton's steps follow
    r + z = lambda 1, b z = mu, sum b = 1, as mu goes to 0. The log-wealth lost is at most T (max r - 1), by concavity.

    Args:
        relatives: x [T, m].
        gap: bound on max r - 1 at which it stops.
    Raises:
        UserError: the gap is not reached in 100 steps.
    """
    periods, m = relatives.shape
    b = relatives.new_full((m,), 1 / m)
    z, multiplier = torch.ones_like(b), relatives.new_ones(1)
    for _ in range(100):
        scaled = relatives / (relatives @ b)[:, None]
        r = scaled.mean(0)
        if r.max() - 1 <= gap:
            return b / b.sum()
        mu = 0.1 * (b @ z) / m
        hessian = scaled.T @ scaled / periods + torch.diag(z / b)
        right = torch.stack([r - multiplier + mu / b, torch.ones_like(b)], -1)
        step, ones = solve(hessian, right).unbind(-1)
        change = (step.sum() + b.sum() - 1) / ones.sum()
        step = step - change * ones
        dual = (mu - z * step) / b - z
        shrink = torch.cat([-step / b, -dual / z]).max()
        length = min(1.0, 0.99 / shrink.item()) if shrink > 0 else 1.0
        b, z, multiplier = b + length * step, z + length * dual, multiplier + length * change
    raise UserError(
        f"best constant portfolio of these price relatives, from {relatives.min():.3g} to {relatives.max():.3g}: an optimality gap of "
        f"{r.max() - 1:.1e} after 100 steps, wanted {gap:.1e}; check the prices for errors"
    )


class UP(Strategy):
    r"""Cover's universal portfolio with a Dirichlet(1) prior, by Monte Carlo.

    b_{t+1} = sum_s S_t(b^s) b^s / sum_s S_t(b^s),    S_t(b) = prod_{k <= t} b . x_k,    b^s ~ uniform on the simplex

    Args:
        seed: of the samples, drawn once.
        samples: number of constant portfolios b^s.
    References:
        Cover, 1991. The OLPS toolbox samples by a random walk instead and stays nearer to uniform.
    Known limits:
        The error falls as samples^(-1/2), and the more so the further from uniform the good portfolios are.
    """

    reads_accounts = False

    def __init__(self, seed: int = 0, *, samples: PositiveInt = 5000) -> None:
        super().__init__(seed)
        self.samples = samples

    def begin(self, relatives: Tensor, costs: Tensor) -> Tensor:
        super().begin(relatives, costs)
        generator = torch.Generator().manual_seed(self.seed)
        drawn = torch.empty(self.samples, relatives.shape[1], dtype=relatives.dtype).exponential_(generator=generator)
        self.portfolios = (drawn / drawn.sum(-1, keepdim=True)).to(relatives.device)
        self.log_wealth = self.portfolios.new_zeros(self.samples)
        return self._mean()

    def update(self, t: int, weights: Tensor, held: Tensor, net: Tensor) -> Tensor:
        self.log_wealth += (self.portfolios @ self.relatives[t]).log_()
        return self._mean()

    def _mean(self) -> Tensor:
        weights = self.log_wealth.softmax(0) @ self.portfolios
        return (weights / weights.sum())[None, None]


class EG(Strategy):
    r"""Exponentiated gradient on the log-wealth: b_{t+1} = b_t exp(eta x_t / (b_t . x_t)) / Z.

    Args:
        seed: not used.
        eta: learning rate.
    References:
        Helmbold, Schapire, Singer, Warmuth, 1998, On-line portfolio selection using multiplicative updates.
    """

    reads_accounts = False

    def __init__(self, seed: int = 0, *, eta: PositiveFloat = 0.05) -> None:
        super().__init__(seed)
        self.eta = eta

    def update(self, t: int, weights: Tensor, held: Tensor, net: Tensor) -> Tensor:
        x = self.relatives[t]
        return (weights.log() + self.eta * x / (weights @ x)[..., None]).softmax(-1)
