"""Clouds of points inside an outline as svg: two columns of the curve, a panel for each value of a third, the boundary from two more."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

import matplotlib
from matplotlib import pyplot as plt
from matplotlib.figure import Figure as Canvas

from bench.judge.archive import Record
from bench.judge.papers import Figure
from bench.report.plotting import INK, STYLE, axis_label, literal, points

PANEL = (2.2, 2.9)  # inches
COLOUR = "#0077BB"
AREA = 2.5  # square points


@dataclass(frozen=True)
class Cloud:
    """Points x, y of all runs of a panel, and the closed line around them."""

    label: str
    x: list[float]
    y: list[float]
    rim: list[tuple[float, ...]]
    seeds: int


def panels(figure: Figure, runs: Iterable[Record]) -> list[Cloud]:
    """The panels of a figure with an `outline`, in the order of their first rows; every run that has such rows adds its points."""
    assert figure.outline is not None
    runs = list(runs)
    rims = points(figure, runs, *figure.outline)
    found = []
    for name, by_run in points(figure, runs, figure.x, figure.y).items():
        x, y = zip(*chain.from_iterable(by_run.values()))
        rim = next(iter(rims.get(name, {}).values()), [])  # that of one run: all have the same
        found.append(Cloud(name, list(x), list(y), rim, len(by_run)))
    return found


def canvas_of(figure: Figure, found: Sequence[Cloud], task: str) -> Canvas:
    """The clouds, open, to be saved in any format; all panels are on one scale."""
    with matplotlib.rc_context(STYLE | {"axes.grid": False}):
        size = PANEL[0] * len(found) + 0.4, PANEL[1]
        canvas, axes = plt.subplots(
            1, len(found), figsize=size, layout="constrained", squeeze=False, sharex=True, sharey=True
        )
        for panel, each in zip(found, axes[0]):
            if panel.rim:
                each.plot(*zip(*panel.rim), color=INK, linewidth=0.9)
            each.scatter(panel.x, panel.y, AREA, COLOUR, alpha=0.45, linewidths=0)
            each.set_title(literal(panel.label), fontsize=10)
            each.set_xlabel(axis_label(figure.x, task), fontsize=9)
            each.set(aspect="equal")
        axes[0, 0].set_ylabel(axis_label(figure.y, task), fontsize=9)
    return canvas
