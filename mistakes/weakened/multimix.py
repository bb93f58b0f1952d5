"""Weaker baselines of mixing, planted one at a time; the tests of tests/mistakes notice each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any
from unittest.mock import patch

from bench.judge.selftest import Mistake


@contextmanager
def half(module: str, kind: str) -> Iterator[None]:
    """Half of the loss: half of the step."""
    owner = getattr(import_module(f"methods.mixing.{module}"), kind)
    losses = owner.losses

    def halved(self: Any, *arguments: Any) -> Iterator[Any]:
        for loss, images in losses(self, *arguments):
            yield loss / 2, images

    with patch.object(owner, "losses", halved):
        yield


CLASSES = {
    "unmixed": ("composed", "Unmixed"),
    "label_smoothing": ("plain", "LabelSmoothing"),
    "cutout": ("plain", "Cutout"),
    "augmix": ("augmix", "AugMix"),
    "mixup": ("interpolated", "MultiMix"),
    "cutmix": ("interpolated", "CutMix"),
    "manifold_mixup": ("manifold", "ManifoldMix"),
    "puzzle_mix": ("puzzle", "PuzzleMix"),
}
WEAKENED = [
    Mistake(f"{name}-half", "half of the loss", "multimix/cifar100", {"method": name}, lambda of=of: half(*of))
    for name, of in CLASSES.items()
]
FORGOTTEN: list[Mistake] = []
