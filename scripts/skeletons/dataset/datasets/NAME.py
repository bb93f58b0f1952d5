"""FILL IN: what the images are and where they come from. These are drawn: bars that lie or stand, in noise."""

from __future__ import annotations

import numpy as np

from bench.seeding import stream_seed
from bench.tasks.classification.images import LabelledImages
from bench.types import AtLeastTwo, NonNegativeInt, Probability
from datasets.images.selection import RawImages, Selection, select


def NAME(
    root: str,
    seed: int,
    *,
    train_size: AtLeastTwo = 400,
    val_size: NonNegativeInt = 0,
    test_size: AtLeastTwo = 200,
    label_noise: Probability = 0.0,
) -> LabelledImages:
    """FILL IN: a sentence, the source and its licence.

    Args:
        root: the folder with the data (`data_root`); a file opened below it becomes part of a result's key.
        seed: of the run.
        label_noise: share of the training labels replaced by the other class.
    """
    rng = np.random.default_rng(stream_seed(seed, "data"))
    x, y = _drawn(train_size + val_size, rng)  # FILL IN: read uint8 images [N, C, H, W] and labels [N] below `root`
    test_x, test_y = _drawn(test_size, rng)
    raw = RawImages(x, y, test_x, test_y, class_names=["lying", "standing"], mirror=True)
    return select(raw, Selection(train_size, val_size, None, None, label_noise, 0))


def _drawn(size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """uint8 images [size, 1, 8, 8] with a bright row or column, and which it is."""
    x, y, place = rng.integers(0, 160, (size, 1, 8, 8), dtype=np.uint8), np.arange(size) % 2, rng.integers(0, 8, size)
    for image, standing, k in zip(x[:, 0], y, place):
        bar = image[:, k] if standing else image[k]
        bar += np.uint8(90)
    return x, y
