"""Dashed lines of the slopes that a theory says, beside the lines that it speaks of, each with its name where nothing strikes it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from bench.judge.papers import Figure
from bench.judge.shown import Theory
from bench.report.figure_axes import fractions, width_of
from bench.report.looks import Line
from bench.report.plotting import INK, formula

BESIDE = 0.045  # of the axes' height between a line and its guide
HEIGHT = 11.0  # points of a name
STEPS = 60  # points of a line that names keep away from
Guide = tuple[str, np.ndarray, np.ndarray]
Clouds = Sequence[np.ndarray]


def guides(axes: Axes, figure: Figure, found: Sequence[Line]) -> list[Guide]:
    """Draw the guides of a figure: their names and points x and y. An upper bound lies above its line, others below."""
    by_label: dict[str, Line] = {line.label: line for line in found}
    drawn: list[Guide] = []
    if not figure.theory:
        return drawn
    low, high = np.log(axes.get_ylim())
    for name, theory in figure.theory.items():
        line = by_label.get(theory.of)
        points = _points(line, theory, BESIDE * (high - low)) if line is not None else None
        if points is not None:
            x, y = points
            axes.plot(x, y, color=INK, linestyle=(0, (4, 3)), linewidth=1, alpha=0.75)
            drawn.append((f"{formula(name)}, bound" if theory.bound else formula(name), x, y))
    return drawn


def _points(line: Line, theory: Theory, gap: float) -> tuple[np.ndarray, np.ndarray] | None:
    """The ends of a guide, a gap from the nearest of its line's points."""
    at, median = np.array(line.x), np.array(line.median)
    inside = (at > 0) & (median > 0)
    if theory.over is not None:
        inside &= (at >= theory.over[0]) & (at <= theory.over[1])
    if inside.sum() < 2:
        return None
    x, y = np.log(at[inside]), np.log(median[inside])
    free = y - theory.slope * x
    level = free.max() + gap if theory.bound else free.min() - gap
    ends = x[[0, -1]]
    return np.exp(ends), np.exp(level + theory.slope * ends)


def named(axes: Axes, drawn: Sequence[Guide], found: Sequence[Line], size: tuple[float, float]) -> None:
    """Write each guide's name beside it where the fewest lines pass, bands after lines.

    Args:
        size: of the axes, in points.
    """
    lines = [_dense(axes, line.x, line.median) for line in found]
    edges = [_dense(axes, line.x, end) for line in found for end in (line.low, line.high)]
    taken = [_dense(axes, x, y) for _, x, y in drawn]
    for name, x, y in drawn:
        half = np.array([width_of(name, 9) / 2 / size[0], HEIGHT / 2 / size[1]])
        start, end = fractions(axes, x, y)
        away = np.array([0.0, half[1] + 5 / size[1]])
        place = min(_places(start, end, away), key=lambda place: _cost(place, half, lines, edges, taken))
        axes.annotate(name, (place[0], place[1]), xycoords="axes fraction", ha="center", va="center", fontsize=9)
        taken.append(place + half * np.array(list(itertools.product((-0.8, 0, 0.8), repeat=2))))


def _places(start: np.ndarray, end: np.ndarray, away: np.ndarray) -> list[np.ndarray]:
    """Where a name could stand, the best first: near the guide's middle, below it and above it."""
    along = sorted(np.linspace(0.1, 0.9, 9), key=lambda t: abs(t - 0.5))
    found = itertools.product((1.0, 1.6, 2.4), (-1, 1), along)
    return [start + t * (end - start) + side * far * away for far, side, t in found]


def _cost(place: np.ndarray, half: np.ndarray, lines: Clouds, edges: Clouds, taken: Clouds) -> float:
    """How many points of lines lie under a name there; much where it leaves the axes."""
    inside = lambda clouds: sum(int((np.abs(c - place) < half + 0.012).all(axis=1).sum()) for c in clouds)  # noqa: E731
    outside = ((place - half < 0.0) | (place + half > 1.0)).any()
    return 10.0 * inside(lines) + 10.0 * inside(taken) + 1.0 * inside(edges) + 1e6 * outside


def _dense(axes: Axes, x: ArrayLike, y: ArrayLike) -> np.ndarray:
    """Points [n, 2] all along a line, in the axes' unit."""
    given = fractions(axes, x, y)
    given = given[np.isfinite(given).all(axis=1)]
    if len(given) < 2:
        return given.reshape(-1, 2)
    at = np.linspace(0, len(given) - 1, STEPS * 2)
    return np.column_stack([np.interp(at, np.arange(len(given)), given[:, k]) for k in (0, 1)])
