"""Line figures of experiments as svg: medians with 95 % intervals over seeds, direct labels, colours that colour-blind readers tell apart."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from textwrap import fill
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
from bench.judge.shown import Numbered, numbers
from bench.report.looks import MARKED, SIZE, WIDER, Line, Look, direct_labels, repeated, told_apart
from bench.report.medians import median_interval
from bench.report.plotting import INK, STYLE, axis_label, group, literal, rows, shown, svg

DASHED = ((0, (4, 3)), (0, (1, 1.5)))  # what stands beside a line
LETTERS = 38  # of a line beside the vertical axis
APART = 0.13  # of the axis between two tick labels
OPEN = {"marker": "s", "linestyle": "none", "markerfacecolor": "none", "markersize": 8}  # of published points


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


def draw(figure: Figure, found: Sequence[Line], task: str, palette: Sequence[str] = ()) -> str:
    """The figure as svg text; the same lines give the same bytes.

    Args:
        palette: names whose places say their colours, so that a method looks the same in all figures of a paper.
    """
    with matplotlib.rc_context(STYLE):
        return svg(canvas_of(figure, found, task, palette))


def canvas_of(figure: Figure, found: Sequence[Line], task: str, palette: Sequence[str] = ()) -> Canvas:
    """The figure, open, to be drawn on and saved in any format; arguments as of `draw`."""
    looks = told_apart([line.label for line in found], palette)
    many = repeated(looks)
    with matplotlib.rc_context(STYLE):
        canvas, axes = plt.subplots(figsize=(SIZE[0] + WIDER * many, SIZE[1]), layout="constrained")
        _scales(axes, figure, found)
        _published(axes, figure, found, looks)
        for line, look in zip(found, looks):
            _draw(axes, line, look, "y" in figure.log)
        _theory(axes, figure, found)
        _labels_of_axes(axes, figure, task)
        direct_labels(axes, found, looks, inside=many or figure.numbered is not None)
    return canvas


def _draw(axes: Axes, line: Line, look: Look, log: bool) -> None:
    """A line with its band, and the medians beside it."""
    marker = look.marker if len(line.x) <= MARKED else ""
    more = {} if look.dashes == "-" else {"linestyle": look.dashes, "markerfacecolor": look.face}
    axes.plot(line.x, line.median, color=look.colour, marker=marker, markersize=4, linewidth=1.6, **more)
    if not any(math.isnan(v) for v in line.low):
        floor = min(line.median) / 10 if log else -math.inf
        axes.fill_between(line.x, np.maximum(line.low, floor), line.high, color=look.colour, alpha=0.18, linewidth=0)
    for one, dashes in zip(line.beside, DASHED):
        axes.plot(one.x, one.median, color=look.colour, linestyle=dashes, linewidth=1.2)


def _labels_of_axes(axes: Axes, figure: Figure, task: str) -> None:
    """The words at the axes; of numbered metrics also the diagonal, and what is dashed."""
    spec = figure.numbered
    if spec is None:
        axes.set_xlabel(axis_label(figure.x, task))
        axes.set_ylabel(fill(axis_label(figure.y, task) + (", ratio" if figure.relative_to else ""), LETTERS))
        return
    axes.set_xlabel(literal(figure.x))
    axes.set_ylabel(literal(spec.label))
    handles = {literal(name): {"linestyle": dashes, "linewidth": 1.2} for name, dashes in zip(spec.beside, DASHED)}
    if spec.diagonal is not None:
        look = {"linestyle": "-", "linewidth": 0.8, "alpha": 0.75}
        axes.plot([0, 1], [0, 1], color=INK, zorder=1, **look)
        handles[literal(spec.diagonal)] = look
    if figure.published is not None:
        handles["published"] = OPEN
    if handles:
        drawn = [plt.Line2D([], [], color=INK, **look) for look in handles.values()]
        axes.legend(drawn, list(handles), frameon=False, fontsize=9, loc="best")


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
        axes.yaxis.set_minor_formatter(LogFormatterSciNotation(labelOnlyBase=False, minor_thresholds=(1.5, 0.4)))


def _legible(ticks: Sequence[float]) -> list[str]:
    """The labels of ticks on a logarithmic axis, empty where they would run into the last one that is written; the last tick has its own."""
    place = np.log(np.array(ticks) / ticks[0]) / (math.log(ticks[-1] / ticks[0]) or 1.0)
    labels, last = [""] * len(ticks), math.inf
    for k in reversed(range(len(ticks))):
        if last - place[k] >= APART:
            labels[k], last = f"{ticks[k]:,.10g}", place[k]
    return labels


def _published(axes: Axes, figure: Figure, found: Sequence[Line], looks: Sequence[Look]) -> None:
    """Open squares in the colour of the line that the points belong to."""
    by_label = {line.label: look.colour for line, look in zip(found, looks)}
    for name, points in (figure.published.points if figure.published else {}).items():
        x, y = zip(*points)
        look = {"color": by_label.get(name, INK), "markerfacecolor": "none", "markersize": 9, "markeredgewidth": 1}
        axes.plot(x, y, "s", alpha=0.75, **look)
    if figure.published and figure.numbered is None:
        handle = plt.Line2D([], [], color=INK, **OPEN)
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
