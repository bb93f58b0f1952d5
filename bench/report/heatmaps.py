"""Heat maps of experiments as svg: a metric over two columns, median over seeds, a panel for each value of a third; the best cell is framed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from textwrap import fill

import matplotlib
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import Normalize
from matplotlib.contour import QuadContourSet
from matplotlib.figure import Figure as Canvas
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from bench.judge.archive import Record
from bench.judge.papers import Figure
from bench.report.figure_axes import ROUND
from bench.report.plotting import INK, STYLE, axis_label, group, literal, name_of, rows
from bench.run.notes import note

PANEL = (2.9, 2.7)  # inches
CELLS = 12  # values of an axis, up to which each has a cell of its own and its number is written into it
LEVELS = 11  # of larger maps
LETTERS = 26  # of a line beside the bar


@dataclass(frozen=True)
class Panel:
    """Values [len(y), len(x)], the median over seeds at each pair; NaN where no run has one."""

    label: str
    x: list[float]
    y: list[float]
    values: np.ndarray
    seeds: int


def panels(figure: Figure, runs: Iterable[Record]) -> list[Panel]:
    """The panels of a heat map from an experiment's runs, in the order of their first rows."""
    assert figure.value is not None
    found: dict[str, dict[tuple[float, float], list[float]]] = {}
    for run, row in rows(figure, runs, figure.x, figure.y, figure.value):
        cell = found.setdefault(group(figure, run, row), {}).setdefault(
            (float(row[figure.x]), float(row[figure.y])), []
        )
        cell.append(float(row[figure.value]))
    return [_panel(name, cells) for name, cells in found.items()]


def _panel(name: str, cells: dict[tuple[float, float], list[float]]) -> Panel:
    x, y = (sorted({pair[k] for pair in cells}) for k in (0, 1))
    values = np.full((len(y), len(x)), np.nan)
    for (a, b), seeds in cells.items():
        values[y.index(b), x.index(a)] = np.median(seeds)
    return Panel(name, x, y, values, max(len(seeds) for seeds in cells.values()))


def canvas_of(figure: Figure, found: Sequence[Panel], task: str) -> Canvas:
    """The heat map, open, to be saved in any format; all panels share one scale, which the bar beside them names.

    Values of both signs get a scale that is white at 0, and as long on either side.
    """
    assert figure.value is not None
    better = note(task).metrics[figure.value].better
    colours, norm = scale(found)
    with matplotlib.rc_context(STYLE | {"axes.grid": False, "axes.spines.top": True, "axes.spines.right": True}):
        size = PANEL[0] * len(found) + 0.9, PANEL[1]
        canvas, axes = plt.subplots(1, len(found), figsize=size, layout="constrained", squeeze=False, sharey=True)
        for panel, each in zip(found, axes[0]):
            cells = max(len(panel.x), len(panel.y)) <= CELLS
            image = (
                _cells(each, panel, colours, norm, better) if cells else _contours(each, panel, colours, norm, figure)
            )
            each.set_title(literal(name_of(panel.label)).replace("_", " "), fontsize=10)
            each.set_xlabel(axis_label(figure.x, task))
        axes[0, 0].set_ylabel(axis_label(figure.y, task))
        bar = canvas.colorbar(image, ax=list(axes[0]), pad=0.015, aspect=18, ticks=MaxNLocator(6, steps=ROUND))
        bar.set_label(fill(axis_label(figure.value, task), LETTERS))
        bar.ax.tick_params(labelsize=8)
        bar.outline.set_linewidth(0.5)
    return canvas


def scale(found: Sequence[Panel]) -> tuple[str, Normalize]:
    """Colours and limits that all panels share."""
    low, high = min(np.nanmin(p.values) for p in found), max(np.nanmax(p.values) for p in found)
    if low < 0 < high:
        return "RdBu", Normalize(-max(-low, high), max(-low, high))
    return "viridis", Normalize(low, high if high > low else low + 1)


def _cells(axes: Axes, panel: Panel, colours: str, norm: Normalize, better: str | None) -> QuadMesh:
    """A cell of equal size for each pair of values, its number inside."""
    image = axes.pcolormesh(panel.values, cmap=colours, norm=norm, edgecolor="face", linewidth=0.3)
    axes.set_xticks(np.arange(len(panel.x)) + 0.5, [f"{v:g}" for v in panel.x])
    axes.set_yticks(np.arange(len(panel.y)) + 0.5, [f"{v:g}" for v in panel.y])
    axes.tick_params(length=0)
    for (row, column), value in np.ndenumerate(panel.values):
        if value == value:
            red, green, blue, _ = image.cmap(norm(value))
            ink = "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "white"
            axes.text(column + 0.5, row + 0.5, f"{value:.3g}", ha="center", va="center", fontsize=7, color=ink)
    if better is not None:
        chosen = (np.nanargmax if better == "higher" else np.nanargmin)(panel.values)
        row, column = map(int, np.unravel_index(chosen, panel.values.shape))
        axes.add_patch(Rectangle((column, row), 1, 1, fill=False, edgecolor="#EE7733", linewidth=2, clip_on=False))
    return image


def _contours(axes: Axes, panel: Panel, colours: str, norm: Normalize, figure: Figure) -> QuadContourSet:
    """Filled contours; the line at 0 is drawn where the values have both signs."""
    assert norm.vmin is not None
    assert norm.vmax is not None
    levels = np.linspace(norm.vmin, norm.vmax, LEVELS + 1)
    image = axes.contourf(panel.x, panel.y, panel.values, levels=levels, cmap=colours, norm=norm)
    if np.nanmin(panel.values) < 0 < np.nanmax(panel.values):
        axes.contour(panel.x, panel.y, panel.values, levels=[0.0], colors=INK, linewidths=1)
    axes.set_xscale("log" if "x" in figure.log else "linear")
    axes.set_yscale("log" if "y" in figure.log else "linear")
    return image
