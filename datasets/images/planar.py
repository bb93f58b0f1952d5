"""Points of a plane in two classes, as images of one pixel with two channels: two moons, circles, spirals. Every seed draws its own.

A channel's byte is the coordinate within a fixed box, so that a step is the box's side over 255; points outside are moved to its border. The box
reaches four standard deviations of the noise beyond the shape. What networks see is standardised, as all images are.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from bench.errors import UserError
from bench.seeding import stream_seed
from bench.tasks.classification.images import LabelledImages
from bench.types import AtLeastTwo, Inner, NonNegativeFloat, NonNegativeInt, PositiveFloat, Probability
from datasets.images.selection import RawImages, Selection, select

Draw = Callable[[int, np.random.RandomState], tuple[np.ndarray, np.ndarray]]  # points [n, 2], classes [n]
Box = tuple[tuple[float, float], tuple[float, float]]  # of the shape without noise: (low, high) of each coordinate
TRAIN, TEST = 50, 51  # streams


def two_moons(
    root: str,
    seed: int,
    *,
    train_size: AtLeastTwo = 400,
    val_size: NonNegativeInt = 0,
    test_size: AtLeastTwo = 2000,
    noise: NonNegativeFloat = 0.15,
    label_noise: Probability = 0.0,
) -> LabelledImages:
    """Two half circles of radius 1 that interlock (scikit-learn's make_moons).

    Args:
        root: not used.
        seed: of the points; every part has as many of both classes, or one more.
        noise: standard deviation of the normal noise on each coordinate.
        label_noise: share of the training labels replaced by the other class.
    """
    from sklearn.datasets import make_moons

    draw = partial(_scikit, partial(make_moons, noise=noise))
    box = ((-1.0, 2.0), (-0.5, 1.0))
    return _made(draw, ["upper", "lower"], box, noise, seed, (train_size, val_size, test_size), label_noise)


def circles(
    root: str,
    seed: int,
    *,
    train_size: AtLeastTwo = 400,
    val_size: NonNegativeInt = 0,
    test_size: AtLeastTwo = 2000,
    noise: NonNegativeFloat = 0.1,
    factor: Inner = 0.5,
    label_noise: Probability = 0.0,
) -> LabelledImages:
    """A circle of radius 1 around one of radius `factor` (scikit-learn's make_circles). See two_moons for the other arguments."""
    from sklearn.datasets import make_circles

    draw = partial(_scikit, partial(make_circles, noise=noise, factor=factor))
    box = ((-1.0, 1.0), (-1.0, 1.0))
    return _made(draw, ["outer", "inner"], box, noise, seed, (train_size, val_size, test_size), label_noise)


def spirals(
    root: str,
    seed: int,
    *,
    train_size: AtLeastTwo = 400,
    val_size: NonNegativeInt = 0,
    test_size: AtLeastTwo = 2000,
    noise: NonNegativeFloat = 0.05,
    turns: PositiveFloat = 1.5,
    label_noise: Probability = 0.0,
) -> LabelledImages:
    """Two spirals r (cos 2 pi turns r, sin 2 pi turns r) and its opposite, r uniform from 0.1 to 1. See two_moons for the other arguments."""
    box = ((-1.0, 1.0), (-1.0, 1.0))
    draw = partial(_spirals, noise, turns)
    return _made(draw, ["first", "second"], box, noise, seed, (train_size, val_size, test_size), label_noise)


def _scikit(make: Callable, n: int, rng: np.random.RandomState) -> tuple[np.ndarray, np.ndarray]:
    return make(n, random_state=rng)


def _spirals(noise: float, turns: float, n: int, rng: np.random.RandomState) -> tuple[np.ndarray, np.ndarray]:
    y, r = np.arange(n) % 2, rng.uniform(0.1, 1, n)
    angle = 2 * np.pi * turns * r + np.pi * y
    points = r[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
    return points + noise * rng.normal(size=(n, 2)), y


def _made(
    draw: Draw, names: list[str], box: Box, noise: float, seed: int, sizes: tuple[int, int, int], label_noise: float
) -> LabelledImages:
    train, val, test = sizes
    if min(train, test) < 2:
        raise UserError(
            f"dataset.train_size, dataset.test_size = {train}, {test}: at least 2 points, one of each class"
        )
    parts = []
    for stream, n in ((TRAIN, train + val), (TEST, test)):
        points, y = draw(n, np.random.RandomState(stream_seed(seed, "data", stream) % 2**32))
        parts += [_bytes(points, box, noise), y.astype(np.int64)]
    return select(RawImages(*parts, names, mirror=False), Selection(None, val, None, None, label_noise, seed))


def _bytes(points: np.ndarray, box: Box, noise: float) -> np.ndarray:
    """uint8 [n, 2, 1, 1] of points [n, 2]."""
    low, high = np.array(box).T
    low, high = low - 4 * noise, high + 4 * noise
    share = (points - low) / (high - low)
    return np.rint(255 * np.clip(share, 0, 1)).astype(np.uint8)[:, :, None, None]
