"""Line figures of experiments as svg: medians with 95 % intervals over seeds, direct labels, colours that colour-blind readers tell apart."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import matplotlib
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure as Canvas

from bench.judge.archive import Record
from bench.judge.checks import matches
from bench.judge.groups import differences
from bench.judge.papers import Figure
from bench.judge.shown import Numbered, numbers
from bench.report.figure_axes import room, scales, ticks, words
from bench.report.guides import guides, named
from bench.report.looks import MARKED, SAMPLE, SIZE, Line, Look, direct_labels, over_each_other, repeated, told_apart
from bench.report.medians import median_interval
from bench.report.plotting import INK, STYLE, group, literal, name_of, rows, shown

DASHED = ((0, (4, 3)), (0, (1, 1.5)))  # what stands beside a line
# of published points
OPEN: dict[str, Any] = {"marker": "s", "linestyle": "none", "markerfacecolor": "none", "markersize": 8}
DIAGONAL: dict[str, Any] = {"linestyle": "-", "linewidth": 0.8, "alpha": 0.75}
CROWD = 3  # lines, beyond which bands are fainter and have edges
MARKERS = 10  # of a line, at most about twice as many


def lines(figure: Figure, runs: Iterable[Record]) -> list[Line]:
    """The lines of a figure from an experiment's runs; runs that have not ended, or diverged, are left out."""
    if figure.numbered is not None:
        return _numbered(figure, figure.numbered, runs)
    points: dict[str, dict[float, list[float]]] = {}
    for run, row in rows(figure, _relative(figure, list(runs)), figure.x, figure.y):
        mine = points.setdefault(group(figure, run, row), {})
        mine.setdefault(float(row[figure.x]), []).append(float(row[figure.y]))
    return [_line(name, mine) for name, mine in points.items()]


def _numbered(figure: Figure, spec: Numbered, runs: Iterable[Record]) -> list[Line]:
    """The lines of final metrics against the number in their names."""
    members: dict[str, list[Record]] = {}
    for run in shown(figure, runs):
        members.setdefault(group(figure, run, {}), []).append(run)
    found = []
    for name, own in members.items():
        beside = tuple(_by_number(label, pattern, spec.bins, own) for label, pattern in spec.beside.items())
        found.append(replace(_by_number(name, figure.y, spec.bins, own), beside=beside))
    return [line for line in found if line.x]


def _by_number(name: str, pattern: str, bins: int | None, runs: Iterable[Record]) -> Line:
    """The medians over the runs that have any such metric; bins that fewer than half of them have are left out."""
    values: dict[float, list[float]] = {}
    having = 0
    for run in runs:
        mine = {n: run.metrics[key] for n, key in numbers(pattern, run.metrics).items()}
        having += bool(mine)
        for n, value in mine.items():
            values.setdefault(n if bins is None else (n - 0.5) / bins, []).append(float(value))
    return _line(name, {x: v for x, v in values.items() if bins is None or 2 * len(v) >= having})


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
    return Line(name, x, median, low, high, max((i.n for i in found), default=0))


def canvas_of(figure: Figure, found: Sequence[Line], task: str, palette: Sequence[str] = ()) -> Canvas:
    """The figure, open, to be drawn on and saved in any format.

    Args:
        palette: names whose places say their colours, so that a method looks the same in all figures of a paper.
    """
    looks, names = told_apart([line.label for line in found], palette), [name_of(line.label) for line in found]
    log, levels = "y" in figure.log, [line for line in found if _is_level(figure, line)]
    paths = [line for line in found if line not in levels] or found
    looks = over_each_other(found, looks, log)
    size = room(found, names, SAMPLE if repeated(looks) else 0.0)
    with matplotlib.rc_context(STYLE):
        canvas, axes = plt.subplots(figsize=SIZE, layout="constrained")
        scales(axes, figure, paths)
        _published(axes, figure, found, looks)
        for line, look in zip(found, looks):
            (_level if line in levels else _draw)(axes, line, look, log, len(found))
        if figure.numbered is not None and figure.numbered.diagonal is not None:
            axes.plot([0, 1], [0, 1], color=INK, zorder=1, **DIAGONAL)
        axes.margins(x=0.03)
        axes.autoscale_view()
        drawn = guides(axes, figure, found)
        axes.autoscale_view()
        axes.set(xlim=axes.get_xlim(), ylim=axes.get_ylim())
        words(axes, figure, task)
        _legend(axes, figure)
        ticks(axes, figure, paths, size)
        named(axes, drawn, paths, size)
        direct_labels(axes, found, looks, names, size)
    return canvas


def _is_level(figure: Figure, line: Line) -> bool:
    """Has a line one point alone, which a logarithmic axis cannot show, as that of a method without iterations?"""
    return len(line.x) == 1 and "x" in figure.log and line.x[0] <= 0


def _draw(axes: Axes, line: Line, look: Look, log: bool, lines: int) -> None:
    """A line with its band, and the medians beside it."""
    every = max(1, len(line.x) // MARKERS) if len(line.x) <= MARKED else None
    marks: dict[str, Any] = {"marker": look.marker, "markersize": 4, "markevery": every, "markerfacecolor": look.face}
    axes.plot(line.x, line.median, color=look.colour, linestyle=look.dashes, linewidth=1.6, **(marks if every else {}))
    if not any(math.isnan(v) for v in line.low):
        floor = min(line.median) / 10 if log else -math.inf
        alpha = 0.18 if lines <= CROWD else 0.1
        band = axes.fill_between(
            line.x, np.maximum(line.low, floor), line.high, color=look.colour, alpha=alpha, linewidth=0
        )
        if lines > CROWD:
            band.set(linewidth=0.5, edgecolor=(*to_rgb(look.colour), 0.5))
    dark = [0.5 * part for part in to_rgb(look.colour)]  # seen on the line itself
    for one, dashes in zip(line.beside, DASHED):
        axes.plot(one.x, one.median, color=dark, linestyle=dashes, linewidth=1.2)


def _level(axes: Axes, line: Line, look: Look, log: bool, lines: int) -> None:
    """A dotted line across, with its band."""
    axes.axhline(line.median[0], color=look.colour, linestyle=(0, (1, 1.5)), linewidth=1.4)
    if not math.isnan(line.low[0]):
        axes.axhspan(line.low[0], line.high[0], color=look.colour, alpha=0.1, linewidth=0)


def _legend(axes: Axes, figure: Figure) -> None:
    """What is dashed, the diagonal and the published points, above the axes."""
    spec = figure.numbered
    handles: dict[str, dict[str, Any]] = {}
    if spec is not None:
        handles = {literal(name): {"linestyle": dashes, "linewidth": 1.2} for name, dashes in zip(spec.beside, DASHED)}
        if spec.diagonal is not None:
            handles[literal(spec.diagonal)] = DIAGONAL
    if figure.published is not None:
        handles["published"] = OPEN
    if handles:
        drawn = [plt.Line2D([], [], color=INK, **look) for look in handles.values()]
        above: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0.0, 1.0), "ncols": 3, "borderaxespad": 0.2}
        axes.legend(drawn, list(handles), frameon=False, fontsize=9, **above)


def _published(axes: Axes, figure: Figure, found: Sequence[Line], looks: Sequence[Look]) -> None:
    """Open squares in the colour of the line that the points belong to."""
    by_label = {line.label: look.colour for line, look in zip(found, looks)}
    for name, points in (figure.published.points if figure.published else {}).items():
        x, y = zip(*points)
        colour = by_label.get(name, INK)
        axes.plot(x, y, "s", alpha=0.75, color=colour, markerfacecolor="none", markersize=9, markeredgewidth=1)
