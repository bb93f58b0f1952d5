"""scikit-learn's digits in four parts that each seed draws anew."""

from __future__ import annotations

import torch

from bench.errors import UserError
from bench.seeding import generator
from bench.tasks.epoch_choice.split import FourParts
from bench.types import PositiveInt
from datasets.images.digits import digits
from datasets.pairs.making import every

STREAM = 75


def digits_in_four(
    root: str,
    seed: int,
    *,
    train_size: PositiveInt,
    validation_size: PositiveInt,
    test_size: PositiveInt,
    fresh_size: PositiveInt,
) -> FourParts:
    """Of all 1,797 digits, in an order of the seed's own.

    Raises:
        UserError: there are fewer than the parts have together.
    """
    images = digits(root, seed)
    x, y = every(images)
    sizes = [train_size, validation_size, test_size, fresh_size]
    if sum(sizes) > len(y):
        raise UserError(
            f"dataset.fresh_size = {fresh_size}: the parts have {sum(sizes):,} of {len(y):,} images; smaller"
        )
    order = torch.randperm(len(y), generator=generator(seed, "data", STREAM))
    parts = order[: sum(sizes)].split(sizes)
    return FourParts(*((x[part], y[part]) for part in parts), images.num_classes)
