"""Line figures of experiments as svg: medians with 95 % intervals over seeds, direct labels, colours that colour-blind readers tell apart."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import matplotlib
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import LogFormatterSciNotation, MaxNLocator, NullFormatter

from bench.judge.archive import Record
from bench.judge.checks import matches
from bench.judge.groups import differences
from bench.judge.papers import Figure
from bench.report.medians import median_interval
from bench.report.plotting import INK, STYLE, axis_label, group, literal, rows, svg

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
MARKED = 40  # points of a line, up to which each has its marker
APART = 0.13  # of the axis between two tick labels
SIZE = (4.4, 3.0)  # inches; set at half a text width the labels are still 7 pt


@dataclass(frozen=True)
class Line:
    """One line: points x with the median over seeds and the ends of its interval (below 6 seeds the range; NaN with one)."""

    label: str
    x: list[float]
    median: list[float]
    low: list[float]
    high: list[float]
    seeds: int


def lines(figure: Figure, runs: Iterable[Record]) -> list[Line]:
    """The lines of a figure from an experiment's runs; runs that have not ended, or diverged, are left out."""
    points: dict[str, dict[float, list[float]]] = {}
    for run, row in rows(figure, _relative(figure, list(runs)), figure.x, figure.y):
        mine = points.setdefault(group(figure, run, row), {})
        mine.setdefault(float(row[figure.x]), []).append(float(row[figure.y]))
    return [_line(name, mine) for name, mine in points.items()]


def _relative(figure: Figure, runs: list[Record]) -> Iterator[Record]:
    """The runs with `y` divided by that of the run which is alike but for the keys of `relative_to`; without these keys, as they are."""
    if not figure.relative_to:
        yield from runs
        return
    base = [r for r in runs if matches(r, figure.relative_to)]
    for run in runs:
        if run in base:
            continue
        partners = (b for b in base if b.seed == run.seed and set(differences(run, b)) <= set(figure.relative_to))
        if (partner := next(partners, None)) is not None:
            metrics, curve = _over(run.metrics, partner.metrics, figure.y), zip(run.curve, partner.curve)
            yield replace(run, metrics=metrics, curve=[_over(a, b, figure.y) for a, b in curve])


def _over(row: dict[str, Any], other: dict[str, Any], y: str) -> dict[str, Any]:
    """The row with its y over the other's; without y where one of them has none."""
    if not row.get(y) or not other.get(y):
        return {name: value for name, value in row.items() if name != y}
    return row | {y: row[y] / other[y]}


def _line(name: str, points: dict[float, list[float]]) -> Line:
    x = sorted(points)
    found = [median_interval(points[v]) for v in x]
    median, low, high = ([getattr(i, name) for i in found] for name in ("estimate", "low", "high"))
    return Line(name, x, median, low, high, max(i.n for i in found))


def draw(figure: Figure, found: Sequence[Line], task: str, palette: Sequence[str] = ()) -> str:
    """The figure as svg text; the same lines give the same bytes.

    Args:
        palette: names whose places say their colours, so that a method looks the same in all figures of a paper.
    """
    with matplotlib.rc_context(STYLE):
        return svg(canvas_of(figure, found, task, palette))


def canvas_of(figure: Figure, found: Sequence[Line], task: str, palette: Sequence[str] = ()) -> Canvas:
    """The figure, open, to be drawn on and saved in any format; arguments as of `draw`."""
    places = _places([line.label for line in found], palette)
    colours = [COLOURS[k] for k in places]
    with matplotlib.rc_context(STYLE):
        canvas, axes = plt.subplots(figsize=SIZE, layout="constrained")
        _scales(axes, figure, found)
        _published(axes, figure, found, colours)
        for line, colour, k in zip(found, colours, places):
            marker = MARKERS[k] if len(line.x) <= MARKED else ""
            axes.plot(line.x, line.median, color=colour, marker=marker, markersize=4, linewidth=1.6)
            if not any(math.isnan(v) for v in line.low):
                floor = min(line.median) / 10 if "y" in figure.log else -math.inf
                axes.fill_between(line.x, np.maximum(line.low, floor), line.high, color=colour, alpha=0.18, linewidth=0)
        _theory(axes, figure, found)
        axes.set_xlabel(axis_label(figure.x, task))
        axes.set_ylabel(axis_label(figure.y, task) + (", ratio" if figure.relative_to else ""))
        _direct_labels(axes, found, colours)
    return canvas


