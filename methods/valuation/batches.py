"""Batches that are alike: class-stratified order, near-equal sizes, and a look at whether batches in another order are."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from bench.seeding import generator

Order = Literal["stratified", "as_given"]


def ordered(y: Tensor, order: Order, seed: int, side: int) -> Tensor:
    """An order [N] of points with labels y [N]: their own, or one in which every stretch has the classes in the shares of the whole.

    Stratified: the points of a class are shuffled and spread evenly over the order, each at a uniform place of its own stretch
    (stream "order", side).
    """
    if order == "as_given":
        return torch.arange(len(y), device=y.device)
    g = generator(seed, "order", side)
    shuffled = torch.randperm(len(y), generator=g).to(y.device)
    by_class = shuffled[torch.argsort(y[shuffled], stable=True)]
    counts = torch.bincount(y)
    before = counts.cumsum(0) - counts
    label = y[by_class]
    rank = torch.arange(len(y), device=y.device) - before[label]
    place = (rank + torch.rand(len(y), generator=g, dtype=torch.float64).to(y.device)) / counts[label]
    return by_class[torch.argsort(place, stable=True)]


def batches(order: Tensor, size: int) -> list[Tensor]:
    """As few stretches of an order [N] as hold at most `size` points each; their lengths differ by one at most, so none is tiny."""
    return list(torch.tensor_split(order, -(-len(order) // size)))


def unlike(y: Tensor, stretches: list[Tensor], num_classes: int) -> float | None:
    """The largest share of a batch's labels that would have to change to give the whole's histogram, where it is too large for chance.

    Too large: over three times what a random batch of that length has on average, sum_c sqrt(2 p_c (1 - p_c) / (pi n)) / 2. None: none is.
    """
    whole = torch.bincount(y, minlength=num_classes).double() / len(y)
    spread = float((whole * (1 - whole)).sqrt().sum()) / math.sqrt(2 * math.pi)
    worst = None
    for where in stretches:
        share = torch.bincount(y[where], minlength=num_classes).double() / len(where)
        moved = float((share - whole).abs().sum()) / 2
        if moved > 3 * spread / math.sqrt(len(where)) and moved > (worst or 0.0):
            worst = moved
    return worst


def notice(y: Tensor, stretches: list[Tensor], num_classes: int, side: str) -> str | None:
    """What is to be said of batches that are not exchangeable."""
    moved = unlike(y, stretches, num_classes)
    if moved is None:
        return None
    return (
        f"method.order = as_given: the labels of a {side} batch are {moved:.0%} off those of the whole; values of batches that are not alike "
        f"cannot be compared; method.order=stratified shuffles them"
    )
