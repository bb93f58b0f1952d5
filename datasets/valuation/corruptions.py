"""What is done to some of the training points. Images are in pixel units: float32 where noise leaves the grid of 0 to 255, and never clipped.

Which points are corrupted, and what they become, depends on the seed alone, by streams of their own: all methods see the same points.
Shapes: N points, K classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from bench.errors import UserError
from bench.seeding import generator

SIGMA = 0.19952623149688797  # 0.1 ** 0.7, of white 1
CHOSEN, LABELS, NOISE, PATTERN = 50, 51, 52, 53  # streams


@dataclass(frozen=True)
class Corrupted:
    """Points as they are handed out: x, labels [N], which were tampered with [N]."""

    x: Tensor
    y: Tensor
    flags: Tensor

    @classmethod
    def none(cls, x: Tensor, y: Tensor) -> Corrupted:
        return cls(x, y.clone(), torch.zeros(len(y), dtype=torch.bool))


def how_many(rate: float, points: int) -> int:
    """floor(rate N), whatever binary fractions make of the product."""
    return math.floor(rate * points + 1e-9)


def chosen_of(candidates: Tensor, count: int, seed: int, of: str) -> Tensor:
    """`count` of the candidates' indices, at random. UserError: there are fewer."""
    if count > len(candidates):
        raise UserError(f"dataset.rate: {count:,} points to corrupt, and {of} has {len(candidates):,}; lower the rate")
    return candidates[torch.randperm(len(candidates), generator=generator(seed, "data", CHOSEN))[:count]]


def flip_labels(clean: Corrupted, count: int, num_classes: int, seed: int) -> Corrupted:
    """Labels of `count` points become another class, uniformly."""
    chosen = chosen_of(torch.arange(len(clean.y)), count, seed, "the training set")
    shift = torch.randint(1, num_classes, (count,), generator=generator(seed, "data", LABELS))
    y = clean.y.clone()
    y[chosen] = (y[chosen] + shift) % num_classes
    return replace(clean, y=y, flags=_flags(len(y), chosen))


def flip_to_similar(clean: Corrupted, count: int, to: dict[int, int], seed: int) -> Corrupted:
    """Labels of `count` points, all of classes that are mistaken for another one, become that one."""
    table = torch.arange(int(clean.y.max()) + 1)
    for one, other in to.items():
        if one < len(table):
            table[one] = other
    candidates = (table[clean.y] != clean.y).nonzero()[:, 0]
    chosen = chosen_of(candidates, count, seed, "the classes that are mistaken for another one")
    y = clean.y.clone()
    y[chosen] = table[y[chosen]]
    return replace(clean, y=y, flags=_flags(len(y), chosen))


def add_noise(clean: Corrupted, count: int, sigma: float, seed: int) -> Corrupted:
    """N(0, sigma^2) noise on every number of `count` points; labels stay."""
    chosen = chosen_of(torch.arange(len(clean.y)), count, seed, "the training set")
    x = clean.x.to(torch.float32, copy=True)
    noise = torch.randn(count, *x.shape[1:], generator=generator(seed, "data", NOISE))
    x[chosen] += sigma * noise
    return replace(clean, x=x, flags=_flags(len(x), chosen))


def trojan(clean: Corrupted, count: int, target: int, sigma: float, seed: int, released: bool) -> Corrupted:
    """A square of noise near the lower right corner, and the label `target`.

    The square is one pattern, the same on all images, which are of other classes. As released: drawn afresh for each image, and images of the target
    class are among them, whose label stays right.
    """
    others = torch.arange(len(clean.y)) if released else (clean.y != target).nonzero()[:, 0]
    chosen = chosen_of(others, count, seed, "the training set" if released else "the other classes")
    x, y = clean.x.to(torch.float32, copy=True), clean.y.clone()
    rows, columns = square(*x.shape[2:])
    stream = generator(seed, "data", NOISE if released else PATTERN)
    size = (rows.stop - rows.start, columns.stop - columns.start)
    pattern = torch.randn(count if released else 1, x.shape[1], *size, generator=stream)
    marked = x[chosen]
    marked[:, :, rows, columns] += sigma * pattern
    x[chosen], y[chosen] = marked, target
    return Corrupted(x, y, _flags(len(y), chosen))


def square(height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns of the square: 18 to 27 of 32, as much of other sizes."""
    rows, columns = (slice(size * 18 // 32, size * 28 // 32) for size in (height, width))
    return rows, columns


def _flags(points: int, chosen: Tensor) -> Tensor:
    flags = torch.zeros(points, dtype=torch.bool)
    flags[chosen] = True
    return flags
