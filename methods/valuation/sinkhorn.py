r"""Entropic optimal transport in the log domain: many pairs of point clouds at once, annealed as GeomLoss' `SamplesLoss("sinkhorn")` does.

With weights a, b, cost D and softmin_eps(D, h)_i = -eps log sum_j exp(h_j - D_ij / eps),

    f~ = softmin_eps(D, log b + g / eps),   g~ = softmin_eps(D^T, log a + f / eps),   f <- (f + f~) / 2,   g <- (g + g~) / 2

for a falling list of eps, and f <- f~, g <- g~ together at the last one. After the dozen updates of the usual list the potentials are far
from those of the optimum where costs are large beside eps; a `tolerance` goes on from there with f <- f~ and then g <- g~, in turn, which
converges four times as fast as averages. Shapes: P pairs, n and m points.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

UNIT = 1 / math.log(2)


class Costs(Protocol):
    """Costs D [P, n, m], whole or block by block."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """P, n, m."""

    def block(self, pairs: slice, rows: slice) -> Tensor:
        """D [p, r, m] of some pairs and some rows; it is not written to."""


@dataclass(frozen=True)
class Schedule:
    """eps of each averaged update.

    Attributes:
        eps: in their order; the first also starts the potentials.
        tolerance: go on at the last eps until no potential moves by more than this many eps in an update; None: don't.
        max_updates: of those that `tolerance` adds.
    """

    eps: tuple[float, ...]
    tolerance: float | None = None
    max_updates: int = 10_000


@dataclass(frozen=True)
class Potentials:
    """What `solve` found.

    Attributes:
        f, g: [P, n] and [P, m]; of points without weight they mean nothing.
        updates: made, of f and g each.
        settled: the tolerance was met; True where there was none.
    """

    f: Tensor
    g: Tensor
    updates: int
    settled: bool


def annealed(diameter: float, epsilon: float, scaling: float = 0.5) -> tuple[float, ...]:
    """GeomLoss' list for squared distances: diameter^2, then by scaling^2 down to epsilon = blur^2.

    Args:
        diameter: of the points, in units of features, above 0.
    """
    start, stop, step = 2 * math.log(diameter), math.log(epsilon), 2 * math.log(scaling)
    count = max(math.ceil((stop - start) / step), 0)
    return diameter**2, *(math.exp(start + k * step) for k in range(count)), epsilon


def block_entries(device: torch.device) -> int:
    """Entries of a block: what stays in a core's cache, or what fills a GPU."""
    return 1 << 17 if device.type == "cpu" else 1 << 25


