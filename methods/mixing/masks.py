"""Masks over blocks of an image with several levels, and the energy that they are chosen by.

A mask gives each block the share z = t / m of the image itself, t = 0..m; the rest is the partner's. Of n pairs on a grid of b x b blocks

    E(t) = sum_p unary_p(t_p) + sum_{p, q neighbours} w_pq ((t_p - t_q) / m)^2,

neighbours being the four beside a block. `cut` finds the minimum: with u_pt = [t_p >= t], (t_p - t_q)^2 is a sum over pairs of products -2 u u'
and of terms of one block, so that E is a cut of a graph with b^2 m nodes (Ishikawa, 2003). `icm` goes down until no block alone can do better.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

UNITS = 2**24  # of capacity, that the largest sum of weights is worth


@dataclass(frozen=True)
class Problem:
    """unary [n, m + 1, b, b]; w of neighbours in a row [n, b, b - 1] and in a column [n, b - 1, b], at least 0."""

    unary: Tensor
    across: Tensor
    down: Tensor

    @property
    def steps(self) -> int:
        """m, one less than there are levels."""
        return self.unary.shape[1] - 1


def energy(problem: Problem, levels: Tensor) -> Tensor:
    """E [n] of levels t [n, b, b]."""
    own = problem.unary.gather(1, levels[:, None]).sum((1, 2, 3))
    z = levels.to(problem.unary.dtype) / problem.steps
    beside = (problem.across * z.diff(dim=2).square()).sum((1, 2))
    return own + beside + (problem.down * z.diff(dim=1).square()).sum((1, 2))


def icm(problem: Problem, sweeps: int = 20) -> Tensor:
    """Levels [n, b, b] at which no change of one block lowers E: iterated conditional modes, half the blocks of a chessboard at a time.

    From the best block by block and from each constant mask; the lowest of the ends is taken.
    """
    n, count = problem.unary.shape[:2]
    first = lowest(problem.unary)
    starts = [first, *(torch.full_like(first, level) for level in range(count))]
    ends = [_descended(problem, start, sweeps) for start in starts]
    best = torch.stack([energy(problem, end) for end in ends]).argmin(0)
    return torch.stack(ends)[best, torch.arange(n, device=best.device)]


def lowest(cost: Tensor) -> Tensor:
    """The first level of least cost [n, ...] of [n, m + 1, ...]: for a few levels comparisons are several times faster than argmin."""
    least, at = cost[:, 0], torch.zeros_like(cost[:, 0], dtype=torch.long)
    for level in range(1, cost.shape[1]):
        lower = cost[:, level] < least
        at, least = at.masked_fill_(lower, level), torch.where(lower, cost[:, level], least)
    return at


def _descended(problem: Problem, levels: Tensor, sweeps: int) -> Tensor:
    b, m = levels.shape[1], problem.steps
    z = torch.arange(m + 1, device=levels.device, dtype=problem.unary.dtype).view(1, -1, 1, 1) / m
    places = torch.arange(b, device=levels.device)
    odd = (places[:, None] + places) % 2 == 1
    for _ in range(sweeps):
        before = levels
        for half in (odd, ~odd):
            now = levels.to(problem.unary.dtype) / m
            cost = problem.unary.clone()
            right = problem.across[:, None] * (z - now[:, None, :, 1:]).square()
            left = problem.across[:, None] * (z - now[:, None, :, :-1]).square()
            below = problem.down[:, None] * (z - now[:, None, 1:, :]).square()
            above = problem.down[:, None] * (z - now[:, None, :-1, :]).square()
            cost[..., :-1] += right
            cost[..., 1:] += left
            cost[..., :-1, :] += below
            cost[..., 1:, :] += above
            levels = torch.where(half, lowest(cost), levels)
        if torch.equal(levels, before):
            break
    return levels


def cut(problem: Problem) -> Tensor:
    """Levels [n, b, b] of least E, by maximum flow (scipy) on the CPU, a graph a pair; weights are rounded to 2^-24 of their sum."""
    unary, across, down = (t.detach().double().cpu().numpy() for t in (problem.unary, problem.across, problem.down))
    found = [_cut(*parts) for parts in zip(unary, across, down)]
    return torch.from_numpy(np.stack(found)).to(problem.unary.device)


def _cut(unary: np.ndarray, across: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Levels [b, b] of one pair."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import breadth_first_order, maximum_flow

    m, b = unary.shape[0] - 1, unary.shape[1]
    blocks = np.arange(b * b).reshape(b, b)
    pairs = [(blocks[:, :-1], blocks[:, 1:], across), (blocks[:-1], blocks[1:], down)]
    p, q, w = (np.concatenate([part[i].ravel() for part in pairs]) for i in range(3))
    single = unary.reshape(m + 1, -1).copy()
    level = np.arange(m + 1)
    for ends in (p, q):  # what is left of (t_p - t_q)^2 once the graph's edges have taken t_p (m - t_q) + t_q (m - t_p)
        np.add.at(single.T, ends, w[:, None] / m**2 * (level * (level - m)))
    gain = np.diff(single, axis=0)  # [m, b^2]: what u_pt = 1 costs
    node = np.arange(m * b * b).reshape(m, -1)
    source, sink = m * b * b, m * b * b + 1
    forever = np.abs(gain).sum() + 2 * w.sum() + 1.0
    edges = [(np.full(node.size, source), node.ravel(), np.maximum(-gain, 0).ravel())]
    edges += [(node.ravel(), np.full(node.size, sink), np.maximum(gain, 0).ravel())]
    edges += [(node[1:].ravel(), node[:-1].ravel(), np.full(node[1:].size, forever))]
    for s in range(m):
        for t in range(m):
            edges += [(node[s][p], node[t][q], w / m**2), (node[s][q], node[t][p], w / m**2)]
    rows, columns, capacity = (np.concatenate(part) for part in zip(*edges))
    units = np.rint(capacity * (UNITS / forever)).astype(np.int32)
    kept = units > 0
    graph = coo_array((units[kept], (rows[kept], columns[kept])), shape=(sink + 1, sink + 1)).tocsr()
    left = graph - maximum_flow(graph, source, sink).flow
    left.data = np.maximum(left.data, 0)
    left.eliminate_zeros()
    reached = np.zeros(sink + 1, dtype=bool)
    reached[breadth_first_order(left, source, return_predecessors=False)] = True
    return reached[: m * b * b].reshape(m, b, b).sum(0).astype(np.int64)
