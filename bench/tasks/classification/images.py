"""Containers in which data sets hand over their data."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.errors import UserError

PARTS = ("train", "val", "test")
CONSTANT = 1e-6  # a standard deviation of no more is that of one colour


@dataclass(frozen=True)
class LabelledImages:
    """Images as uint8 [N, C, H, W] with labels int64 [N]; validation may have no rows.

    Attributes:
        train_y_clean: the training labels before label noise.
        mean, std: per channel, of the training images, in units where white is 1.
        mirror: does a horizontally mirrored image keep its label?

    Raises:
        UserError: arrays that are not so, of one class alone or without any contrast; what was given, and what to do.
    """

    train_x: Tensor
    train_y: Tensor
    train_y_clean: Tensor
    val_x: Tensor
    val_y: Tensor
    test_x: Tensor
    test_y: Tensor
    class_names: list[str]
    mean: list[float]
    std: list[float]
    mirror: bool

    def __post_init__(self) -> None:
        for part in PARTS:
            x, y = getattr(self, f"{part}_x"), getattr(self, f"{part}_y")
            check_part(part, x, y, self.class_names, may_be_empty=part == "val")
            check_same_size(self.train_x, x, f"{part}_x")
        check_labels("train_y_clean", self.train_y_clean, len(self.train_x), self.class_names)
        channels = self.train_x.shape[1]
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != channels or not np.isfinite(values).all():
                raise UserError(f"{name}: expected {channels} finite numbers, one a channel, found {values}")
        if max(self.std) <= CONSTANT:
            raise UserError(
                f"train_x: all {len(self.train_x):,} images are of one colour; nothing can be learnt from them"
            )
        if bool((self.train_y_clean == self.train_y_clean[0]).all()):
            raise UserError(
                f"train_y: all {len(self.train_y):,} labels are {int(self.train_y_clean[0])}; at least two classes must occur"
            )

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    def to(self, device: torch.device) -> LabelledImages:
        """The same data with every tensor on `device`."""
        return dataclasses.replace(self, **{name: value.to(device) for name, value in self._tensors().items()})  # type: ignore[arg-type]

    def fingerprint(self) -> str:
        """12 hex digits over every tensor: two runs with one fingerprint saw the same data."""
        digest = hashlib.sha256()
        for name, value in sorted(self._tensors().items()):
            digest.update(f"{name}{tuple(value.shape)}".encode())
            digest.update(value.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:12]

    def _tensors(self) -> dict[str, Tensor]:
        return {
            f.name: getattr(self, f.name) for f in dataclasses.fields(self) if isinstance(getattr(self, f.name), Tensor)
        }


def check_part(part: str, x: Any, y: Any, class_names: Sequence[str], may_be_empty: bool = False) -> None:
    """UserError unless x is uint8 [N, C, H, W] and y holds a whole number for each image that names a class."""
    check_class_names(class_names)
    check_images(f"{part}_x", x, may_be_empty)
    check_labels(f"{part}_y", y, len(x), class_names)


def check_class_names(class_names: Sequence[str]) -> None:
    """UserError unless they are a list of at least two texts."""
    names = list(class_names) if isinstance(class_names, list | tuple | np.ndarray) else []
    if len(names) < 2 or not all(isinstance(name, str) for name in names):
        raise UserError(f"class_names: expected a list of at least two texts, found {class_names!r}")


def check_images(name: str, x: Any, may_be_empty: bool = False) -> None:
    """UserError unless x is uint8 [N, C, H, W]."""
    kind, shape, cures = _kind(x), _shape(x), []
    if kind != "uint8":
        cures.append(_pixels_cure(name, x))
    if len(shape) == 4 and shape[1] > 4 >= shape[3]:
        cures.append(f"{name}.transpose(0, 3, 1, 2)")
    elif len(shape) == 3:
        cures.append(f"{name}[:, None] for grey images")
    elif len(shape) != 4:
        cures.append(f"{name}.reshape(-1, C, H, W)")
    if cures:
        raise UserError(f"{name}: expected uint8 [N, C, H, W], found {kind} {shape}; {' and '.join(cures)}")
    if 0 in shape[1:] or (shape[0] == 0 and not may_be_empty):
        raise UserError(f"{name}: expected at least one image [N, C, H, W], found {shape}")


def check_labels(name: str, y: Any, images: int, class_names: Sequence[str]) -> None:
    """UserError unless y has a whole number for each image, from 0 to one less than there are class names."""
    kind, shape = _kind(y), _shape(y)
    if len(shape) != 1:
        cure = f"{name}.argmax(1) if they are one-hot" if len(shape) == 2 and shape[1] > 1 else f"{name}.ravel()"
        raise UserError(f"{name}: expected whole numbers [N], found {kind} {shape}; {cure}")
    if not kind.startswith(("int", "uint")):
        cure = (
            f"{name}.astype(int)"
            if kind.startswith(("float", "bool"))
            else f"np.unique({name}, return_inverse=True)[1]"
        )
        raise UserError(f"{name}: expected whole numbers [N], found {kind} {shape}; {cure}")
    if shape[0] != images:
        raise UserError(f"{name}: {shape[0]:,} labels for {images:,} images; expected one label an image")
    if not images:
        return
    low, high, last = int(y.min()), int(y.max()), len(class_names) - 1
    if low < 0 or high > last:
        cure = f"{name} - 1" if low == 1 and high == last + 1 else "or name all the classes in class_names"
        raise UserError(f"{name}: expected labels 0 to {last}, one a class name, found {low} to {high}; {cure}")


def check_same_size(train_x: Any, x: Any, name: str) -> None:
    """UserError unless images are of the training images' size."""
    if _shape(x)[1:] != _shape(train_x)[1:]:
        sizes = [" x ".join(map(str, _shape(one)[1:])) for one in (x, train_x)]
        raise UserError(f"{name}: images of {sizes[0]}, but the training images are {sizes[1]}; bring all to one size")


def _kind(x: Any) -> str:
    """Name of the type of its values, whatever their byte order."""
    if isinstance(x, np.ndarray):
        return str(x.dtype.newbyteorder("="))
    return str(x.dtype).removeprefix("torch.") if isinstance(x, Tensor) else type(x).__name__


def _shape(x: Any) -> list[int]:
    return list(getattr(x, "shape", ()))


def _pixels_cure(name: str, x: Any) -> str:
    """How values become bytes."""
    values = np.asarray(x.detach().cpu().double() if isinstance(x, Tensor) else x)
    if values.dtype.kind not in "iufb" or not values.size:
        return f"np.asarray({name}, dtype='uint8')"
    if not np.isfinite(values).all():
        return f"{int((~np.isfinite(values)).sum()):,} values are not finite: remove those images"
    low, high = values.min(), values.max()
    if low < 0 or high > 255:
        return f"bring the values, {low:.4g} to {high:.4g}, to 0 to 255, then .astype('uint8')"
    if values.dtype.kind in "fb" and high <= 1:
        return f"multiply by 255 and {name}.astype('uint8')"
    return f"{name}.astype('uint8')"