def blocks(shape: tuple[int, int, int], entries: int) -> Iterator[tuple[slice, slice]]:
    """Slices of pairs and of rows that cover [P, n, m], of about so many entries each: several whole pairs, or part of one."""
    count, n, m = shape
    together = max(entries // max(n * m, 1), 1)
    rows = n if together > 1 else min(max(entries // max(m, 1), 1), n)
    for p in range(0, count, together):
        for i in range(0, n, rows):
            yield slice(p, min(p + together, count)), slice(i, min(i + rows, n))


def _log2_sum_(x: Tensor, dim: int) -> Tensor:
    """log2 sum 2^x along a dimension; x is spent. Entries and whole lines may be -inf.

    In powers of two because torch's exp takes ten times as long, and thirty times where it underflows.
    """
    top = x.amax(dim, keepdim=True).clamp_min_(torch.finfo(x.dtype).min / 2)
    total = x.sub_(top).exp2_().sum(dim, keepdim=True)
    return total.log2_().add_(top).squeeze(dim)


def _softmin(costs: Costs, eps: float, h: Tensor) -> Tensor:
    """softmin_eps(D, h) [P, n] of h [P, m]."""
    f = h.new_empty(costs.shape[:2])
    for pairs, rows in blocks(costs.shape, block_entries(h.device)):
        f[pairs, rows] = _row_part(costs.block(pairs, rows), h[pairs], eps)
    return f


def _softmin_transposed(costs: Costs, eps: float, k: Tensor) -> Tensor:
    """softmin_eps(D^T, k) [P, m] of k [P, n]."""
    sums = k.new_empty(costs.shape[0], costs.shape[2])
    for pairs, rows in blocks(costs.shape, block_entries(k.device)):
        _add_columns(sums, costs.block(pairs, rows), k, pairs, rows, eps)
    return sums.mul_(-eps / UNIT)


def _softmins(costs: Costs, eps: float, h: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
    """Both in one walk over the blocks."""
    f, sums = torch.empty_like(k), torch.empty_like(h)
    for pairs, rows in blocks(costs.shape, block_entries(h.device)):
        d = costs.block(pairs, rows)
        f[pairs, rows] = _row_part(d, h[pairs], eps)
        _add_columns(sums, d, k, pairs, rows, eps)
    return f, sums.mul_(-eps / UNIT)


def _row_part(d: Tensor, h: Tensor, eps: float) -> Tensor:
    """softmin_eps(d, h) [p, r] of a block d [p, r, m]."""
    return _log2_sum_(torch.add(UNIT * h[:, None], d, alpha=-UNIT / eps), 2).mul_(-eps / UNIT)


def _add_columns(sums: Tensor, d: Tensor, k: Tensor, pairs: slice, rows: slice, eps: float) -> None:
    """log2 sum_i 2^(k_i / log 2 - d_ij / (eps log 2)) [p, m] of a block's rows, added to those of the rows before."""
    part = _log2_sum_(torch.add(UNIT * k[pairs, rows, None], d, alpha=-UNIT / eps), 1)
    sums[pairs] = part if rows.start == 0 else torch.logaddexp2(sums[pairs], part)


def _change(old: Tensor, new: Tensor, weights: Tensor) -> float:
    """The largest move of a potential that has weight."""
    return float((new - old).abs().masked_fill(weights.isinf(), 0.0).max())


@torch.no_grad()
def solve(costs: Costs, log_a: Tensor, log_b: Tensor, schedule: Schedule) -> Potentials:
    """The potentials of all pairs.

    Args:
        log_a, log_b: logarithms of the weights, [P, n] and [P, m]; -inf where a shorter cloud was filled up. Each cloud has a point.
    """
    eps = schedule.eps[0]
    f, g = _softmins(costs, eps, log_b, log_a)
    updates, settled = 0, schedule.tolerance is None
    for eps in schedule.eps:
        f_new, g_new = _softmins(costs, eps, log_b + g / eps, log_a + f / eps)
        f, g = f.add_(f_new).mul_(0.5), g.add_(g_new).mul_(0.5)
        updates += 1
    while not settled and updates < len(schedule.eps) + schedule.max_updates:
        f_new = _softmin(costs, eps, log_b + g / eps)
        g_new = _softmin_transposed(costs, eps, log_a + f_new / eps)
        moved = max(_change(f, f_new, log_a), _change(g, g_new, log_b))
        f, g, updates, settled = f_new, g_new, updates + 1, moved <= schedule.tolerance * eps  # type: ignore[operator]
    f, g = _softmins(costs, eps, log_b + g / eps, log_a + f / eps)
    return Potentials(f, g, updates, settled)


def coupling(cost: Tensor, epsilon: float, tolerance: float = 1e-10, max_updates: int = 10_000) -> Tensor:
    """The entropic plan [K, L] between uniform weights for a cost [K, L], updates in turn, double precision.

    Columns sum to 1 / L, rows to 1 / K up to `tolerance` (the sum of their errors) or as near as `max_updates` come.
    """
    cost = cost.double() / epsilon
    rows, columns = cost.shape
    f, g = cost.new_zeros(rows, 1), cost.new_zeros(1, columns)
    for _ in range(max_updates):
        f = -torch.logsumexp(g - cost, 1, keepdim=True) - math.log(rows)
        g = -torch.logsumexp(f - cost, 0, keepdim=True) - math.log(columns)
        plan = (f + g - cost).exp()
        if float((plan.sum(1) - 1 / rows).abs().sum()) <= tolerance:
            break
    return plan
