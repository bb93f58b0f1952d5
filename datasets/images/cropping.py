"""Image files to squares of one size. Imports no torch: runs in processes of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from bench.errors import UserError, in_one_line

if TYPE_CHECKING:
    from PIL import Image


def cropped(path: Path, size: int, shorter: int, mode: Literal["RGB", "L"] = "RGB") -> np.ndarray:
    """The centre of an image, uint8 [C, size, size], C = 3 or for "L" 1, after its shorter side was resized to `shorter` >= size pixels.

    It is turned as its camera says; what is transparent shows white.

    Raises:
        UserError: no image that can be read, or one with more than 8 bits a channel.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    unreadable = (OSError, UnidentifiedImageError, SyntaxError, ValueError, Image.DecompressionBombError)
    try:
        with Image.open(path) as file:
            file.draft(mode, (2 * shorter, 2 * shorter))
            if file.mode.startswith("I") or file.mode == "F":
                raise UserError(f"{path}: pixels of mode {file.mode}; images of 8 bits a channel are read")
            image = _opaque(ImageOps.exif_transpose(file)).convert(mode)
    except unreadable as error:
        raise UserError(f"{path}: no image that can be read ({in_one_line(error)})") from None
    width, height = image.size
    scale = shorter / min(width, height)
    image = image.resize((max(size, round(width * scale)), max(size, round(height * scale))), Image.Resampling.BILINEAR)
    left, top = (image.width - size) // 2, (image.height - size) // 2
    found = np.asarray(image.crop((left, top, left + size, top + size)))
    return found[None] if mode == "L" else found.transpose(2, 0, 1)


def _opaque(image: Image.Image) -> Image.Image:
    """An image on white where it has transparent pixels, whose hidden colours are no part of it."""
    if not image.has_transparency_data:
        return image
    from PIL import Image

    over = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", over.size, "white"), over)


def all_cropped(folder: Path, names: list[str], size: int) -> np.ndarray:
    """uint8 [N, 3, size, size] of files below a folder, their shorter sides resized to `size`. Raises UserError as `cropped`."""
    return np.stack([cropped(folder / name, size, size) for name in names])
