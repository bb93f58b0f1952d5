"""Points of experiments as svg: two columns of the curve, area by a third, a panel for each value of a fourth; rays through marked points."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

import matplotlib
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.patches import Circle

from bench.judge.archive import Record
from bench.judge.papers import Figure
from bench.report.plotting import INK, STYLE, axis_label, literal, points

PANEL = (2.2, 2.9)  # inches
AREA = 90.0  # square points of the largest point of a panel
LEAST = 1.5  # of the smallest that is drawn
COLOURS = ("#0077BB", "#CC3311")  # positive, negative


@dataclass(frozen=True)
class Points:
    """Points x, y with signed sizes, and marked points (x, y, sign) on the rays from -1 to 1 through them."""

    label: str
    x: list[float]
    y: list[float]
    sizes: list[float]
    marks: list[tuple[float, ...]]
    seeds: int


def panels(figure: Figure, runs: Iterable[Record]) -> list[Points]:
    """The panels of a figure with a `size`, in the order of their first rows; every run that has such rows adds its points."""
    assert figure.size is not None
    runs = list(runs)
    marks = points(figure, runs, figure.x, figure.y, figure.marks) if figure.marks else {}
    found = []
    for name, by_run in points(figure, runs, figure.x, figure.y, figure.size).items():
        x, y, sizes = (list(part) for part in zip(*chain.from_iterable(by_run.values())))
        found.append(Points(name, x, y, sizes, list(chain.from_iterable(marks.get(name, {}).values())), len(by_run)))
    return found


def canvas_of(figure: Figure, found: Sequence[Points], task: str) -> Canvas:
    """The points, open, to be saved in any format; all panels are on the unit disc, blue is positive, red negative."""
    with matplotlib.rc_context(STYLE | {"axes.grid": False}):
        size = PANEL[0] * len(found) + 0.4, PANEL[1]
        canvas, axes = plt.subplots(1, len(found), figsize=size, layout="constrained", squeeze=False, sharey=True)
        for panel, each in zip(found, axes[0]):
            _rays(each, panel)
            order = np.argsort(np.abs(panel.sizes))[::-1]  # large points below small ones
            x, y, sizes = (np.array(part)[order] for part in (panel.x, panel.y, panel.sizes))
            most = np.abs(sizes).max() or 1.0
            colours = [COLOURS[int(s < 0)] for s in sizes]
            each.scatter(
                x, y, np.maximum(AREA * np.abs(sizes) / most, LEAST), colours, alpha=0.6, linewidths=0, zorder=3
            )
            each.set_title(literal(panel.label).replace("_", " "), fontsize=10)
            each.set_xlabel(axis_label(figure.x, task), fontsize=9)
            each.set(xlim=(-1.12, 1.12), ylim=(-1.12, 1.12), aspect="equal", xticks=[-1, 0, 1], yticks=[-1, 0, 1])
        axes[0, 0].set_ylabel(axis_label(figure.y, task), fontsize=9)
    return canvas


def _rays(axes: Axes, panel: Points) -> None:
    """The unit circle, and a dashed line through each marked point and its opposite."""
    axes.add_patch(Circle((0, 0), 1, fill=False, edgecolor=INK, linewidth=0.6, alpha=0.4))
    for x, y, sign in panel.marks:
        axes.plot([-x, x], [-y, y], color=COLOURS[int(sign < 0)], linestyle=(0, (4, 3)), linewidth=0.9, zorder=2)
        axes.plot([x], [y], color=COLOURS[int(sign < 0)], marker="x", markersize=5, zorder=4)
