"""scikit-learn's digits: 1,797 grey images, 8 x 8, embedded in the package; the default data set."""

from __future__ import annotations

import numpy as np
import torch

from bench.tasks.classification.images import LabelledImages
from bench.types import NonNegativeInt, PositiveInt, Probability
from datasets.images.selection import RawImages, Selection, select, stratified

TEST = 360


def digits(
    root: str,
    seed: int,
    *,
    train_size: PositiveInt | None = None,
    val_size: NonNegativeInt = 0,
    test_size: PositiveInt | None = None,
    classes: list[NonNegativeInt] | None = None,
    label_noise: Probability = 0.0,
    split_seed: NonNegativeInt = 0,
) -> LabelledImages:
    """1,437 training and 360 test images, a fixed stratified split. See datasets.images.selection for the arguments; `root` is not used."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    x = np.rint(images * (255 / 16)).astype(np.uint8).reshape(-1, 1, 8, 8)
    y = labels.astype(np.int64)
    test, train = (part.numpy() for part in stratified(torch.from_numpy(y), TEST, 10, 0, 4))
    raw = RawImages(x[train], y[train], x[test], y[test], [str(d) for d in range(10)], mirror=False)
    return select(raw, Selection(train_size, val_size, test_size, classes, label_noise, split_seed))
