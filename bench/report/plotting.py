"""What line figures and heat maps share: the style, the rows of the runs, the labels of axes, svg text that is the same for the same input."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot as plt
from matplotlib.figure import Figure as Canvas
from matplotlib.typing import RcKeyType

from bench.judge.archive import Record
from bench.judge.checks import OPTIONS
from bench.judge.groups import label
from bench.judge.papers import Figure
from bench.run.notes import note

INK = "#3b3f46"  # axes and text; the page replaces it by the colour of its own text
STYLE: dict[RcKeyType, Any] = {
    "font.family": "sans-serif",
    "font.size": 10,
    "svg.fonttype": "none",
    "svg.hashsalt": "claimbench",
    "pdf.fonttype": 42,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "grid.color": INK,
    "grid.alpha": 0.15,
    "grid.linewidth": 0.6,
    "savefig.transparent": True,
}


def rows(figure: Figure, runs: Iterable[Record], *columns: str) -> Iterator[tuple[Record, dict[str, Any]]]:
    """The rows that a figure is made of: those of the curves of its runs or, where a column is a config key or no row of a run's curve has
    them all, one row a run of its final metrics.

    With lines or panels `by` a column of the curve they are the curve's rows all the same.
    Runs that have not ended, or diverged, are left out.

    Args:
        columns: what a row must have as numbers.
    """
    keys = [name for name in columns if "." in name]
    alone = "." in figure.by or figure.by in OPTIONS
    for run in shown(figure, runs):
        given = {name: run.get(name) for name in keys}
        final = alone and (keys or not any(set(columns) <= row.keys() for row in run.curve))
        for row in [run.metrics | given] if final else (own | given for own in run.curve):
            if _matches(row, figure.at) and all(isinstance(row.get(name), int | float) for name in columns):
                yield run, row


def shown(figure: Figure, runs: Iterable[Record]) -> Iterator[Record]:
    """The runs that a figure is of; those that have not ended, or diverged, are left out."""
    return (run for run in runs if run.ended and not run.diverged and _matches(run, figure.only))


def group(figure: Figure, run: Record, row: Mapping[str, Any]) -> str:
    """The label of the line or panel that a row belongs to: its value of `by`, a column of the curve, an option or a config key."""
    return label({figure.by: row[figure.by] if figure.by in row else run.get(figure.by)})


def points(
    figure: Figure, runs: Iterable[Record], *columns: str
) -> dict[str, dict[tuple[str, int], list[tuple[float, ...]]]]:
    """The numbers that rows have in these columns, by the label of their panel and the run (key, seed) that they are of, in order."""
    found: dict[str, dict[tuple[str, int], list[tuple[float, ...]]]] = {}
    for run, row in rows(figure, runs, *columns):
        mine = found.setdefault(group(figure, run, row), {}).setdefault((run.key, run.seed), [])
        mine.append(tuple(float(row[name]) for name in columns))
    return found


def _matches(of: Record | dict[str, Any], where: Mapping[str, Any]) -> bool:
    return all(of.get(k) in (v if isinstance(v, list) else [v]) for k, v in where.items())


def axis_label(name: str, task: str) -> str:
    """A metric's label, or the last part of a config key or column in words."""
    metrics = note(task).metrics
    return formula(metrics[name].label if name in metrics else name.rpartition(".")[2].replace("_", " "))


def formula(text: str) -> str:
    """The text with its powers and indices set as such: T^-1/3, lam^2, T_2."""
    raised = re.sub(r"([^\W_]+)\^(-?(?:[^\W_]|[/.])+)", lambda m: f"${_symbol(m[1])}^{{{m[2]}}}$", literal(text))
    return re.sub(r"(?<![\w$])([A-Za-z])_(\d)(?!\w)", r"$\1_\2$", raised)


def _symbol(name: str) -> str:
    greek = {"lam": "lambda", "epsilon": "varepsilon"}.get(name)
    return rf"\{greek}" if greek else name if len(name) == 1 else rf"\mathrm{{{name}}}"


def name_of(label: str) -> str:
    """A line's or panel's label as it is written: `sampling reshuffling` is reshuffling, `rho 1.0` rho 1."""
    key, _, value = label.partition(" ")
    if not value or " " in value or value in ("True", "False", "None"):
        return label
    try:
        return f"{key} {float(value):.10g}"
    except ValueError:
        return value


def literal(text: str) -> str:
    """The text as matplotlib shows it letter by letter: a dollar sign begins no formula."""
    return text.replace("$", r"\$")


def svg(canvas: Canvas) -> str:
    """The figure as svg text, the same for the same figure; it is closed."""
    return re.sub(r"[ \t]+\n", "\n", _saved(canvas, "svg", {"Date": None, "Creator": None}).decode())


def pdf(canvas: Canvas) -> bytes:
    """The figure as a page of its size, the same for the same figure; it is closed."""
    return _saved(canvas, "pdf", {"CreationDate": None, "Creator": None, "Producer": None})


def _saved(canvas: Canvas, form: str, metadata: dict[str, None]) -> bytes:
    found = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        canvas.savefig(found, format=form, metadata=metadata)
    plt.close(canvas)
    return found.getvalue()
