"""The samples of a run as a picture, and small ones as text for the rows of a curve. Shapes: n samples, images uint8 [n, C, S, S]."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from bench.run.atomic import write_atomic
from bench.run.files import SAMPLES
from bench.tasks.generation.pair import Pair
from bench.tasks.valuation.loop_sheet import GAP, INK, LINE, SIDE, picture, scaled, shown, text_of

MARGIN = 90  # pixels left of the images, for the class's name


def rows_of(x: Tensor, y: Tensor, classes: int, most: int) -> list[Tensor]:
    """The first `most` samples [., C, S, S] of each class."""
    return [x[y == label][:most] for label in range(classes)]


def name_of(pair: Pair, label: int) -> str:
    """A class's name; its number where it has none."""
    return pair.class_names[label] if pair.class_names else str(label)


def thumbnails(pair: Pair, x: Tensor, y: Tensor, most: int) -> Iterator[dict[str, Any]]:
    """Rows `label` (the class's name), `place` (1, 2, ...) and `thumbnail`: the first `most` samples of each class."""
    for label, images in enumerate(rows_of(x, y, pair.num_classes, most)):
        for place, image in enumerate(images, 1):
            yield {"label": name_of(pair, label), "place": place, "thumbnail": text_of(picture(image))}


def write_grid(folder: Path, pair: Pair, x: Tensor, y: Tensor, columns: int) -> Path:
    """samples.png: a row a class, its name at the left, of its first `columns` samples; of one class they fill a square. Its path."""
    named = pair.num_classes > 1
    rows = rows_of(x, y, pair.num_classes, columns) if named else x[: columns * columns].split(columns)
    margin = MARGIN if named else GAP
    grid = Image.new("RGB", (margin + columns * (SIDE + GAP), GAP + len(rows) * (SIDE + GAP)), "white")
    draw = ImageDraw.Draw(grid)
    for k, images in enumerate(rows):
        top = GAP + k * (SIDE + GAP)
        if named:
            middle = top + (SIDE - LINE) // 2
            draw.text((GAP, middle), shown(name_of(pair, k)), fill=INK, font=ImageFont.load_default())
        for column, image in enumerate(images):
            grid.paste(scaled(picture(image), SIDE), (margin + column * (SIDE + GAP), top))
    path = folder / SAMPLES
    write_atomic(path, lambda file: grid.save(file, "PNG"))
    return path
