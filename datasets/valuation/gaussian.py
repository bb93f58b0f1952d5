"""Gaussian classes of which some training points are corrupted: features of any number of points, drawn in single precision."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from bench.seeding import generator
from bench.tasks.valuation.points import Points
from bench.types import AtLeastTwo, NonNegativeInt, PositiveFloat, PositiveInt, Probability
from datasets.valuation.corruptions import Corrupted, add_noise, flip_labels, how_many

TRAIN, REFERENCE, TEST = 40, 41, 42  # streams: of labels and features


def gaussian_noisy(
    root: str,
    seed: int,
    *,
    train_size: PositiveInt = 2000,
    reference_size: PositiveInt = 400,
    test_size: NonNegativeInt = 0,
    corruption: Literal["labels", "features"] = "labels",
    rate: Probability = 0.3,
    classes: AtLeastTwo = 10,
    dim: PositiveInt = 10,
    separation: PositiveFloat = 12.0,
    spread: PositiveFloat = 3.0,
    noise: PositiveFloat = 6.0,
    order: Literal["random", "by_class"] = "random",
) -> Points:
    """x = separation (e_c - 1 / K) + spread N(0, I) in dim >= K dimensions, classes c uniform; floor(rate N) training points are corrupted.

    Args:
        root: not used.
        corruption: labels (another class, uniformly) or features (N(0, noise^2) on each coordinate).
        order: random, or by_class: sorted by the labels as given.

    Raises:
        ValueError: fewer dimensions than classes.
    """
    if dim < classes:
        raise ValueError(f"dim = {dim}: one dimension a class at least, {classes}")

    def drawn(size: int, stream: int) -> tuple[Tensor, Tensor]:
        y = torch.randint(classes, (size,), generator=generator(seed, "data", stream, 0))
        x = torch.randn(size, dim, generator=generator(seed, "data", stream, 1)).mul_(spread)
        x[:, :classes] -= separation / classes
        x[torch.arange(size), y] += separation
        return x, y

    x, y = drawn(train_size, TRAIN)
    clean, count = Corrupted.none(x, y), how_many(rate, train_size)
    made = flip_labels(clean, count, classes, seed) if corruption == "labels" else add_noise(clean, count, noise, seed)
    true_y, x, labels, flags = y, made.x, made.y, made.flags
    if order == "by_class":
        sorting = torch.argsort(labels, stable=True)
        x, labels, flags, true_y = x[sorting], labels[sorting], flags[sorting], true_y[sorting]
    reference_x, reference_y = drawn(reference_size, REFERENCE)
    test_x, test_y = drawn(test_size, TEST) if test_size else (None, None)
    return Points(x, labels, reference_x, reference_y, classes, flags, true_y, test_x, test_y)
