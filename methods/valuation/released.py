r"""The cost between two batches in SAVA's released code (github.com/skezle/sava at 7efc8a2), which is not that of the paper.

    C = sum_ij P_ij D_ij / (n + m)

D is the cost of the features, as anywhere; P is the entropic plan of another cost, in which pixels stand in the place of the features
(white is 1; the label distances remain, of the features), divided by its largest entry, at eps .1. The divisor is the released one too.
Shapes: n points of a training batch, m of a reference batch, d features, r pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor

from methods.valuation.costs import cost_blocks

EPSILON, WHITE = 0.1, 255.0
Batch = tuple[Tensor, Tensor, Tensor]  # features [n, d], pixels [n, r] in 0 to 255, labels [n]


def batch_cost(ours: Batch, theirs: Batch, distances: Tensor, weights: tuple[float, float]) -> Tensor:
    """C, float64, of a training batch and a reference batch.

    Args:
        distances: W [K, K] between labels.
        weights: of features (and of pixels) and of labels.
    """
    (x, raw, y), (other_x, other_raw, other_y) = ours, theirs
    seen = _costs(raw.double() / WHITE, y, other_raw.double() / WHITE, other_y, distances, weights)
    plan = scaled(seen / seen.max().clamp_min(1e-300), EPSILON)
    costs = _costs(x.double(), y, other_x.double(), other_y, distances, weights)
    return (plan * costs).sum() / (len(x) + len(other_x))


def _costs(
    x: Tensor, y: Tensor, other: Tensor, other_y: Tensor, distances: Tensor, weights: tuple[float, float]
) -> Tensor:
    """[n, m], float64."""
    return torch.cat([part for _, part in cost_blocks(x, y, other, other_y, distances.double(), *weights)])


def scaled(cost: Tensor, epsilon: float, tolerance: float = 1e-10, max_updates: int = 10_000) -> Tensor:
    """The entropic plan [n, m] between uniform weights for costs of 0 to 1, by scaling rows and columns of exp(-cost / epsilon) in turn.

    For an epsilon at which no entry vanishes (`methods.valuation.sinkhorn.coupling` takes any, and ten times as long). Columns sum to 1 / m,
    rows to 1 / n up to `tolerance`, the sum of their errors.
    """
    kernel = (-cost.double() / epsilon).exp()
    n, m = kernel.shape
    columns = kernel.new_ones(m)
    for _ in range(max_updates):
        rows = 1 / (n * (kernel @ columns))
        columns = 1 / (m * (rows @ kernel))
        if float((rows * (kernel @ columns) - 1 / n).abs().sum()) <= tolerance:
            break
    return rows[:, None] * kernel * columns
