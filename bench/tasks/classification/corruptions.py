"""Corrupted images, made of any uint8 images as CIFAR-10-C and CIFAR-100-C were made of the test sets, at severities 1 to 5.

Of the 15 corruptions of the benchmark (Hendrycks and Dietterich, 2019) these 11 are here, with its constants for 32 x 32 images: gaussian_noise,
shot_noise, impulse_noise, defocus_blur, glass_blur, zoom_blur, fog, brightness, contrast, pixelate, jpeg_compression. Four are not: motion_blur
and snow are made by ImageMagick's motion blur, frost needs photographs of frost, and elastic_transform depends on OpenCV's fixed-point warp.
Of its four extra ones gaussian_blur, speckle_noise and saturate are here, spatter (OpenCV's edges and distances) is not.

Random numbers are other ones than in the published files, which come without a seed; their laws are the same. What is not random differs from
the published bytes by at most 1, where the rounding of a filter decides how a value is cut off to a byte.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bench.errors import UserError, allowed_list, nearest
from bench.seeding import generator
from bench.tasks.classification import distortions as d

BLOCK = 256  # images that share a stream of random numbers
SEVERITIES = (1, 2, 3, 4, 5)
SMALLEST = 4  # side of an image, in pixels


@dataclass(frozen=True)
class Corruption:
    """What is done to images, and how much of it at each severity."""

    function: Callable[..., Tensor]
    strengths: tuple[Any, ...]
    of_bytes: bool = False  # a codec: bytes to bytes
    of_colours: bool = False


ALL: dict[str, Corruption] = {
    "gaussian_noise": Corruption(d.gaussian_noise, (0.04, 0.06, 0.08, 0.09, 0.10)),
    "shot_noise": Corruption(d.shot_noise, (500, 250, 100, 75, 50)),
    "impulse_noise": Corruption(d.impulse_noise, (0.01, 0.02, 0.03, 0.05, 0.07)),
    "defocus_blur": Corruption(d.defocus_blur, ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1))),
    "glass_blur": Corruption(d.glass_blur, ((0.05, 1), (0.25, 1), (0.4, 1), (0.25, 2), (0.4, 2))),
    "zoom_blur": Corruption(d.zoom_blur, (1.06, 1.11, 1.16, 1.21, 1.26)),
    "fog": Corruption(d.fog, ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75))),
    "brightness": Corruption(d.brightness, (0.05, 0.1, 0.15, 0.2, 0.3)),
    "contrast": Corruption(d.contrast, (0.75, 0.5, 0.4, 0.3, 0.15)),
    "pixelate": Corruption(d.pixelate, (0.95, 0.9, 0.85, 0.75, 0.65), of_bytes=True),
    "jpeg_compression": Corruption(d.jpeg, (80, 65, 58, 50, 40), of_bytes=True),
    "gaussian_blur": Corruption(d.gaussian_blur, (0.4, 0.6, 0.7, 0.8, 1)),
    "speckle_noise": Corruption(d.speckle_noise, (0.06, 0.1, 0.12, 0.16, 0.2)),
    "saturate": Corruption(d.saturate, ((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2)), of_colours=True),
}
FAMILIES = {
    "noise": ("gaussian_noise", "shot_noise", "impulse_noise"),
    "blur": ("defocus_blur", "glass_blur", "zoom_blur"),
    "weather": ("fog", "brightness"),
    "digital": ("contrast", "pixelate", "jpeg_compression"),
    "extra": ("gaussian_blur", "speckle_noise", "saturate"),
}
STANDARD = tuple(name for family, names in FAMILIES.items() if family != "extra" for name in names)


def corrupt(images: Tensor, name: str, severity: int, *, seed: int = 0, first: int = 0) -> Tensor:
    """uint8 [N, C, H, W] after the corruption: a pure function of its arguments, the same on every device up to rounding.

    Args:
        images: grey or in colour; they stay as they are.
        name: of ALL.
        severity: 1 to 5.
        seed: of the random numbers.
        first: number of the first image in its set. A set in parts, each with its own `first`, is the set in one.

    Raises:
        UserError: an unknown corruption or severity, images of other channels than it works on, or smaller than 4 x 4.
    """
    what = _known(name, severity, images)
    strength = what.strengths[severity - 1]
    parts, start = [], 0
    while start < len(images):
        block, offset = divmod(first + start, BLOCK)
        part = images[start : start + BLOCK - offset]
        if what.of_bytes:
            parts.append(what.function(part, strength))
        else:
            stream = generator(seed, "noise", zlib.crc32(name.encode()), severity, block)
            draws = _OfBlock(stream, offset, len(part), images.device)
            changed = what.function(part.double() / 255, strength, draws)
            parts.append((changed.clamp(0, 1) * 255).to(torch.uint8))  # cut off, not rounded, as published
        start += len(part)
    return torch.cat(parts) if parts else images.clone()


def fitting(names: tuple[str, ...], channels: int) -> tuple[str, ...]:
    """Those that work on images of so many channels."""
    return tuple(name for name in names if channels == 3 or not ALL[name].of_colours)


def _known(name: str, severity: int, images: Tensor) -> Corruption:
    if name not in ALL:
        raise UserError(f"corruption '{name}': unknown; allowed: {allowed_list(list(ALL), name)}{nearest(name, ALL)}")
    if severity not in SEVERITIES:
        raise UserError(f"severity = {severity}: expected 1 to 5")
    channels, *sides = images.shape[1:]
    if channels not in (1, 3) or min(sides) < SMALLEST:
        found = f"{channels} channels of {sides[0]} x {sides[1]}"
        raise UserError(f"corruptions are of grey or colour images of at least {SMALLEST} x {SMALLEST}; found {found}")
    if ALL[name].of_colours and channels != 3:
        raise UserError(f"corruption '{name}': needs images in colour; these are grey")
    return ALL[name]


class _OfBlock:
    """Random numbers of some images of a block, drawn for the whole block on the CPU."""

    def __init__(self, stream: torch.Generator, offset: int, count: int, device: torch.device) -> None:
        self._stream, self._device = stream, device
        self._rows = slice(offset, offset + count)

    def uniform(self, *shape: int) -> Tensor:
        return torch.rand(BLOCK, *shape, generator=self._stream, dtype=torch.float64)[self._rows].to(self._device)

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(BLOCK, *shape, generator=self._stream, dtype=torch.float64)[self._rows].to(self._device)
