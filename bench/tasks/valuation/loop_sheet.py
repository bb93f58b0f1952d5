"""The images of the lowest and of the highest values: a sheet of them in a run's folder, and small ones as text for the rows of a curve.

Shapes: N points, images [C, H, W] in pixel units.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from bench.run.atomic import write_atomic
from bench.run.files import SHEET
from bench.tasks.valuation.points import Points

THUMBNAIL, COLOURS = 32, 64  # pixels of the longer side, colours, of an image in a row
# Pixels of an image on the sheet, between two, of a line of text; images in a row.
SIDE, GAP, LINE, COLUMNS = 64, 8, 13, 8
LETTERS = 12  # of a label or id that are shown
INK, MARK = (59, 63, 70), (204, 51, 17)  # text; frame and line of an image that is known to be corrupted
Order = NDArray[np.int64]


def ends(order: Order, most: int) -> tuple[Order, Order]:
    """Positions of the `most` lowest values, the lowest first, and of as many highest, the highest first; never one twice: N // 2 at most."""
    most = min(most, len(order) // 2)
    return order[:most], order[::-1][:most]


def picture(x: Tensor) -> Image.Image:
    """An image [C, H, W]: three channels are colours, others become the grey of their mean; what leaves 0 to 255 is cut."""
    x = torch.nan_to_num(x.detach().cpu().float()).clamp(0, 255)
    x = x if len(x) == 3 else x.mean(0, keepdim=True)
    pixels = x.round().to(torch.uint8).permute(1, 2, 0).numpy()
    return Image.fromarray(np.ascontiguousarray(pixels if len(x) == 3 else pixels[:, :, 0]))


def scaled(image: Image.Image, side: int) -> Image.Image:
    """Its longer side as close to `side` as whole multiples come, pixels as squares; a larger image is shrunk to it."""
    longer = max(image.size)
    if longer <= side:
        times = side // longer
        return image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST)
    width, height = (max(1, round(size * side / longer)) for size in image.size)
    return image.resize((width, height), Image.Resampling.BOX)


def text_of(image: Image.Image) -> str:
    """A small PNG of at most 32 x 32 pixels and 64 colours, as base64 text."""
    small = image if max(image.size) <= THUMBNAIL else scaled(image, THUMBNAIL)
    if small.mode == "RGB":
        small = small.quantize(COLOURS)
    file = io.BytesIO()
    small.save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def label_of(points: Points, place: int) -> str:
    """The label that came with a point, by its class's name where there is one."""
    label = int(points.train_y[place])
    return points.class_names[label] if points.class_names else str(label)


def thumbnails(points: Points, values: NDArray[np.float64], order: Order, most: int) -> Iterator[dict[str, Any]]:
    """Rows `place` (1, 2, ... from the lowest value; -1, -2, ... from the highest), `value`, `given_label`, `point` (its id), `known_corrupted`
    (1, 0, or -1 where nobody knows) and `thumbnail`; none of features."""
    if not points.images:
        return
    for sign, places in zip((1, -1), ends(order, most)):
        for k, place in enumerate(places.tolist(), 1):
            yield {
                "place": sign * k,
                "value": float(values[place]),
                "given_label": label_of(points, place),
                "point": _id(points, place),
                "known_corrupted": -1 if points.corrupted is None else int(points.corrupted[place]),
                "thumbnail": text_of(picture(points.train_x[place])),
            }


def _id(points: Points, place: int) -> str:
    return points.ids[place] if points.ids is not None else str(place)


def write_sheet(folder: Path, points: Points, order: Order, most: int) -> Path | None:
    """sheet.png: the lowest values in one block, the highest below in another, each image above its label as given and its id, framed and
    marked where it is known to be corrupted. Its path; None of features, and where `most` is 0.

    Args:
        order: [N], positions from the lowest value to the highest.
        most: of each block.
    """
    low, high = ends(order, most)
    if not points.images or not len(low):
        return None
    blocks = [("lowest values, the lowest first", low), ("highest values, the highest first", high)]
    cell = SIDE + GAP, SIDE + 3 * LINE + GAP
    rows = -(-len(low) // COLUMNS)
    block = 2 * LINE + rows * cell[1]
    sheet = Image.new("RGB", (GAP + COLUMNS * cell[0], GAP + len(blocks) * block), "white")
    draw = ImageDraw.Draw(sheet)
    for top, (title, places) in zip((GAP, GAP + block), blocks):
        draw.text((GAP, top), _title(title, points, places), fill=INK, font=_font())
        for k, place in enumerate(places.tolist()):
            corner = GAP + k % COLUMNS * cell[0], top + 2 * LINE + k // COLUMNS * cell[1]
            _cell(sheet, draw, corner, points, place)
    path = folder / SHEET
    write_atomic(path, lambda file: sheet.save(file, "PNG"))
    return path


def _cell(sheet: Image.Image, draw: ImageDraw.ImageDraw, corner: tuple[int, int], points: Points, place: int) -> None:
    x, y = corner
    sheet.paste(scaled(picture(points.train_x[place]), SIDE), corner)
    lines = [(shown(label_of(points, place)), INK), (shown(_id(points, place)), INK)]
    if points.corrupted is not None and points.corrupted[place]:
        draw.rectangle((x - 3, y - 3, x + SIDE + 2, y + SIDE + 2), outline=MARK, width=2)
        lines.append(("corrupted", MARK))
    for k, (text, colour) in enumerate(lines):
        draw.text((x, y + SIDE + 3 + k * LINE), text, fill=colour, font=_font())


def _title(title: str, points: Points, places: Order) -> str:
    """lowest values, the lowest first: 7 of 8 known to be corrupted"""
    if points.corrupted is None:
        return title
    bad = int(points.corrupted[torch.from_numpy(places.copy()).to(points.corrupted.device)].sum())
    return f"{title}: {bad} of {len(places)} known to be corrupted"


def shown(text: str) -> str:
    """At most 12 letters that any font has; other characters become question marks."""
    plain = "".join(c if " " <= c <= "~" else "?" for c in text)
    return plain if len(plain) <= LETTERS else f"{plain[: LETTERS - 2]}.."


def _font() -> Any:
    return ImageFont.load_default()
