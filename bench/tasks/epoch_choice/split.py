"""Images of classes in four parts: to train on, to validate with, to test with, and fresh ones that say how good a classifier is."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class FourParts:
    """Images uint8 [., C, S, S] with labels int64 [.] of `classes` classes; the fresh ones stand for all images that there could be."""

    train: tuple[Tensor, Tensor]
    validation: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]
    fresh: tuple[Tensor, Tensor]
    classes: int
