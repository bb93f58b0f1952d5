"""What a generator learns from: a public set, and a private set whose images the guarantee protects. What a data set of this task returns."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields, replace
from typing import Literal

import torch
from torch import Tensor

from bench.errors import UserError
from bench.tasks.classification.images import check_images, check_labels, check_same_size

PARTS = ("public", "private", "held")


@dataclass(frozen=True)
class Pair:
    """P public images, N private ones and H held-out ones of the private distribution; uint8 [., C, S, S] with labels int64 [.].

    The privacy unit is one private image with its label: two data sets are neighbours where one of them has one private image more (add or remove
    one). Public images cost nothing; held-out images are seen by metrics alone, never by a method.

    Attributes:
        public_classes: number of classes of the public labels, 1 where it has none.
        num_classes: of the private and held-out labels, 1 where there are none.
        conditional: are images to be drawn given their class?
        class_names: of the private classes; empty: 0, 1, ...
        about: what is to be known of where they come from, for the terminal.

    Raises:
        UserError: arrays that are not so, or images that are not square.
    """

    public_x: Tensor
    public_y: Tensor
    private_x: Tensor
    private_y: Tensor
    held_x: Tensor
    held_y: Tensor
    public_classes: int
    num_classes: int
    conditional: bool
    class_names: tuple[str, ...] = ()
    about: str = ""

    def __post_init__(self) -> None:
        for part, classes in zip(PARTS, (self.public_classes, self.num_classes, self.num_classes)):
            x, y = getattr(self, f"{part}_x"), getattr(self, f"{part}_y")
            check_images(f"{part}_x", x)
            check_labels(f"{part}_y", y, len(x), [str(k) for k in range(classes)])
            check_same_size(self.private_x, x, f"{part}_x")
        if (side := self.private_x.shape[2:])[0] != side[1]:
            raise UserError(f"private_x: images of {side[0]} x {side[1]}; square ones are expected")
        if self.class_names and len(self.class_names) != self.num_classes:
            raise UserError(f"class_names: {len(self.class_names)} names for {self.num_classes} classes")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, S, S) of every image."""
        return tuple(self.private_x.shape[1:])  # type: ignore[return-value]

    def to(self, device: torch.device | str) -> Pair:
        """The same with its tensors on a device."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: v.to(device) for name, v in values.items() if isinstance(v, Tensor)})  # type: ignore[arg-type]

    def digest(self, part: Literal["public", "private", "held"]) -> str:
        """sha256, hexadecimal, of a part's images and labels: whose equal is the same data."""
        digest = hashlib.sha256()
        for name in (f"{part}_x", f"{part}_y"):
            values = getattr(self, name)
            digest.update(f"{name.removeprefix(part)} {values.dtype} {tuple(values.shape)}\n".encode())
            digest.update(memoryview(values.cpu().contiguous().numpy()).cast("B"))
        return digest.hexdigest()


def as_float(x: Tensor) -> Tensor:
    """Pixels 0 to 255 (uint8) as float32 from -1 to 1."""
    return x.float() / 127.5 - 1


def as_bytes(x: Tensor) -> Tensor:
    """The inverse of `as_float`, to the nearest of the 256 levels; what lies outside of [-1, 1] is clamped.

    Raises:
        ValueError: values that are not finite.
    """
    if not x.isfinite().all():
        raise ValueError(f"{int((~x.isfinite()).sum()):,} pixels are not finite")
    return ((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
