"""From raw images and labels to a `LabelledImages`: class subset, stratified sizes, validation split, label noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.errors import UserError
from bench.seeding import generator
from bench.tasks.classification.images import LabelledImages, check_part, check_same_size


@dataclass(frozen=True)
class RawImages:
    """A source as it lies on disk: uint8 images [N, C, H, W] and integer labels [N], 0 to one less than there are class names.

    Raises:
        UserError: arrays that are not so; what was given, and what to do.
    """

    train_x: np.ndarray
    train_y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray
    class_names: list[str]
    mirror: bool

    def __post_init__(self) -> None:
        for part in ("train", "test"):
            check_part(part, getattr(self, f"{part}_x"), getattr(self, f"{part}_y"), self.class_names)
        check_same_size(self.train_x, self.test_x, "test_x")


@dataclass(frozen=True)
class Selection:
    """The keys that every image data set's config has."""

    train_size: int | None
    val_size: int
    test_size: int | None
    classes: list[int] | None
    label_noise: float
    split_seed: int


def select(raw: RawImages, how: Selection) -> LabelledImages:
    """Choose, split and corrupt; the split depends on `split_seed` alone, so that all seeds of a run share it.

    Raises:
        UserError: a size beyond what there is, an unknown class.
    """
    train_x, train_y = _tensor(raw.train_x, np.uint8), _tensor(raw.train_y, np.int64)
    test_x, test_y = _tensor(raw.test_x, np.uint8), _tensor(raw.test_y, np.int64)
    names = list(raw.class_names)
    if how.classes is not None:
        (train_x, train_y), (test_x, test_y) = (
            _of_classes(x, y, how.classes, names) for x, y in ((train_x, train_y), (test_x, test_y))
        )
        names = [names[c] for c in how.classes]
    available = len(train_y)
    wanted = available - how.val_size if how.train_size is None else how.train_size
    if how.val_size + wanted > available or wanted < 1:
        raise UserError(
            f"dataset.train_size + dataset.val_size = {wanted} + {how.val_size}: the training set has {available} images"
        )
    if how.test_size is not None and how.test_size > len(test_y):
        raise UserError(f"dataset.test_size = {how.test_size}: the test set has {len(test_y)} images")
    val, rest = stratified(train_y, how.val_size, len(names), how.split_seed, 0)
    train = rest[stratified(train_y[rest], wanted, len(names), how.split_seed, 1)[0]]
    test = stratified(test_y, len(test_y) if how.test_size is None else how.test_size, len(names), how.split_seed, 2)[0]
    mean, std = _moments(train_x[train])
    return LabelledImages(
        train_x=train_x[train],
        train_y=with_label_noise(train_y[train], how.label_noise, len(names), how.split_seed),
        train_y_clean=train_y[train],
        val_x=train_x[val],
        val_y=train_y[val],
        test_x=test_x[test],
        test_y=test_y[test],
        class_names=names,
        mean=mean,
        std=std,
        mirror=raw.mirror,
    )


def stratified(labels: Tensor, size: int, num_classes: int, seed: int, stream: int) -> tuple[Tensor, Tensor]:
    """`size` indices with the classes' shares (largest remainders) and the indices left over, both in random order."""
    n = len(labels)
    order = torch.randperm(n, generator=generator(seed, "data", stream))
    counts = torch.bincount(labels, minlength=num_classes).double()
    exact = counts * size / max(n, 1)
    quota = exact.floor().long()
    for c in torch.argsort(exact - quota, descending=True, stable=True)[: size - int(quota.sum())]:
        quota[c] += 1
    shuffled = labels[order]
    rank = torch.empty(n, dtype=torch.long)  # how many of its class come before it
    for c in range(num_classes):
        of_class = shuffled == c
        rank[of_class] = torch.arange(int(of_class.sum()))
    chosen = rank < quota[shuffled]
    return order[chosen], order[~chosen]


def with_label_noise(labels: Tensor, share: float, num_classes: int, seed: int) -> Tensor:
    """Labels of which round(share * N) are replaced by another class, drawn uniformly (symmetric noise)."""
    noisy, stream = labels.clone(), generator(seed, "data", 3)
    hit = torch.randperm(len(labels), generator=stream)[: round(share * len(labels))]
    shift = torch.randint(1, max(num_classes, 2), (len(hit),), generator=stream)
    noisy[hit] = (labels[hit] + shift) % num_classes
    return noisy


def facts_of_labels(labels: np.ndarray) -> dict[str, Any]:
    """The smallest and largest label, and how often each occurs."""
    values, counts = np.unique(labels, return_counts=True)
    if not len(values):
        raise ValueError("no labels")
    return {"labels": [int(values[0]), int(values[-1])], "counts": dict(zip(values.tolist(), counts.tolist()))}


def _tensor(array: Any, kind: type) -> Tensor:
    """An array in memory of its own where it cannot be shared with torch: read-only, of another byte order, with gaps."""
    return torch.from_numpy(np.require(array, kind, ["C", "W"]))


def _of_classes(x: Tensor, y: Tensor, classes: list[int], names: list[str]) -> tuple[Tensor, Tensor]:
    if len(set(classes)) < max(len(classes), 2) or set(classes) - set(range(len(names))):
        raise UserError(f"dataset.classes = {classes}: at least two distinct classes out of 0..{len(names) - 1}")
    relabel = torch.full((len(names),), -1)
    relabel[torch.tensor(classes)] = torch.arange(len(classes))
    kept = relabel[y] >= 0
    return x[kept], relabel[y[kept]]


def _moments(x: Tensor) -> tuple[list[float], list[float]]:
    """Per-channel mean and standard deviation of uint8 images, in units where white is 1."""
    flat = x.transpose(0, 1).flatten(1)
    counts = torch.stack([torch.bincount(channel, minlength=256) for channel in flat]).double()
    level = torch.arange(256, dtype=torch.float64) / 255
    mean = (counts * level).sum(1) / counts.sum(1)
    std = ((counts * (level - mean[:, None]) ** 2).sum(1) / counts.sum(1)).sqrt().clamp_min(1e-6)
    return mean.tolist(), std.tolist()
