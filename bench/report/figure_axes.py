"""The axes of line figures: their scales, ticks that can be read and do not run into each other, the words beside them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullFormatter
from numpy.typing import ArrayLike

from bench.judge.papers import Figure
from bench.report.looks import SIZE, Line
from bench.report.plotting import axis_label, literal

LETTERS = 30  # of a line beside the vertical axis
MOST = 6  # labels of an axis, about
ROUND = [1, 2, 2.5, 5, 10]
EXACT = 7  # points of a logarithmic axis, up to which they are its ticks
APART = 7.0  # points between two tick labels
BESIDE = 62.0  # points of a figure's width that the vertical axis' labels take


@cache
def width_of(text: str, size: float = 10, weight: str = "normal") -> float:
    """Points that a text takes; a formula's letters are counted as they are typed."""
    font = FontProperties(size=size, weight=weight)
    return text_to_path.get_text_width_height_descent(text.replace("$", ""), font, ismath=False)[0]


def room(found: Sequence[Line], names: Sequence[str], sample: float = 0.0) -> tuple[float, float]:
    """About how wide and how high the axes of a figure are, in points, beside the lines' names."""
    widest = max((width_of(name, 9, "bold") for name in names), default=0.0)
    return max(SIZE[0] * 72 - BESIDE - widest - sample - 12, 90.0), SIZE[1] * 72 * 0.8


def scales(axes: Axes, figure: Figure, found: Sequence[Line]) -> None:
    """Logarithmic where the figure says so; an axis that begins at 0 is linear up to its smallest positive value."""
    x = [v for line in found for v in line.x]
    if "x" in figure.log and (above := [v for v in x if v > 0]):
        if min(x) == 0:
            axes.set_xscale("symlog", linthresh=min(above), linscale=0.5)
        else:
            axes.set_xscale("log")
    if "y" in figure.log:
        axes.set_yscale("log")


def ticks(axes: Axes, figure: Figure, found: Sequence[Line], size: tuple[float, float]) -> None:
    """Set the ticks of both axes; the limits must be final.

    Args:
        size: of the axes, in points.
    """
    x = sorted({v for line in found for v in line.x})
    if axes.get_xscale() == "linear":
        _linear(axes.xaxis, integer=all(v == int(v) for v in x), room=size[0])
    else:
        given = x if len(x) <= EXACT and all(map(_round, x)) else None
        places = given or log_ticks(*axes.get_xlim())
        labels = [0.0, *places] if axes.get_xscale() == "symlog" and 0.0 not in places else places
        _fixed(axes.xaxis, labels, _spaced(axes, labels, size[0]))
    if axes.get_yscale() == "linear":
        _linear(axes.yaxis, integer=False, room=size[1] * 3)
    else:
        places = log_ticks(*axes.get_ylim())
        _fixed(axes.yaxis, places, texts(places))


def _round(value: float) -> bool:
    """Two significant digits at most, or a power of two."""
    return float(f"{value:.2g}") == value or (value > 0 and math.log2(value) % 1 == 0)


def _linear(axis: Axis, integer: bool, room: float) -> None:
    """Round numbers, thousands set apart; fewer where the axis is short."""
    low, high = axis.get_view_interval()
    widest = width_of(f"{high:,.0f}") if high >= 1000 else width_of("0.00")
    most = min(MOST, max(2, int(room / (widest + 2 * APART))))
    axis.set_major_locator(MaxNLocator(most, steps=ROUND, integer=integer))
    if max(abs(low), abs(high)) >= 1000:
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))


def _fixed(axis: Axis, places: Sequence[float], labels: Sequence[str]) -> None:
    axis.set_major_locator(FixedLocator(list(places)))
    axis.set_ticklabels(labels)
    axis.set_minor_formatter(NullFormatter())


def log_ticks(low: float, high: float) -> list[float]:
    """Ticks of a logarithmic axis from low to high, two or more: round numbers below a decade, then 1, 2 and 5, then powers of ten."""
    decades = math.log10(high / low)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    if decades >= 3.5:
        step = math.ceil(len(powers) / (MOST + 1))
        return [v for k in powers if k % step == 0 and low <= (v := 10.0**k) <= high]
    within = lambda values: [v for v in values if low <= v <= high]  # noqa: E731
    for some in ((1, 10), (1, 3, 10), (1, 2, 5, 10)):
        found = within(sorted({float(f"{m}e{k}") for k in powers for m in some}))
        if len(found) >= 4 or (len(found) == 3 and (decades > 1.2 or some[1] == 2)):
            return found
    return within(v for v in MaxNLocator(5, steps=ROUND).tick_values(low, high) if v > 0)


def texts(places: Sequence[float]) -> list[str]:
    """Plain numbers where all of them are short, else powers of ten."""
    if all(v == 0 or 1e-4 <= abs(v) < 1e6 for v in places):
        return [f"{v:,.10g}" for v in places]
    return [_power(v) for v in places]


def _power(value: float) -> str:
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(value) + 1e-9)
    mantissa = f"{value / 10.0**exponent:.6g}"
    times = "" if mantissa == "1" else rf"{mantissa} \cdot "
    return rf"${times}10^{{{exponent}}}$"


def _spaced(axes: Axes, places: Sequence[float], room: float) -> list[str]:
    """The labels of ticks, empty where they would run into the next one that is written; the last tick has its own."""
    to_axes = axes.transData + axes.transAxes.inverted()
    at = [room * float(to_axes.transform((v, axes.get_ylim()[1]))[0]) for v in places]
    labels, wanted, last = [""] * len(places), texts(places), math.inf
    for k in reversed(range(len(places))):
        half = width_of(wanted[k]) / 2
        if at[k] + half + APART <= last:
            labels[k], last = wanted[k], at[k] - half
    return labels


def words(axes: Axes, figure: Figure, task: str) -> None:
    """What stands on the axes; of numbered metrics as the figure says it."""
    if figure.numbered is not None:
        axes.set_xlabel(literal(figure.x))
        axes.set_ylabel(fill(literal(figure.numbered.label), LETTERS))
        return
    axes.set_xlabel(axis_label(figure.x, task))
    axes.set_ylabel(fill(axis_label(figure.y, task) + (", ratio" if figure.relative_to else ""), LETTERS))


def fractions(axes: Axes, x: ArrayLike, y: ArrayLike) -> np.ndarray:
    """Points [n, 2] in the axes' unit; the limits must be final."""
    return (axes.transData + axes.transAxes.inverted()).transform(np.column_stack([x, y]))