def _places(labels: Sequence[str], palette: Sequence[str]) -> list[int]:
    """A colour for each line: the one of its place in the palette, or the next that no other line of the figure has."""
    places: list[int] = []
    for name in labels:
        k = (palette.index(name) if name in palette else len(places)) % len(COLOURS)
        while k in places and len(places) < len(COLOURS):
            k = (k + 1) % len(COLOURS)
        places.append(k)
    return places


def _scales(axes: Axes, figure: Figure, found: Sequence[Line]) -> None:
    if "x" in figure.log:
        axes.set_xscale("log")
        ticks = sorted({x for line in found for x in line.x})
        if len(ticks) <= 7 and all(float(f"{t:.6g}") == t for t in ticks):
            axes.set_xticks(ticks, _legible(ticks))
            axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        most = 3 if any(len(line.label) > 20 for line in found) else 6  # long names leave little width
        axes.xaxis.set_major_locator(MaxNLocator(most, integer=all(x == int(x) for line in found for x in line.x)))
    if "y" in figure.log:
        axes.set_yscale("log")
        axes.yaxis.set_minor_formatter(LogFormatterSciNotation(labelOnlyBase=False, minor_thresholds=(2, 0.4)))


def _legible(ticks: Sequence[float]) -> list[str]:
    """The labels of ticks on a logarithmic axis, empty where they would run into the last one that is written; the last tick has its own."""
    place = np.log(np.array(ticks) / ticks[0]) / (math.log(ticks[-1] / ticks[0]) or 1.0)
    labels, last = [""] * len(ticks), math.inf
    for k in reversed(range(len(ticks))):
        if last - place[k] >= APART:
            labels[k], last = f"{ticks[k]:,.10g}", place[k]
    return labels


def _published(axes: Axes, figure: Figure, found: Sequence[Line], colours: Sequence[str]) -> None:
    """Open squares in the colour of the line that the points belong to."""
    by_label = {line.label: colour for line, colour in zip(found, colours)}
    for name, points in (figure.published.points if figure.published else {}).items():
        x, y = zip(*points)
        look = {"color": by_label.get(name, INK), "markerfacecolor": "none", "markersize": 9, "markeredgewidth": 1}
        axes.plot(x, y, "s", alpha=0.75, **look)
    if figure.published:
        handle = plt.Line2D([], [], color=INK, marker="s", linestyle="none", markerfacecolor="none", markersize=8)
        axes.legend([handle], ["published"], frameon=False, fontsize=9, loc="upper right")


def _theory(axes: Axes, figure: Figure, found: Sequence[Line]) -> None:
    """Dashed lines of the theory's slopes, a little below the lines that they speak of."""
    by_label = {line.label: line for line in found}
    for name, theory in figure.theory.items():
        line = by_label.get(theory.of)
        if line is None or len(line.x) < 2:
            continue
        x, y = np.log(line.x), np.log(line.median)
        below = np.exp(y.mean() + theory.slope * (x - x.mean())) * 0.86
        axes.plot(line.x, below, color=INK, linestyle=(0, (4, 3)), linewidth=1, alpha=0.75)
        middle = float(np.exp(x.mean())), float(np.exp(y.mean()) * 0.86)
        raised = re.sub(r"([^\W_]+)\^(-?(?:[^\W_]|[/.])+)", r"$\1^{\2}$", literal(name))
        axes.annotate(raised, middle, (0, -4), textcoords="offset points", ha="center", va="top", fontsize=9)


def _direct_labels(axes: Axes, found: Sequence[Line], colours: Sequence[str]) -> None:
    """Each line's name at its right end, moved apart where they would overlap."""
    if not found:
        return
    height = SIZE[1] * 0.78 * 72  # points, nearly: the axes' share of the figure
    axes.margins(x=0.03)
    axes.autoscale_view()  # the limits, before anything is drawn
    to_axes = axes.transData + axes.transAxes.inverted()
    ends = [float(to_axes.transform((line.x[-1], line.median[-1]))[1]) for line in found]
    gap = 11.5 / height
    order = np.argsort(ends)
    places = [ends[i] for i in order]
    for _ in range(200):  # push neighbours apart until none overlap
        moved = False
        for i in range(len(places) - 1):
            overlap = gap - (places[i + 1] - places[i])
            if overlap > 1e-6:
                places[i], places[i + 1], moved = places[i] - overlap / 2, places[i + 1] + overlap / 2, True
        if not moved:
            break
    for i, place in zip(order, places):
        axes.annotate(
            literal(found[i].label),
            (1.0, place),
            xycoords="axes fraction",
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
            color=colours[i],
            fontweight="bold",
        )
