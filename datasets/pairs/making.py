"""What all pairs of a public and a private set share: sizes, and one side length."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.errors import UserError
from bench.tasks.classification.images import LabelledImages
from bench.tasks.generation.pair import Pair
from datasets.images.cifar import cifar100
from datasets.images.selection import stratified
from datasets.images.tiny_imagenet import tiny_imagenet

PUBLIC: dict[str, Callable[..., LabelledImages]] = {"cifar100": cifar100, "tiny_imagenet": tiny_imagenet}
STREAMS = {"public": 90, "private": 91, "held": 92}
AT_ONCE = 1000  # images that are resized at a time


class Indexed(Protocol):
    def __getitem__(self, chosen: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Part:
    """Images uint8 [N, C, S, S] with labels int64 [N] of `classes` classes, and how many of them are wanted; None: all.

    x: a tensor, or what gives one for rows int64 [n].
    """

    x: Indexed
    y: Tensor
    classes: int
    size: int | None


def made(
    parts: dict[str, Part],
    side: int,
    split_seed: int,
    *,
    conditional: bool,
    class_names: tuple[str, ...] = (),
    about: str,
) -> Pair:
    """The pair of parts `public`, `private` and `held`: each of its wanted size, with the classes' shares, in random order, and resized.

    Raises:
        UserError: a size beyond what there is.
    """
    found = {}
    for name, part in parts.items():
        if part.size is not None and part.size > len(part.y):
            raise UserError(f"dataset.{name}_size = {part.size}: there are {len(part.y):,} images; null takes them all")
        size = len(part.y) if part.size is None else part.size
        chosen = stratified(part.y, size, part.classes, split_seed, STREAMS[name])[0]
        found[f"{name}_x"], found[f"{name}_y"] = resized(part.x[chosen], side), part.y[chosen]
    classes = {"public_classes": parts["public"].classes, "num_classes": parts["private"].classes}
    return Pair(**found, **classes, conditional=conditional, class_names=class_names, about=about)


def resized(x: Tensor, side: int) -> Tensor:
    """Square images uint8 [N, C, S, S] at another side length, bilinear, averaged where they shrink."""
    if x.shape[-1] == side:
        return x
    found = torch.empty(*x.shape[:2], side, side, dtype=torch.uint8)
    for start in range(0, len(x), AT_ONCE):
        some = x[start : start + AT_ONCE].float()
        some = F.interpolate(some, (side, side), mode="bilinear", align_corners=False, antialias=True)
        found[start : start + AT_ONCE] = some.round().clamp(0, 255).to(torch.uint8)
    return found


def every(images: LabelledImages) -> tuple[Tensor, Tensor]:
    """Training and test images as one, with labels: of a public set all are public."""
    return torch.cat([images.train_x, images.test_x]), torch.cat([images.train_y, images.test_y])
