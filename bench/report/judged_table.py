"""The figure of verdicts on a table: each part's interval against what its claim accepts, as svg and png."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from bench.judge.parts import Part
from bench.judge.table import TableVerdict
from bench.report.plotting import INK, STYLE, literal, svg

COLOURS = {"reproduced": "#117733", "not reproduced": "#CC3311"}
OTHER = "#997700"
ACCEPTED = "#117733"
MOST = 8  # parts of a claim that are drawn
WIDTH, ROW, HEAD = 7.2, 0.32, 0.62  # inches
DOTS = 200  # an inch


def save(verdicts: Sequence[TableVerdict], stem: Path) -> list[Path]:
    """Write stem.svg and stem.png; nothing, where no claim has an interval."""
    drawn = [v for v in verdicts if v.parts]
    if not drawn:
        return []
    with matplotlib.rc_context(STYLE | {"axes.grid": False}):
        canvas = _canvas(drawn)
        stem.parent.mkdir(parents=True, exist_ok=True)
        paths = [stem.with_name(f"{stem.name}.{kind}") for kind in ("svg", "png")]
        canvas.savefig(paths[1], format="png", dpi=DOTS, transparent=False, facecolor="white")
        paths[0].write_text(svg(canvas), encoding="utf-8")
    return paths


def _canvas(drawn: Sequence[TableVerdict]) -> Canvas:
    sizes = [HEAD + ROW * min(len(v.parts), MOST) for v in drawn]
    canvas, axes = plt.subplots(
        len(drawn), 1, figsize=(WIDTH, sum(sizes)), layout="constrained", squeeze=False, height_ratios=sizes
    )
    for each, verdict in zip(axes[:, 0], drawn):
        _claim(each, verdict)
    return canvas


def _claim(axes: Axes, verdict: TableVerdict) -> None:
    """A row a part; what is accepted is shaded, an end without bound leaves the frame."""
    parts = verdict.parts[:MOST]
    low, high = _limits(parts)
    colour = COLOURS.get(verdict.verdict, OTHER)
    for row, part in enumerate(parts):
        inside = np.clip(part.accept, low, high)
        axes.fill_betweenx([row - 0.42, row + 0.42], *inside, color=ACCEPTED, alpha=0.15, linewidth=0)
        ends = np.clip([part.interval.low, part.interval.high], low, high)
        axes.plot(ends, [row, row], color=colour, linewidth=2.2, solid_capstyle="butt")
        if math.isfinite(part.interval.estimate):
            axes.plot([part.interval.estimate], [row], "o", color=colour, markersize=5)
    for border in {end for part in parts for end in part.accept if math.isfinite(end)}:
        axes.axvline(border, color=INK, linewidth=0.6, linestyle=(0, (4, 3)))
    axes.set(xlim=(low, high), ylim=(len(parts) - 0.5, -0.5))
    axes.set_yticks(range(len(parts)), [literal(f"{part.label}, n = {part.interval.n}") for part in parts], fontsize=8)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=8)
    more = f", {len(verdict.parts) - MOST} parts more" if len(verdict.parts) > MOST else ""
    title = f"{verdict.name}: {verdict.verdict} ({verdict.standing.word}{more})"
    axes.set_title(literal(title), fontsize=9, loc="left", color=colour)


def _limits(parts: Sequence[Part]) -> tuple[float, float]:
    """Of what is finite: ends, estimates and borders, with a margin."""
    numbers = [
        x for p in parts for x in (p.interval.low, p.interval.high, p.interval.estimate, *p.accept) if math.isfinite(x)
    ]
    low, high = (min(numbers), max(numbers)) if numbers else (0.0, 1.0)
    margin = 0.12 * (high - low) or 0.1 * abs(high) or 1.0
    return low - margin, high + margin
