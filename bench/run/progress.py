"""What a person sees: one bar a session on a terminal, plain lines elsewhere, nothing with verbose=false."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

LINE_EVERY = 10.0  # seconds between plain lines
BAR = 16  # characters
UNITS = {"day": 86400, "hour": 3600, "minute": 60, "second": 1}


def shown(value: Any) -> str:
    """A number as in a table: 4 significant digits; integers whole."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


class Display:
    """Progress of one session: `step(k)` moves the bar, `note(...)` shows figures that were measured anyway."""

    def __init__(self, console: Console | None, title: str) -> None:
        self._console, self._title = console, title
        self._bar: Progress | None = None
        self._total, self._last_line, self._begun, self._first, self._room = 0, 0.0, time.monotonic(), 0, 0

    def start(self, total: int, first: int = 0) -> None:
        """`total` steps in all, `first` of them done before."""
        self._total, self._first, self._begun = total, first, time.monotonic()
        if self._console is None or not self._console.is_terminal:
            return
        self._room = self._console.width - BAR - 2 * len(str(total)) - len("/ 0:00:00") - 5
        title = self._title if len(self._title) <= 0.6 * self._room else f"{self._title[: int(0.6 * self._room) - 1]}…"
        self._room -= len(title)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(BAR),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        self._bar = Progress(*columns, console=self._console, transient=True)
        self._bar.start()
        self._task = self._bar.add_task(title, total=total, completed=first, note="")

    def step(self, step: int) -> None:
        if self._bar:
            self._bar.update(self._task, completed=step)

    def note(self, step: int, **figures: Any) -> None:
        """Figures beside the bar, as many as there is room for; a plain line at most every few seconds when there is no terminal, and always the last one."""
        texts = [f"{name} {shown(value)}" for name, value in figures.items()]
        text = "  ".join(texts)
        if self._bar:
            fitting = [k for k in range(len(texts) + 1) if len("  ".join(texts[:k])) <= self._room]
            self._bar.update(self._task, completed=step, note="  ".join(texts[: fitting[-1]]) if fitting else "")
        elif self._console is not None and (time.monotonic() - self._last_line >= LINE_EVERY or step >= self._total):
            self._last_line = time.monotonic()
            done = max(1, step - self._first)
            left = (self._last_line - self._begun) / done * (self._total - step)
            self._console.print(
                f"{self._title}  {step}/{self._total}  {text}  ETA {left:.0f} s", highlight=False, soft_wrap=True
            )

    def stop(self) -> None:
        if self._bar:
            self._bar.stop()
            self._bar = None


def console(verbose: bool) -> Console | None:
    """The terminal, or None for silence. Pipes and files get lines of up to 120 characters, or COLUMNS."""
    if not verbose:
        return None
    return Console(file=sys.stdout, width=screen_width())


def screen_width() -> int:
    """Characters of a line of the terminal."""
    return Console().width if sys.stdout.isatty() or "COLUMNS" in os.environ else 120


def say(verbose: bool, *what: Any) -> None:
    """Lines or tables on the terminal."""
    screen = console(verbose)
    if screen is not None:
        for thing in what:
            screen.print(thing, soft_wrap=isinstance(thing, str), highlight=False, markup=False)


def reporter(verbose: bool) -> Callable[[str], None]:
    """Takes lines for the person to stderr, or nowhere."""
    return lambda line: print(line, file=sys.stderr, flush=True) if verbose else None


def ago(seconds: float) -> str:
    """`2 days ago`, in the largest unit that fits."""
    unit, size = next(((unit, size) for unit, size in UNITS.items() if seconds >= size), ("second", 1))
    count = int(seconds / size)
    return f"{count} {unit}{'s' * (count != 1)} ago"


def seeds_in_words(seeds: Sequence[int]) -> str:
    """`seed 0`, `seeds 0, 1` or `seeds 0-39`."""
    runs: list[list[int]] = []
    for seed in sorted(seeds):
        if runs and seed == runs[-1][-1] + 1:
            runs[-1].append(seed)
        else:
            runs.append([seed])
    parts = [f"{run[0]}-{run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs]
    return f"seed{'s' * (len(seeds) > 1)} {', '.join(parts)}"


def path_in_words(path: Path) -> str:
    """Relative to the current directory where it lies below it."""
    path = path.absolute()
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def closing_table(rows: dict[int, dict[str, Any]], title: str, width: int = 120) -> Table:
    """One line a figure; one column a seed, or mean, standard deviation and range when there are many seeds or the terminal is narrow."""
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    seeds = [(f"seed {seed}", [shown(row.get(name, "")) for name in names]) for seed, row in rows.items()]
    widths = [max(map(len, names), default=0), *(max(map(len, (head, *texts))) for head, texts in seeds)]
    many = len(rows) > 6 or (len(rows) > 1 and sum(widths) + 3 * len(widths) + 1 > width)
    table = Table(title=title, title_justify="left")
    table.add_column("", overflow="fold")
    for head in ("mean", "sd", "min", "max") if many else [head for head, _ in seeds]:
        table.add_column(head, justify="right")
    for name in names:
        values = [row.get(name, "") for row in rows.values()]
        table.add_row(name, *(_summary(values) if many else map(shown, values)))
    return table


def _summary(values: list[Any]) -> list[str]:
    numbers = [v for v in values if isinstance(v, int | float)]
    if len(numbers) < len(values):
        kinds = {str(v): values.count(v) for v in values}
        return [", ".join(f"{n} {kind}" for kind, n in kinds.items()), "", "", ""]
    return [shown(float(v)) for v in (mean(numbers), stdev(numbers), min(numbers), max(numbers))]
