"""Sheets of small images as svg: those of the lowest places in a left block, of the highest in a right one, a row of blocks for each panel.
Or rows of images by a column of the curve, a block a panel."""

from __future__ import annotations

import base64
import binascii
import io
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from PIL import Image

from bench.judge.archive import Record
from bench.judge.papers import Figure
from bench.report.plotting import INK, STYLE, group, literal, rows

COLUMNS = 6  # images in a row of a block
WIDE = 16  # images beside each other, about, in blocks of rows
LARGEST = 64  # pixels of a side: what a run's rows hold is smaller
LINE, CELL = 0.19, 0.56  # of a cell's width a line of text; inches of a cell
LETTERS = 11  # of a text
MARK = "#CC3311"


@dataclass(frozen=True)
class Thumbnail:
    """An image [h, w, 3] with its place, texts, whether it is marked, and the value of the column that says its row."""

    place: int
    pixels: bytes
    shape: tuple[int, int]
    titles: tuple[str, ...]
    marked: bool
    row: Any = None

    @property
    def image(self) -> NDArray[np.uint8]:
        return np.frombuffer(self.pixels, np.uint8).reshape(*self.shape, 3)


@dataclass(frozen=True)
class Sheet:
    """The images of one seed, by place: 1, 2, ... and -1, -2, ...; or in rows, and none of those."""

    label: str
    low: list[Thumbnail]
    high: list[Thumbnail]
    seeds: int = 1
    rows: tuple[list[Thumbnail], ...] = ()


def panels(figure: Figure, runs: Iterable[Record]) -> list[Sheet]:
    """A sheet for each value of `by`, of the lowest seed that has images."""
    assert figure.thumbnail is not None
    found: dict[str, list[Thumbnail]] = {}
    first: dict[str, tuple[str, int]] = {}
    for run, row in rows(figure, sorted(runs, key=lambda run: run.seed), figure.x):
        name, image = group(figure, run, row), decoded(row.get(figure.thumbnail))
        if image is not None and first.setdefault(name, (run.key, run.seed)) == (run.key, run.seed):
            titles = tuple(text_of(row[title]) for title in figure.titles if title in row)
            marked = figure.marks is not None and row.get(figure.marks) == 1
            own = row.get(figure.rows) if figure.rows else None
            found.setdefault(name, []).append(
                Thumbnail(int(row[figure.x]), image.tobytes(), image.shape[:2], titles, marked, own)
            )
    return [_sheet(name, images, figure.rows is not None) for name, images in found.items()]


def _sheet(name: str, images: list[Thumbnail], in_rows: bool) -> Sheet:
    if in_rows:
        by_row: dict[Any, list[Thumbnail]] = {}
        for image in images:
            by_row.setdefault(image.row, []).append(image)
        return Sheet(name, [], [], rows=tuple(sorted(own, key=lambda i: i.place) for own in by_row.values()))
    low, high = (sorted((i for i in images if s * i.place > 0), key=lambda i: abs(i.place)) for s in (1, -1))
    return Sheet(name, low, high)


def decoded(text: Any) -> NDArray[np.uint8] | None:
    """[h, w, 3] of a PNG as base64; None where it is none, or larger than a small image."""
    try:
        content = base64.b64decode(text, validate=True)
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            if max(image.size) > LARGEST:
                return None
            return np.asarray(image.convert("RGB"))
    except (TypeError, ValueError, binascii.Error, OSError, SyntaxError, Image.DecompressionBombError):
        return None


def text_of(value: Any) -> str:
    """The value in at most 11 printable letters."""
    text = "".join(c if c.isprintable() else "?" for c in str(value))
    return text if len(text) <= LETTERS else f"{text[: LETTERS - 1]}…"


def canvas_of(figure: Figure, found: Sequence[Sheet], task: str) -> Canvas:
    """The sheets, open, to be saved in any format; one stands below another."""
    if figure.rows:
        return _in_rows(figure, found)
    height = 1.12 + LINE * len(figure.titles)
    lines = [-(-max(len(sheet.low), len(sheet.high)) // COLUMNS) * height + 0.8 for sheet in found]
    with matplotlib.rc_context(STYLE | {"axes.grid": False, "image.interpolation": "none", "image.resample": False}):
        width = 2 * COLUMNS + 0.7
        size = width * CELL, sum(lines) * CELL
        canvas, axes = plt.subplots(len(found), 1, figsize=size, height_ratios=lines, squeeze=False)
        canvas.subplots_adjust(left=0.01, right=0.99, bottom=0.005, top=0.995, hspace=0)
        for sheet, each, tall in zip(found, axes[:, 0], lines):
            each.set(xlim=(0, width), ylim=(tall, 0), aspect="equal")
            each.axis("off")
            name = literal(sheet.label).replace("_", " ")
            for left, part, title in ((0.0, sheet.low, "lowest"), (COLUMNS + 0.7, sheet.high, "highest")):
                each.text(left, 0.4, f"{name}: {title}", fontsize=9, va="center")
                for k, one in enumerate(part):
                    _place(each, left + k % COLUMNS, 0.7 + k // COLUMNS * height, one)
            each.set(xlim=(0, width), ylim=(tall, 0))
    return canvas


def _in_rows(figure: Figure, found: Sequence[Sheet]) -> Canvas:
    """Blocks of rows, as many beside each other as fit into a sheet's width, in the order of the panels."""
    step = 1.12 + LINE * len(figure.titles)
    widest = max(len(own) for sheet in found for own in sheet.rows) + 0.7
    across = min(len(found), max(1, round(WIDE / widest)))
    lines = [found[k : k + across] for k in range(0, len(found), across)]
    heights = [max(len(sheet.rows) for sheet in line) * step + 0.8 for line in lines]
    width, height = across * widest, sum(heights)
    with matplotlib.rc_context(STYLE | {"axes.grid": False, "image.interpolation": "none", "image.resample": False}):
        canvas, axes = plt.subplots(figsize=(width * CELL, height * CELL))
        canvas.subplots_adjust(left=0.01, right=0.99, bottom=0.005, top=0.995)
        axes.set(xlim=(0, width), ylim=(height, 0), aspect="equal")
        axes.axis("off")
        for line, top in zip(lines, itertools.accumulate([0.0, *heights])):
            for n, sheet in enumerate(line):
                axes.text(n * widest, top + 0.4, literal(sheet.label).replace("_", " "), fontsize=9, va="center")
                for r, own in enumerate(sheet.rows):
                    for k, one in enumerate(own):
                        _place(axes, n * widest + k, top + 0.7 + r * step, one)
        axes.set(xlim=(0, width), ylim=(height, 0))
    return canvas


def _place(axes: Axes, x: float, y: float, one: Thumbnail) -> None:
    side = 0.9
    axes.imshow(one.image, extent=(x, x + side, y + side, y), aspect="auto", zorder=2)
    if one.marked:
        axes.add_patch(Rectangle((x, y), side, side, fill=False, edgecolor=MARK, linewidth=2, zorder=3))
    for k, title in enumerate(one.titles):
        colour = MARK if one.marked else INK
        axes.text(x, y + side + LINE * (k + 0.65), literal(title), fontsize=5.5, va="center", color=colour)
