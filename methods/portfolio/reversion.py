"""Mean reversion: PAMR, CWMR, OLMAR, RMR, TCO (Li, Hoi and co-authors, 2011 to 2018), with the conventions of the OLPS toolbox.

Notation: x_t price relatives, b_t weights, d(v) = v - mean(v) 1, proj = Euclidean projection on the simplex.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from bench.types import NonNegativeFloat, PositiveFloat, PositiveInt, Probability
from methods.portfolio.forecasts import exponential_average, median_of_prices, moving_average
from methods.portfolio.strategy import Strategy, largest, project

LARGEST_PHI = 1e70


def centred(v: Tensor) -> tuple[Tensor, Tensor]:
    """d(v) and ||d(v)||^2 along the last dimension, which is kept."""
    d = v - v.mean(-1, keepdim=True)
    return d, d.square().sum(-1, keepdim=True)


class PAMR(Strategy):
    r"""Passive-aggressive mean reversion: bets that what rose today falls tomorrow.

    tau_t = max(0, r_t - epsilon) / ||d(x_t)||^2,    b_{t+1} = proj(b_t - tau_t d(x_t))
    variant 1: tau_t <= C.    variant 2: ||d(x_t)||^2 + 1 / (2 C) in the denominator.

    As in the toolbox r_t is the growth after costs (b_t . x_t at no cost), and tau_{t-1} is kept where ||d(x_t)|| = 0.

    Args:
        seed: not used.
        epsilon: threshold of the loss, below 1: returns above it call for reversion.
        variant: 0 (PAMR), 1 (PAMR-1) or 2 (PAMR-2).
        C: aggressiveness of variants 1 and 2; variant 0 has none.
    References:
        Li, Zhao, Hoi, Gopalkrishnan, 2012, Machine Learning 87, and the toolbox.
    Known limits:
        It turns over about 1.5 times its wealth a day: on four of the six OLPS markets costs of 0.5% leave less than UCRP has.
    """

    def __init__(
        self, seed: int = 0, *, epsilon: NonNegativeFloat = 0.5, variant: Literal[0, 1, 2] = 0, C: PositiveFloat = 500.0
    ) -> None:
        super().__init__(seed)
        self.epsilon, self.variant, self.C = epsilon, variant, C

    def begin(self, relatives: Tensor, costs: Tensor) -> Tensor:
        self.direction, self.norm = centred(relatives)
        self.tau = 0.0
        return super().begin(relatives, costs)

    def update(self, t: int, weights: Tensor, held: Tensor, net: Tensor) -> Tensor:
        softened = self.norm[t] + 0.5 / self.C if self.variant == 2 else self.norm[t]
        if (softened > 0).all():
            self.tau = ((net - self.epsilon) / softened).clamp_min(0)  # type: ignore[assignment]
            if self.variant == 1:
                self.tau = torch.minimum(self.tau, torch.as_tensor(self.C, dtype=net.dtype, device=net.device))  # type: ignore[arg-type, assignment]
        return project(weights - self.tau * self.direction[t])


class CWMR(Strategy):
    r"""Confidence-weighted mean reversion: b ~ N(mu, Sigma), and P(b . x_t <= epsilon) is kept above a level by the least change.

    xbar = 1^T Sigma x / 1^T Sigma 1,    M = mu . x,    V = x^T Sigma x,    W = x^T Sigma 1
    mu <- proj(mu - lambda Sigma (x - xbar 1)),    Sigma^{-1} <- Sigma^{-1} + lambda s diag(x^2),    Sigma <- Sigma / (m 1^T Sigma 1)

    lambda = max(0, roots of a lambda^2 + b lambda + c), 0 where they are not real and distinct. Variant "var":
    a = 2 phi V (V - xbar W),    b = 2 phi V (epsilon - M) + V - xbar W,    c = epsilon - M - phi V,    s = 2 phi
    Variant "stdev", with U = V - xbar W + phi^2 V / 2:
    a = U^2 - phi^4 V^2 / 4,    b = 2 (epsilon - M) U,    c = (epsilon - M)^2 - phi^2 V,    s = phi / u,
    u = (sqrt(lambda^2 phi^2 V^2 + 4 V) - lambda phi V) / 2

    b_t = mu, mu_1 = 1/m, Sigma_1 = I / m^2; Sigma stays diagonal and is kept as a vector.

    Args:
        seed: not used.
        epsilon: threshold of the return.
        phi: quantile of the confidence level.
        variant: "var" or "stdev".
    References:
        Li, Hoi, Zhao, Gopalkrishnan, 2013, ACM TKDD 7(1), and the toolbox, whose "stdev" adds eps to Sigma if det(Sigma) <= eps.
    """

    reads_accounts = False

    def __init__(
        self,
        seed: int = 0,
        *,
        epsilon: NonNegativeFloat = 0.5,
        phi: PositiveFloat = 2.0,
        variant: Literal["var", "stdev"] = "var",
    ) -> None:
        if largest(phi) > LARGEST_PHI:
            raise ValueError(f"phi = {largest(phi):g}: at most {LARGEST_PHI:g}, as its fourth power is needed")
        super().__init__(seed)
        self.epsilon, self.phi, self.variant = epsilon, phi, variant

    def begin(self, relatives: Tensor, costs: Tensor) -> Tensor:
        weights = super().begin(relatives, costs)
        self.sigma = weights.square()
        return weights

    def update(self, t: int, weights: Tensor, held: Tensor, net: Tensor) -> Tensor:
        x, sigma, phi = self.relatives[t], self.sigma, self.phi
        wide = (sigma @ x)[..., None]
        mean = wide / (sigma @ torch.ones_like(x))[..., None]  # as wide is summed: exactly 1 where no price moves
        variance, short = (sigma @ x.square())[..., None], self.epsilon - (weights @ x)[..., None]
        spread = variance - mean * wide
        if self.variant == "var":
            a, c = 2 * phi * variance * spread, short - phi * variance
            step = _largest_root(a, 2 * phi * variance * short + spread, c)
            precision = 2 * phi * step
        else:
            half = spread + phi**2 * variance / 2
            a, c = half.square() - phi**4 * variance.square() / 4, short.square() - phi**2 * variance
            step = _largest_root(a, 2 * short * half, c)
            root = ((step * phi * variance).square() + 4 * variance).sqrt() - step * phi * variance
            precision = 2 * step * phi / root
        new = 1 / (1 / sigma + precision * x.square())
        if self.variant == "stdev":
            eps = torch.finfo(x.dtype).eps
            singular = new.log().sum(-1, keepdim=True).exp() <= eps
            new = torch.where(singular, new + eps, new)
        self.sigma = new / new.sum(-1, keepdim=True) / len(x)
        return project(weights - step * sigma * (x - mean))


def _largest_root(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """max(0, real roots of a z^2 + b z + c); 0 where two distinct ones do not exist (or, at a = 0, none does)."""
    discriminant = b.square() - 4 * a * c
    root = discriminant.clamp_min(0).sqrt()
    near, far = (root - b) / (2 * a), (-root - b) / (2 * a)
    lost = (discriminant == b.square()) & (b != 0)  # 4 a c is below rounding: -c / b is the small root
    two = torch.maximum(torch.where(lost & (b > 0), -c / b, near), torch.where(lost & (b < 0), -c / b, far))
    value = torch.where(a != 0, torch.where(discriminant > 0, two, 0.0), torch.where(b != 0, -c / b, 0.0))
    return value.clamp_min(0)


class Reverting(Strategy):
    r"""Passive-aggressive step towards a forecast phi_{t+1} of the next relatives; the subclass gives the forecast.

    lambda = max(0, epsilon - b_t . phi) / ||d(phi)||^2 (0 where ||d(phi)|| = 0),    b_{t+1} = proj(b_t + lambda d(phi))

    Args:
        seed: not used.
        epsilon: return that the next portfolio should reach under the forecast.
    """

    reads_accounts = False
    first = 0  # the period (0-based) after which the first step is taken

    def __init__(self, seed: int = 0, *, epsilon: NonNegativeFloat = 10.0) -> None:
        super().__init__(seed)
        self.epsilon = epsilon

    def forecast(self, relatives: Tensor) -> Tensor:
        """phi_{t+1} for every t, [T, m] or [T, K, m]; row t may depend on relatives[: t + 1] alone."""
        raise NotImplementedError

    def begin(self, relatives: Tensor, costs: Tensor) -> Tensor:
        self.phi = self.forecast(relatives)
        self.direction, norm = centred(self.phi)
        self.norm = norm.masked_fill(norm == 0, torch.inf)
        return super().begin(relatives, costs)

    def update(self, t: int, weights: Tensor, held: Tensor, net: Tensor) -> Tensor:
        if t < self.first:
            return weights
        short = self.epsilon - (weights * self.phi[t]).sum(-1, keepdim=True)
        return project(weights + short.clamp_min(0) / self.norm[t] * self.direction[t])


class OLMAR1(Reverting):
    r"""On-line moving average reversion, simple average: prices return to the mean of the last w.

    phi_{t+1} = (1/w) sum_{k=0}^{w-1} p_{t-k} / p_t;    x_t while fewer than w + 1 rows are known

    Args:
        seed: not used.
        epsilon: return that the next portfolio should reach under the forecast.
        window: w.
    References:
        Li, Hoi, Sahoo, Liu, 2015, Artificial Intelligence 222, and the toolbox: first step at period 3, forecast x_t at first.
    """

    first = 1

    def __init__(self, seed: int = 0, *, window: PositiveInt = 5, **shared: Any) -> None:
        super().__init__(seed, **shared)
        self.window = window

    def forecast(self, relatives: Tensor) -> Tensor:
        return torch.cat([relatives[: self.window], moving_average(relatives, self.window)[self.window :]])


class OLMAR2(Reverting):
    r"""On-line moving average reversion, exponential average.

    phi_{t+1} = alpha 1 + (1 - alpha) phi_t / x_t,    phi_1 = 1; first step at period 2

    Args:
        seed: not used.
        epsilon: return that the next portfolio should reach under the forecast.
        alpha: weight of the newest price.
    References:
        Li, Hoi, Sahoo, Liu, 2015, Artificial Intelligence 222, and the toolbox.
    """

    def __init__(self, seed: int = 0, *, alpha: Probability = 0.5, **shared: Any) -> None:
        super().__init__(seed, **shared)
        self.alpha = alpha

    def forecast(self, relatives: Tensor) -> Tensor:
        return exponential_average(relatives, self.alpha)


class RMR(Reverting):
    r"""Robust median reversion: the forecast is the L1-median of the last prices.

    phi_{t+1} = argmin_y sum_{k=0}^{w-1} ||p_{t-k} - y|| / p_t;    x_t while fewer than w + 1 rows are known

    Prices start at p_1 = 1 (the toolbox leaves x_1 out); their scale matters, as the L1-median mixes the assets.

    Args:
        seed: not used.
        epsilon: return that the next portfolio should reach under the forecast.
        window: w.
    References:
        Huang, Zhou, Li, Hoi, Zhou, 2016, IEEE TKDE 28(9); the toolbox's rmr_day_weight.
    """

    def __init__(self, seed: int = 0, *, epsilon: NonNegativeFloat = 5.0, window: PositiveInt = 5) -> None:
        super().__init__(seed, epsilon=epsilon)
        self.window = window

    def forecast(self, relatives: Tensor) -> Tensor:
        from_first = torch.cat([torch.ones_like(relatives[:1]), relatives[1:]])
        return torch.cat([relatives[: self.window], median_of_prices(from_first, self.window)[self.window :]])


class TCO1(Strategy):
    r"""Transaction cost optimisation with the one-period reversion forecast phi = 1 / x_t.

    v = phi / (bhat_t . phi),    u = eta d(v),    b_{t+1} = proj(bhat_t + sign(u) max(|u| - rho gamma, 0))

    bhat_t = held weights, gamma = cost level: assets whose expected gain does not pay for the trade are left as they drifted.

    Args:
        seed: not used.
        eta: step size.
        rho: threshold in units of the cost.
    References:
        Li, Wang, Huang, Hoi, 2018, Quantitative Finance 18(8); constants and first step (period 2) as in the package
        universal-portfolios.
    """

    def __init__(self, seed: int = 0, *, eta: PositiveFloat = 10.0, rho: NonNegativeFloat = 10.0) -> None:
        super().__init__(seed)
        self.eta, self.rho = eta, rho

    def update(self, t: int, weights: Tensor, held: Tensor, net: Tensor) -> Tensor:
        phi = 1 / self.relatives[t]
        u = self.eta * centred(phi / (held @ phi)[..., None])[0]
        return project(held + u.sign() * (u.abs() - self.rho * self.costs).clamp_min(0))
