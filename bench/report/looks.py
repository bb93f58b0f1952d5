"""How the lines of a figure are told apart: colours that colour-blind readers tell apart, markers, dashes, names at the lines' ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.offsetbox import AnnotationBbox, DrawingArea
from matplotlib.typing import LineStyleType

from bench.report.plotting import literal

COLOURS = (
    "#0077BB",
    "#EE7733",
    "#009988",
    "#CC3311",
    "#33BBEE",
    "#EE3377",
    "#AA8800",
    "#7A5FBE",
)  # after Paul Tol's "vibrant"
MARKERS = "osD^vPX*"
AGAIN: tuple[LineStyleType, ...] = ("-", (0, (7, 2, 1.5, 2)), (0, (2.5, 1.5)))  # of the lines that have one colour
BROKEN = (0, (3.5, 3.5))  # of a line that lies on another
NEAR = 0.012  # of the axes' height between lines that do
MOST = len(COLOURS) * len(AGAIN)  # lines that can be told apart
MARKED = 40  # points of a line, up to which each has its marker
SAMPLE = 22  # points of a line beside its name, where colours repeat
SIZE = (5.4, 3.2)  # inches; set at half a text width the labels are still 6 pt


@dataclass(frozen=True)
class Line:
    """One line: points x with the median over seeds and the ends of its interval (below 6 seeds the range; NaN with one).

    beside: lines that belong to it, whose medians alone are drawn.
    """

    label: str
    x: list[float]
    median: list[float]
    low: list[float]
    high: list[float]
    seeds: int
    beside: tuple[Line, ...] = ()


@dataclass(frozen=True)
class Look:
    """How a line is told from the others of its figure; face: the colour that fills its markers."""

    colour: str
    marker: str
    dashes: LineStyleType
    face: str


def told_apart(labels: Sequence[str], palette: Sequence[str]) -> list[Look]:
    """Colours and markers by their places; lines of one colour differ in dashes, in markers and in how these are filled."""
    places, looks = _places(labels, palette), []
    for n, k in enumerate(places):
        again = places[:n].count(k)
        marker = MARKERS[(k + 3 * again) % len(MARKERS)]
        looks.append(Look(COLOURS[k], marker, AGAIN[again % len(AGAIN)], "none" if again else COLOURS[k]))
    return looks


def _places(labels: Sequence[str], palette: Sequence[str]) -> list[int]:
    """A colour for each line: the one of its place in the palette, or the next that fewer lines of the figure have."""
    places: list[int] = []
    for name in labels:
        k = (palette.index(name) if name in palette else len(places)) % len(COLOURS)
        while places.count(k) > min(map(places.count, range(len(COLOURS)))):
            k = (k + 1) % len(COLOURS)
        places.append(k)
    return places


def repeated(looks: Sequence[Look]) -> bool:
    """Has a figure more lines than colours?"""
    return len({look.colour for look in looks}) < len(looks)


def over_each_other(found: Sequence[Line], looks: Sequence[Look], log: bool) -> list[Look]:
    """The looks with those of lines that lie on an earlier one broken up, so that both are seen.

    Args:
        log: is the vertical axis logarithmic?
    """
    changed = list(looks)
    heights = [np.log(np.maximum(line.median, 1e-300)) if log else np.array(line.median) for line in found]
    span = max((h.max() for h in heights), default=0.0) - min((h.min() for h in heights), default=0.0)
    paths = [dict(zip(line.x, h)) for line, h in zip(found, heights)]
    for k, path in enumerate(paths):
        for before, look in zip(paths[:k], changed):
            near = [abs(path[x] - before[x]) < NEAR * span for x in path if x in before]
            if look.dashes == "-" == changed[k].dashes and len(near) > 1 and np.mean(near) > 0.75:
                changed[k] = replace(changed[k], dashes=BROKEN, face="none")
                break
    return changed


def direct_labels(
    axes: Axes, found: Sequence[Line], looks: Sequence[Look], names: Sequence[str], size: tuple[float, float]
) -> None:
    """Each line's name right of the axes at the height of its end, moved apart where they would overlap, and a thin line from the one to the
    other; behind a piece of the line where colours repeat. The limits must be final.

    Args:
        size: of the axes, in points.
    """
    if not found:
        return
    to_axes = axes.transData + axes.transAxes.inverted()
    ends = [to_axes.transform((line.x[-1], line.median[-1])) for line in found]
    gap = 11.5 / size[1]
    order = np.argsort([end[1] for end in ends], kind="stable")
    places = _inside(_apart([float(ends[i][1]) for i in order], gap), gap)
    sampled = repeated(looks)
    for i, place in zip(order, places):
        x, y = (float(v) for v in ends[i])
        x = x if 0 <= x <= 1 else 1.0  # a level goes all across
        if abs(place - y) > gap / 3 or x < 0.9:
            path = [x, 1 + 5 / size[0]], [y, place]
            axes.plot(*path, color=looks[i].colour, linewidth=0.6, alpha=0.6, transform=axes.transAxes, clip_on=False)
        if sampled:
            _sample(axes, place, looks[i], len(found[i].x) <= MARKED)
        axes.annotate(
            literal(names[i]),
            (1.0, place),
            xycoords="axes fraction",
            xytext=(SAMPLE + 11 if sampled else 7, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
            color=looks[i].colour,
            fontweight="bold",
        )


def _apart(places: list[float], gap: float) -> list[float]:
    """Increasing places with neighbours pushed apart until none are nearer than the gap."""
    for _ in range(200):
        moved = False
        for i in range(len(places) - 1):
            overlap = gap - (places[i + 1] - places[i])
            if overlap > 1e-6:
                places[i], places[i + 1], moved = places[i] - overlap / 2, places[i + 1] + overlap / 2, True
        if not moved:
            break
    return places


def _inside(places: Sequence[float], gap: float) -> list[float]:
    """Increasing places, the highest at most 1, then the lowest at least 0, the others moved along."""
    found = list(places)
    for i in reversed(range(len(found))):
        found[i] = min([found[i], 1.0, *(above - gap for above in found[i + 1 : i + 2])])
    for i in range(len(found)):
        found[i] = max([found[i], 0.0, *(below + gap for below in found[:i][-1:])])
    return found


def _sample(axes: Axes, place: float, look: Look, marked: bool) -> None:
    """A piece of a line, right of the axes at a height in their unit."""
    area = DrawingArea(SAMPLE, 8)
    line = plt.Line2D([0, SAMPLE / 2, SAMPLE], [4] * 3, color=look.colour, linestyle=look.dashes, linewidth=1.6)
    if marked:
        line.set(marker=look.marker, markersize=4, markevery=[1], markerfacecolor=look.face)
    area.add_artist(line)
    box = AnnotationBbox(
        area,
        (1.0, place),
        xybox=(6, 0),
        xycoords="axes fraction",
        boxcoords="offset points",
        box_alignment=(0, 0.5),
        frameon=False,
        pad=0,
        annotation_clip=False,
    )
    axes.add_artist(box)
