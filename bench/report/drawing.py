"""A figure of any kind from the runs of its experiment: what it is made of, and how it is drawn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure as Canvas

from bench.judge.archive import Record
from bench.judge.papers import Figure
from bench.report import clouds, figures, heatmaps, scatter, sheets
from bench.report.plotting import svg

PANELS = {"scatter": scatter, "map": heatmaps, "cloud": clouds, "sheet": sheets}


def palette(by_name: Mapping[str, Iterable[Record]]) -> list[str]:
    """The methods of a paper's runs, whose places say their colours.

    Args:
        by_name: the runs by their experiment and scale.
    """
    return list(dict.fromkeys(run.method for name in sorted(by_name) for run in by_name[name]))


def parts(figure: Figure, runs: Iterable[Record]) -> list[Any]:
    """The lines or panels of a figure; none where no run has what it shows, or each line would be one point: that is a table's."""
    module = PANELS.get(figure.kind)
    if module:
        return module.panels(figure, runs)
    found = figures.lines(figure, runs)
    return found if any(len(line.x) > 1 for line in found) else []


def canvas_of(figure: Figure, found: Sequence[Any], task: str, colours: Sequence[str] = ()) -> Canvas:
    """The figure, open; `found` are its parts, `colours` the paper's palette."""
    module = PANELS.get(figure.kind)
    return module.canvas_of(figure, found, task) if module else figures.canvas_of(figure, found, task, colours)


def draw(figure: Figure, found: Sequence[Any], task: str, colours: Sequence[str] = ()) -> str:
    """The figure as svg text; the same parts give the same bytes."""
    return svg(canvas_of(figure, found, task, colours))
