r"""Costs between labelled points, of features and of labels (Just et al., 2023; Kessler, Le and Nguyen, 2025).

    D_ij = (w_x |x_i - x'_j|^2 + w_y W[y_i, y'_j]) / 2,     W[c, c'] = OT_eps(points of class c, reference points of class c')

with the cost |x - x'|^2 / 2 inside W, whose value is that of the entropic dual, mean f + mean g. Labels are those of the whole data set.
Shapes: N training points, M reference points, d features, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import one_hot, pad

from bench.seeding import generator
from methods.valuation.sinkhorn import Schedule, annealed, block_entries, blocks, solve


class FeatureCosts:
    """D [P, n, m] as a product of two thin matrices.

    Args:
        left: [P, n, r] or [1, n, r], of `training_side`.
        right: [P, m, r], of `reference_side`.
        hold: keep D whole; else each block is multiplied anew whenever it is asked for.
    """

    def __init__(self, left: Tensor, right: Tensor, hold: bool) -> None:
        self.left, self.right = left.expand(right.shape[0], -1, -1), right.mT
        self.held = torch.bmm(self.left, self.right) if hold else None

    @property
    def shape(self) -> tuple[int, int, int]:
        """P, n, m."""
        return self.left.shape[0], self.left.shape[1], self.right.shape[2]

    def block(self, pairs: slice, rows: slice) -> Tensor:
        """D [p, r, m] of some pairs and some rows."""
        if self.held is not None:
            return self.held[pairs, rows]
        return torch.bmm(self.left[pairs, rows], self.right[pairs])


def training_side(x: Tensor, y: Tensor, num_classes: int, feature_weight: float = 1.0) -> Tensor:
    """[..., n, d + 2 + K]: what of D is the training points', features [..., n, d] and labels [..., n]."""
    half = 0.5 * feature_weight * x.square().sum(-1, keepdim=True)
    return torch.cat([feature_weight * x, half, torch.ones_like(half), one_hot(y, num_classes).to(x)], -1)


def reference_side(
    x: Tensor, y: Tensor, distances: Tensor, feature_weight: float = 1.0, label_weight: float = 1.0
) -> Tensor:
    """[..., m, d + 2 + K]: what of D is the reference points'; label distances W [K, K]."""
    half = 0.5 * feature_weight * x.square().sum(-1, keepdim=True)
    labels = 0.5 * label_weight * distances.to(x).T[y]
    return torch.cat([-x, torch.ones_like(half), half, labels], -1)


def cost_blocks(
    x: Tensor,
    y: Tensor,
    reference_x: Tensor,
    reference_y: Tensor,
    distances: Tensor,
    feature_weight: float = 1.0,
    label_weight: float = 1.0,
) -> Iterator[tuple[slice, Tensor]]:
    """D of all pairs of points, a block of rows [r, M] at a time, with the slice of the training points that it is of.

    Args:
        x, y, reference_x, reference_y: [N, d], [N], [M, d], [M].
        distances: W [K, K], of `label_distances`.
    """
    centre = reference_x.mean(0)
    right = reference_side(reference_x - centre, reference_y, distances, feature_weight, label_weight).T
    shape = (1, len(x), len(reference_x))
    for _, rows in blocks(shape, block_entries(x.device)):
        yield rows, training_side(x[rows] - centre, y[rows], len(distances), feature_weight) @ right


def diameter(x: Tensor, reference_x: Tensor) -> float:
    """The norm of the ranges of all coordinates, both sides together; 1 where all points are one."""
    low = torch.minimum(x.amin(0), reference_x.amin(0))
    high = torch.maximum(x.amax(0), reference_x.amax(0))
    return float((high - low).norm()) or 1.0


def of_classes(y: Tensor, num_classes: int, limit: int | None, seed: int, side: int) -> list[Tensor]:
    """Where the points of each class are; of more than `limit`, so many drawn without replacement (stream "order", 3, side, class)."""
    places = torch.argsort(y, stable=True).split(torch.bincount(y, minlength=num_classes).tolist())
    if limit is None:
        return list(places)
    found = []
    for c, where in enumerate(places):
        if len(where) > limit:
            drawn = torch.randperm(len(where), generator=generator(seed, "order", 3, side, c))[:limit]
            where = where[drawn.to(where.device)]
        found.append(where)
    return found


@torch.no_grad()
def label_distances(
    x: Tensor,
    y: Tensor,
    reference_x: Tensor,
    reference_y: Tensor,
    num_classes: int,
    *,
    schedule: Schedule | None = None,
    limit: int | None = None,
    seed: int = 0,
) -> Tensor:
    """W [K, K] by global class id. A class that one side lacks has no cloud: its distances are NaN (see `filled`).

    Args:
        schedule: None: eps .1 by halves from the diameter of all points, one list for all pairs of classes.
        limit: points of a class on a side that are looked at; None: all.
        seed: of their draw.
    """
    schedule = schedule or Schedule(annealed(diameter(x, reference_x), 0.1))
    ours = of_classes(y, num_classes, limit, seed, 0)
    theirs = of_classes(reference_y, num_classes, limit, seed, 1)
    found = x.new_full((num_classes, num_classes), torch.nan)
    present = [c for c, where in enumerate(theirs) if len(where)]
    longest = max((len(theirs[c]) for c in present), default=0)
    centre = reference_x.mean(0)
    none = found.new_zeros(1, 1)
    sides = [reference_side(reference_x[theirs[c]] - centre, theirs[c] * 0, none) for c in present]
    right = torch.stack([pad(side, (0, 0, 0, longest - len(side))) for side in sides])
    counts = torch.tensor([len(theirs[c]) for c in present], device=x.device)
    filler = torch.arange(longest, device=x.device) >= counts[:, None]
    log_b = (-counts.to(x).log())[:, None].expand(-1, longest).masked_fill(filler, -torch.inf)
    for c, where in enumerate(ours):
        if len(where):
            costs = FeatureCosts(training_side(x[where] - centre, where * 0, 1)[None], right, hold=True)
            log_a = log_b.new_full((len(present), len(where)), -math.log(len(where)))
            solved = solve(costs, log_a, log_b, schedule)
            g = solved.g.masked_fill(filler, 0.0).sum(1) / counts
            found[c, present] = solved.f.mean(1) + g
    return found


def filled(distances: Tensor, others: Tensor | None = None) -> Tensor:
    """Label distances without NaN: those of `others` in their place, and then the largest that there is (0 where there is none)."""
    if others is not None:
        distances = torch.where(distances.isnan(), others, distances)
    known = distances[~distances.isnan()]
    return distances.nan_to_num(float(known.max()) if len(known) else 0.0)
