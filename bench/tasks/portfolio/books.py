"""Accounts of portfolios: what they earn and pay from period to period.

Wealth is S_T = prod_t (b_t . x_t) (1 - (gamma / 2) ||b_t - held_{t-1}||_1) with held_{t-1} = b_{t-1} x_{t-1} / (b_{t-1} . x_{t-1}) and
held_0 = 0, so that the first purchase costs gamma / 2 (Li, Hoi, Sahoo & Liu, 2015, section 5.2.1; OLPS toolbox). Float64, sums of logs.

Shapes: T periods, m assets, C cost levels, K settings of hyper-parameters; all settings and cost levels advance in one batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.tasks.portfolio.protocol import Strategy

LONGEST, ENTRIES = 256, 2**18  # periods, and numbers of their weights, that are settled at a time


@dataclass(frozen=True)
class Paths:
    """What portfolios did in each period: gross and net growth, ||b_t - held_{t-1}||_1, and max(|sum b_t - 1|, -min b_t); [T, C, K]."""

    gross: Tensor
    net: Tensor
    traded: Tensor
    off: Tensor

    def of(self, setting: Tensor) -> Paths:
        """One setting for each cost level [C]: paths with K = 1."""
        index = setting[None, :, None].expand(len(self.net), -1, 1)
        return Paths(*(path.gather(2, index) for path in (self.gross, self.net, self.traded, self.off)))

    def log_wealth(self) -> Tensor:
        """log S_T, [C, K]."""
        return self.net.log().sum(0)


class Books:
    """The accounts of portfolios that are rebalanced every period.

    Args:
        costs: gamma [C].
        toolbox: held weights are divided by the net return instead of the gross one, as in the OLPS toolbox.
    """

    def __init__(self, periods: int, costs: Tensor, settings: int, toolbox: bool) -> None:
        self.half, self.toolbox = costs[:, None] / 2, toolbox
        self.paths = Paths(*(costs.new_empty(periods, len(costs), settings) for _ in range(4)))
        self._held = costs.new_zeros(1, 1, 1, 1)

    def settle(self, first: int, weights: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Buy weights [B, C, K, m] for the B periods from `first` on, earn x [B, m]. toolbox: one period at a time.

        Returns what they drifted to in the last of them, [C, K, m], and the net growths, [B, C, K] or what broadcasts to it.
        """
        periods = slice(first, first + len(x))
        gross = weights @ x[0] if len(x) == 1 else (weights @ x[:, None, :, None])[..., 0]
        held = weights * x[:, None, None] / gross[..., None]
        before = self._held if len(x) == 1 else torch.cat([self._held.expand(1, *held.shape[1:]), held[:-1]])
        traded = (weights - before).abs_().sum(-1)
        kept = 1 - self.half * traded
        net = gross * kept
        self.paths.gross[periods], self.paths.net[periods], self.paths.traded[periods] = gross, net, traded
        self.paths.off[periods] = torch.maximum((weights.sum(-1) - 1).abs_(), -weights.amin(-1))
        self._held = held[-1:] / kept[..., None] if self.toolbox else held[-1:]
        return held[-1], net


class Mixture(Books):
    """Books of capital that is spread evenly over K settings and left to grow: sum_k S_{k,t-1} b_{k,t} / sum_k S_{k,t-1}.

    It pays for its own trades alone: what one setting sells another may buy.
    """

    def __init__(self, periods: int, costs: Tensor, settings: int, toolbox: bool) -> None:
        super().__init__(periods, costs, 1, toolbox)
        self._log_wealth = costs.new_zeros(1, len(costs), settings)

    def follow(self, first: int, weights: Tensor, x: Tensor, net: Tensor) -> None:
        """Settle the mixture of weights [B, C, K, m] that grew by net [B, C, K]."""
        after = self._log_wealth + net.log().cumsum(0)
        share = torch.cat([self._log_wealth, after[:-1]]).softmax(-1)[..., None, :]  # [B, C, 1, K]
        self.settle(first, share @ weights.expand(-1, -1, share.shape[-1], -1), x)
        self._log_wealth = after[-1:]


def evaluate(
    strategy: Strategy,
    relatives: Tensor,
    costs: Tensor,
    *,
    settings: int = 1,
    toolbox_costs: bool = False,
    mixture: bool = False,
    tick: Callable[[], None] = lambda: None,
) -> tuple[Paths, Paths | None]:
    """Run a strategy through relatives [T, m] at cost levels [C].

    Args:
        settings: K, the number of settings in the strategy's batch.
        mixture: keep the books of a `Mixture` too.
        tick: called after each period.

    Returns:
        The paths of the settings, and that of the mixture (K = 1) or None.
    """
    books = Books(len(relatives), costs, settings, toolbox_costs)
    mixed = Mixture(len(relatives), costs, settings, toolbox_costs) if mixture else None
    one_by_one = strategy.reads_accounts or toolbox_costs
    block = 1 if one_by_one else max(1, min(LONGEST, ENTRIES // (settings * relatives.shape[1])))
    weights, pending, held, net = strategy.begin(relatives, costs), [], None, None
    for t in range(len(relatives)):
        pending.append(weights)
        if len(pending) == block or t + 1 == len(relatives):
            bought = weights[None] if len(pending) == 1 else torch.stack(torch.broadcast_tensors(*pending))
            first = t + 1 - len(pending)
            held, growth = books.settle(first, bought, relatives[first : t + 1])
            net, pending = growth[-1][..., None], []
            if mixed is not None:
                mixed.follow(first, bought, relatives[first : t + 1], growth)
        if t + 1 < len(relatives):
            weights = strategy.update(t, weights, held, net)  # type: ignore[arg-type]
        tick()
    return books.paths, mixed.paths if mixed else None
