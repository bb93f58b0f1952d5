"""Curves of own runs as one figure: a line a job, medians over seeds with a band, in a file of its own."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import matplotlib
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from bench.errors import UserError, allowed_list, nearest
from bench.judge.own import OwnJob, Report
from bench.judge.papers import Figure
from bench.report.figures import canvas_of
from bench.report.looks import MOST, SIZE, Line
from bench.report.medians import RANGE, median_interval
from bench.report.naming import name_of, swept
from bench.report.plotting import STYLE, literal
from bench.run.curve import read_metrics
from bench.run.notes import note

OVER = ("step", "epoch", "gradient_evaluations")
FORMATS = (".svg", ".png", ".pdf")
MARK = "claimbench scripts/runs.py plot"  # in the metadata of every file written
DOTS = 200  # an inch, of png
NAMES = 1.2  # inches beside the axes that lines' names have without widening the figure
Row = dict[str, Any]


@dataclass(frozen=True)
class Plot:
    """What to draw. at: rows of the curves that have these values, as {cost: 0.001}."""

    metric: str | None
    over: str
    log: Literal["", "x", "y", "xy"]
    at: Mapping[str, Any]


def draw(jobs: Sequence[OwnJob], plot: Plot, out: Path | None, force: bool, report: Report) -> tuple[Path, str]:
    """Write the figure; its path, and a sentence that says what it shows.

    Args:
        out: ends in svg, png or pdf; None: named after the metric and the methods, in the current folder.

    Raises:
        UserError: curves that cannot be drawn together, or a file in the way that this did not write.
    """
    tasks = {job.names["task"] for job in jobs}
    if len(tasks) > 1:
        raise UserError(
            f"the jobs are of several tasks ({allowed_list(tasks)}), which share no metric; plot those of one"
        )
    if len(jobs) > MOST:
        raise UserError(f"{len(jobs)} jobs: at most {MOST} lines can be told apart in one figure")
    (task,) = tasks
    curves = [_curves(job, plot.at, report) for job in jobs]
    metric = _metric(task, plot, [row for own in curves for rows in own.values() for row in rows])
    paths = swept(jobs) or ["method"]
    above = 0.0 if "x" in plot.log else -math.inf
    lines = [_line(name_of(job, paths), own, plot.over, metric, above) for job, own in zip(jobs, curves)]
    lines = [line for line in lines if line.x]
    if not lines:
        raise UserError(f"no row of the curves has both {plot.over} and {metric}; --over takes {', '.join(OVER)}")
    out = out or Path(f"{metric}-{'-'.join(dict.fromkeys(job.names['method'] for job in jobs))}.svg")
    _check(out, force)
    said = _sentence(lines)
    figure = Figure.model_construct(experiment="", caption=said, x=plot.over, y=metric, log=plot.log)
    _save(figure, lines, task, out)
    return out, said


def _curves(job: OwnJob, at: Mapping[str, Any], report: Report) -> dict[int, list[Row]]:
    """The rows of each seed that finished; the others are reported."""
    found = {}
    for run in job.runs:
        if run.state != "finished":
            report(f"{run.folder}: left out, {run.state}")
            continue
        try:
            rows = read_metrics(run.folder, (run.result or {}).get("curve"))
        except (OSError, ValueError) as error:
            report(f"{run.folder}: left out, its curve cannot be read ({error})")
            continue
        found[run.seed] = [row for row in rows if all(row.get(name) == value for name, value in at.items())]
    return found


def _metric(task: str, plot: Plot, rows: Sequence[Row]) -> str:
    """The metric asked for, or the first of the task's with a better direction that the curves hold.

    Raises:
        UserError: the curves hold no such numbers.
    """
    known = dict.fromkeys(name for row in rows for name, value in row.items() if isinstance(value, int | float))
    if not rows:
        raise UserError("no seed that finished has a row to draw" + (f" with {_text(plot.at)}" if plot.at else ""))
    if plot.metric is None:
        metrics = note(task).metrics
        chosen = [name for name, metric in metrics.items() if metric.better and name in known]
        return next(iter(chosen), next(iter(known)))
    if plot.metric not in known:
        close = nearest(plot.metric, known)
        raise UserError(f"--metric {plot.metric}: not in the curves; there are: {allowed_list(known)}{close}")
    return plot.metric


def _line(label: str, curves: Mapping[int, Sequence[Row]], over: str, metric: str, above: float) -> Line:
    """The medians at each x beyond `above`."""
    points: dict[float, list[float]] = {}
    seeds = 0
    for rows in curves.values():
        mine = [(row[over], row[metric], row) for row in rows if _numbers(row, over, metric) and row[over] > above]
        seeds += bool(mine)
        if len({x for x, _, _ in mine}) < len(mine):
            raise UserError(_several(label, over, metric, [row for _, _, row in mine]))
        for x, y, _ in mine:
            points.setdefault(float(x), []).append(float(y))
    x = sorted(points)
    found = [median_interval(points[at]) for at in x]
    return Line(label, x, [i.estimate for i in found], [i.low for i in found], [i.high for i in found], seeds)


def _numbers(row: Row, *names: str) -> bool:
    return all(isinstance(row.get(name), int | float) for name in names)


def _several(label: str, over: str, metric: str, rows: Sequence[Row]) -> str:
    """The error line for curves with several rows at one x: what they differ in."""
    first: dict[Any, Row] = {}
    differing: dict[str, Any] = {}
    for row in rows:
        other = first.setdefault(row[over], row)
        differing |= {k: v for k, v in row.items() if other.get(k) != v and k != metric}
    name = min(differing, key=lambda k: len({row.get(k) for row in rows}), default=None)
    hint = f"; choose some with --at {name}={differing[name]}" if name else ""
    return f"{label}: its curve has several rows at one {over}{hint}"


def _check(out: Path, force: bool) -> None:
    if out.suffix not in FORMATS:
        raise UserError(f"--out {out}: ends in {', '.join(FORMATS)}")
    if not out.parent.is_dir():
        raise UserError(f"--out {out}: no such folder {out.parent}")
    if out.exists() and not force and (out.is_dir() or MARK.encode() not in out.read_bytes()):
        raise UserError(
            f"{out}: is there and was not written by this program; --force overwrites it, --out FILE names another"
        )


def _sentence(lines: Sequence[Line]) -> str:
    """medians over 3 seeds, bands: range"""
    numbers = sorted({line.seeds for line in lines})
    over = "-".join(map(str, dict.fromkeys((numbers[0], numbers[-1]))))
    said = f"medians over {over} seed{'s' * (numbers[-1] != 1)}"
    if numbers[-1] == 1:
        return said.replace("medians over ", "")
    enough = {median_interval(list(range(number))).how != RANGE for number in numbers if number > 1}
    band = {True: "95 % interval", False: "range"}
    return f"{said}, band: {' or '.join(band[e] for e in sorted(enough))}"


def _save(figure: Figure, lines: Sequence[Line], task: str, out: Path) -> None:
    metadata = {
        ".svg": {"Creator": MARK, "Date": None},
        ".png": {"Software": MARK},
        ".pdf": {"Creator": MARK, "CreationDate": None},
    }[out.suffix]
    with matplotlib.rc_context(STYLE | {"savefig.transparent": False}):
        canvas = canvas_of(figure, lines, task)
        (axes,) = canvas.axes
        axes.set_title(literal(figure.caption), loc="left", fontsize=8)
        _widen(canvas, axes)
        try:
            canvas.savefig(out, dpi=DOTS, metadata=metadata)
        finally:
            plt.close(canvas)


def _widen(canvas: Canvas, axes: Axes) -> None:
    """Long names at the lines' ends make the figure wider, not the axes narrower."""
    own = canvas.get_figwidth()
    canvas.set_figwidth(10 * SIZE[0])  # room for any name while it is measured
    canvas.draw_without_rendering()
    widest = max(text.get_window_extent().width for text in axes.texts) / canvas.dpi
    canvas.set_figwidth(own + max(0.0, widest - NAMES))


def _text(at: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in at.items())
