"""Forecasts of the next period's price relatives, for all periods at once. Row t uses the relatives up to t alone.

Shapes: relatives and forecasts [T, m] float64, p_t the prices (cumulative products).
"""

from __future__ import annotations

import torch
from torch import Tensor

from bench.errors import UserError

UNSETTLED = (
    1e-5  # relative change of an L1-median at which its iteration has not settled; on real prices it is below 1e-6
)


def forecasts(name: str, relatives: Tensor, window: int, decay: float | Tensor) -> Tensor:
    """The forecasts by name, [T, m] ([T, K, m] for K values of decay).

    Args:
        window: number w of prices of olmar1 and rmr.
        decay: weight of the constant 1 in olmar2, in (0, 1).
    """
    if name == "momentum":
        return relatives
    if name == "reversion":
        return 1 / relatives
    if name == "olmar2":
        return exponential_average(relatives, decay)
    return {"olmar1": moving_average, "rmr": median_of_prices}[name](relatives, window)


def moving_average(relatives: Tensor, window: int) -> Tensor:
    """Mean of the last w prices over p_t (Li & Hoi, 2012, OLMAR-1); early on, of the prices there are, from p_0 = 1."""
    term, total = torch.ones_like(relatives), torch.ones_like(relatives)
    count = torch.ones_like(relatives[:, :1])
    for k in range(min(window - 1, len(relatives))):
        term = term[min(k, 1) :] / relatives[: len(relatives) - k]  # p_{t-k-1} / p_t of the rows t >= k
        total[k:] += term
        count[k:] += 1
    return total / count


def exponential_average(relatives: Tensor, decay: float | Tensor) -> Tensor:
    """phi_{t+1} = a 1 + (1 - a) phi_t / x_t with phi_1 = 1 (Li, Hoi, Sahoo & Liu, 2015, OLMAR-2).

    Args:
        decay: a, a number or one for each of K settings, [K, 1]; the forecasts are then [T, K, m].
    """
    rows, phi = [], torch.ones_like(relatives[0])
    for x in relatives:
        phi = phi / x * (1 - decay) + decay
        rows.append(phi)
    return torch.stack(rows)


def median_of_prices(relatives: Tensor, window: int) -> Tensor:
    """L1-median of the last w prices over p_t (Huang et al., 2013, RMR), from p_0 = 1; ones, which say nothing, while there are fewer."""
    prices = torch.cat([torch.ones_like(relatives[:1]), relatives.cumprod(0)])
    found = torch.ones_like(relatives)
    first = max(window - 2, 0)  # the row that sees p_0 ... p_{w-1}
    if len(relatives) > first:
        windows = prices.unfold(0, window, 1).transpose(1, 2)[-len(relatives) :]  # [.., w, m]
        found[first:] = l1_median(windows) / prices[first + 1 :]
    return found


def l1_median(points: Tensor, iterations: int = 200, tolerance: float = 1e-9) -> Tensor:
    r"""L1-median argmin_y sum_i ||X_i - y|| of each batch, [B, m], by Vardi and Zhang's iteration from the median of coordinates.

    T(y) = sum X_i / ||X_i - y|| / sum 1 / ||X_i - y||,  R(y) = sum (X_i - y) / ||X_i - y||  over the points that are not y,
    r = min(1, k / ||R||),  k the number of points that are y,    y <- (1 - r) T(y) + r y    until ||y_new - y||_1 <= tolerance ||y||_1

    The toolbox's code sets k = 1 where a price is repeated too: it then leaves a median that is a repeated point, and comes back slowly.

    Args:
        points: X [B, n, m].
        iterations: most steps.
        tolerance: of the relative change.

    Raises:
        UserError: after the last step one still changes by 1e-5 of itself.
    References:
        Vardi and Zhang, 2000, PNAS 97; the toolbox's l1median_VaZh_z.
    """
    answer = points.median(1).values
    active = torch.arange(len(points), device=points.device)
    for _ in range(iterations):
        x, y = points[active], answer[active]
        offset = x - y[:, None]
        distance = offset.square().sum(-1, keepdim=True).sqrt()
        apart = distance >= 1e-15
        inverse = torch.where(apart, 1 / distance, 0.0)
        total = inverse.sum(1)
        target = torch.where(total > 0, (x * inverse).sum(1) / total, 0.0)
        pull = (offset * inverse).sum(1).square().sum(-1, keepdim=True).sqrt()
        held = (~apart).sum(1).to(x.dtype)  # k
        r = torch.where(pull > 0, held / pull, held).clamp_max(1)
        answer[active] = new = (1 - r) * target + r * y
        active = active[(new - y).abs().sum(-1) > tolerance * y.abs().sum(-1)]
        if not len(active):
            break
    if len(active) and ((new - y).abs().sum(-1) > UNSETTLED * y.abs().sum(-1)).any():
        raise UserError(
            f"L1-median of prices: not settled after {iterations} steps; are the prices of one window of very different size? "
            "Choose a shorter method.window, or check the prices for errors"
        )
    return answer
