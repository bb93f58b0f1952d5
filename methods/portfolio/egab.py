r"""EGAB: exponentiated gradient from the alpha-beta divergence, for on-line portfolio selection (Cichocki et al., 2024).

The paper's text was not at hand: what follows is derived from its abstract and the AB divergence (Cichocki, Cruces & Amari, 2011).
min_w <g, w> + D_AB(w_t || w) / eta with the factor w^(beta-1) held at w_t gives, element by element,

    w_{t+1} = w_t exp_{1-alpha}(-eta w_t^(1-alpha-beta) h),    exp_{1-alpha}(z) = [1 + alpha z]_+^(1/alpha)  (exp z at alpha = 0)

with the gradient g = -xhat / (w . xhat) of the loss -log(w . xhat) for a forecast xhat, centred or not:

    EGAB-U   h = g
    EGAB-N   h = g - w . g                                    the gradient of L(w / sum w)
    EGAB-P   h = g - lambda, lambda = sum w^(2-alpha-beta) g / sum w^(2-alpha-beta)      keeps sum w to first order

and a division by the sum, since a portfolio is on the simplex. (0, 1) is EG, (1, 1) additive gradient descent, (1, 0) its product form,
(alpha, 1) exact mirror descent with a Tsallis potential; on alpha + beta = 1, P is N. With D_AB(w || w_t) alpha and beta swap roles.

Costs in the objective, -log(w . xhat) + c ||w - held||_1: its least subgradient at the held weights is h, soft-thresholded at c.

Numbers: the update is computed in logs, the logarithm of a factor clipped to +-700. A bracket 1 + alpha z <= 0 means weight 0 for
alpha > 0. For alpha < 0 it means infinity: the asset's factor is exp(700), so that such assets share everything in proportion to their
weights. Weights are floored at 1e-10 (a multiplicative update cannot leave 0) and divided by their sum.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from bench.types import Fraction, NonNegativeFloat, PositiveFloat, PositiveInt
from methods.portfolio.forecasts import forecasts
from methods.portfolio.strategy import Strategy, largest

FLOOR = 1e-10
LARGEST = 700.0  # exp of it is still finite
LARGEST_POWER = 30.0  # FLOOR to a higher one is beyond exp(+-LARGEST)
LARGEST_STEP = 1e12  # eta beyond which steps follow the rounding errors of the gradient


class Geometry:
    """The unnormalised update in logs. alpha, beta, eta: floats, or tensors [K, 1] for a batch of settings."""

    def __init__(
        self, alpha: float | Tensor, beta: float | Tensor, eta: float | Tensor, device: torch.device | str = "cpu"
    ):
        alpha, beta, eta = (torch.as_tensor(v, dtype=torch.float64, device=device) for v in (alpha, beta, eta))
        self.power = 1 - alpha - beta
        self.minus_eta = -eta
        self.zero = alpha == 0
        self.alpha = torch.where(self.zero, torch.ones_like(alpha), alpha)
        self.some_zero, self.all_zero = bool(self.zero.any()), bool(self.zero.all())

    def step(self, log_w: Tensor, h: Tensor) -> Tensor:
        """log of w exp_{1-alpha}(-eta w^(1-alpha-beta) h) for log w and h [..., K, m]."""
        z = (log_w * self.power).clamp_(-LARGEST, LARGEST).exp_() * h * self.minus_eta
        if self.all_zero:
            return z.clamp_(-LARGEST, LARGEST).add_(log_w)
        u = (z * self.alpha).clamp_(min=-1).log1p_().div_(self.alpha)
        if self.some_zero:
            u = torch.where(self.zero, z, u)
        return u.clamp_(-LARGEST, LARGEST).add_(log_w)

    def metric(self, log_w: Tensor) -> Tensor:
        """w^(2-alpha-beta): how far a unit of gradient moves each weight."""
        return (log_w * (self.power + 1)).clamp_(-LARGEST, LARGEST).exp_()


def normalised(log_w: Tensor) -> Tensor:
    """exp(log_w) over its sum, floored, over its sum again."""
    w = (log_w - log_w.amax(-1, keepdim=True)).exp_()
    w /= w.sum(-1, keepdim=True)
    w.clamp_(min=FLOOR)
    return w.div_(w.sum(-1, keepdim=True))


class EGABU(Strategy):
    """EGAB-U: the plain gradient, then division by the sum.

    Args:
        seed: not used.
        alpha: deformation of the exponential.
        beta: with alpha, the exponent 1 - alpha - beta of the weights in the step.
        eta: step size.
        forecast: what xhat is, see methods.portfolio.forecasts.
        window: number of prices, of olmar1 and rmr.
        decay: of olmar2.
        threshold: cost in the objective, c = threshold * gamma / 2 for the cost gamma, from the held weights (1: to first order the
            growth net of costs); None: no such term, from the weights themselves.

    Raises:
        ValueError: a power of weights, or a step, that double precision cannot follow.
    """

    one_sided = True  # h has the same sign for all assets, so that a step may ask for infinite factors of all of them

    def __init__(
        self,
        seed: int = 0,
        *,
        alpha: float,
        beta: float,
        eta: PositiveFloat,
        forecast: Literal["momentum", "reversion", "olmar1", "olmar2", "rmr"] = "olmar1",
        window: PositiveInt = 5,
        decay: Fraction = 0.5,
        threshold: NonNegativeFloat | None = None,
    ) -> None:
        power, step = largest(1 - alpha - beta), largest(eta)
        if power > LARGEST_POWER:
            raise ValueError(
                f"alpha and beta: |1 - alpha - beta| = {power:g}, a power of weights, is at most {LARGEST_POWER:g}"
            )
        if step > LARGEST_STEP:
            raise ValueError(f"eta = {step:g}: at most {LARGEST_STEP:g}; larger steps follow rounding errors")
        super().__init__(seed)
        self.parameters = alpha, beta, eta
        self.forecast, self.window, self.decay, self.threshold = forecast, window, decay, threshold
        self.reads_accounts = threshold is not None

    def begin(self, relatives: Tensor, costs: Tensor) -> Tensor:
        self.geometry = Geometry(*self.parameters, device=relatives.device)
        self.forecasts = forecasts(self.forecast, relatives, self.window, self.decay)
        weights = super().begin(relatives, costs)
        if self.threshold is not None:
            self.cut = self.threshold * self.costs / 2  # c [C, K, 1]
        return weights

    def update(self, t: int, weights: Tensor, held: Tensor, net: Tensor) -> Tensor:
        w = weights if self.threshold is None else held
        log_w, forecast = w.log(), self.forecasts[t]
        growth = w @ forecast if forecast.ndim == 1 else (w * forecast).sum(-1)
        h = self.centred(w, log_w, forecast / growth.neg_().unsqueeze(-1))
        if self.threshold is not None:
            h = h - h.clamp(-self.cut, self.cut)
        moved = self.geometry.step(log_w, h)
        if self.one_sided:  # all factors cut at exp(700): nothing is known of what the step would be
            moved = moved.masked_fill((moved - log_w).amin(-1, keepdim=True) >= LARGEST - 1e-9, torch.nan)
        return normalised(moved)

    def centred(self, w: Tensor, log_w: Tensor, g: Tensor) -> Tensor:
        """h from the gradient g, all [C, K, m]."""
        return g


class EGABN(EGABU):
    """EGAB-N: the gradient of the loss at w / sum w. Arguments as EGABU's."""

    one_sided = False

    def centred(self, w: Tensor, log_w: Tensor, g: Tensor) -> Tensor:
        return g + 1  # w . g = -1 for every forecast


class EGABP(EGABU):
    """EGAB-P: the gradient projected so that the sum is kept to first order. Arguments as EGABU's, and

    projection: metric, with the multiplier lambda above; euclidean, lambda = mean(g), for every (alpha, beta).
    """

    one_sided = False

    def __init__(self, seed: int = 0, *, projection: Literal["metric", "euclidean"] = "metric", **shared: Any) -> None:
        super().__init__(seed, **shared)
        self.projection = projection

    def centred(self, w: Tensor, log_w: Tensor, g: Tensor) -> Tensor:
        if self.projection == "euclidean":
            return g - g.mean(-1, keepdim=True)
        metric = self.geometry.metric(log_w)
        return g - (metric * g).sum(-1, keepdim=True) / metric.sum(-1, keepdim=True)
