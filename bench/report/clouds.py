"""Clouds of points inside an outline as svg: two columns of the curve, a panel for each value of a third, the boundary from two more."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import matplotlib
from matplotlib import pyplot as plt

from bench.judge.archive import Record
from bench.judge.papers import Figure
from bench.report.plotting import INK, STYLE, axis_label, group, literal, rows, svg

PANEL = (2.2, 2.9)  # inches
COLOUR = "#0077BB"
AREA = 2.5  # square points


@dataclass(frozen=True)
class Cloud:
    """Points x, y of all runs of a panel, and the closed line around them."""

    label: str
    x: list[float]
    y: list[float]
    rim: list[tuple[float, float]]
    seeds: int


def panels(figure: Figure, runs: Iterable[Record]) -> list[Cloud]:
    """The panels of a figure with an `outline`, in the order of their first rows; every run that has such rows adds its points."""
    assert figure.outline is not None
    runs = list(runs)
    points: dict[str, list[tuple[float, float]]] = {}
    keys: dict[str, set[tuple[str, int]]] = {}
    for run, row in rows(figure, runs, figure.x, figure.y):
        name = group(figure, run, row)
        points.setdefault(name, []).append((float(row[figure.x]), float(row[figure.y])))
        keys.setdefault(name, set()).add((run.key, run.seed))
    rims: dict[str, dict[tuple[str, int], list[tuple[float, float]]]] = {}
    for run, row in rows(figure, runs, *figure.outline):
        mine = rims.setdefault(group(figure, run, row), {}).setdefault((run.key, run.seed), [])
        mine.append((float(row[figure.outline[0]]), float(row[figure.outline[1]])))
    first = {name: next(iter(found.values())) for name, found in rims.items()}
    return [
        Cloud(name, *(list(part) for part in zip(*found)), first.get(name, []), len(keys[name]))
        for name, found in points.items()
    ]


def draw(figure: Figure, found: Sequence[Cloud], task: str) -> str:
    """The clouds as svg text, all panels on one scale; the same points give the same bytes."""
    with matplotlib.rc_context(STYLE | {"axes.grid": False}):
        size = PANEL[0] * len(found) + 0.4, PANEL[1]
        canvas, axes = plt.subplots(
            1, len(found), figsize=size, layout="constrained", squeeze=False, sharex=True, sharey=True
        )
        for panel, each in zip(found, axes[0]):
            if panel.rim:
                each.plot(*zip(*panel.rim), color=INK, linewidth=0.9)
            each.scatter(panel.x, panel.y, AREA, COLOUR, alpha=0.45, linewidths=0, rasterized=False)
            each.set_title(literal(panel.label), fontsize=10)
            each.set_xlabel(axis_label(figure.x, task), fontsize=9)
            each.set(aspect="equal")
        axes[0, 0].set_ylabel(axis_label(figure.y, task), fontsize=9)
        return svg(canvas)
