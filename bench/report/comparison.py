"""Jobs side by side in the terminal: medians over seeds with their intervals, and differences paired by seed."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table
from scipy import stats

from bench.judge.groups import NAMES
from bench.judge.own import OwnJob, of_jobs
from bench.judge.statistics import LEVEL, Interval
from bench.report.tables import finals, metrics_of, states
from bench.run.job import PARTS, Job
from bench.run.notes import note

METRICS = 4  # in a table, beside gradient evaluations and seconds
COST = "gradient_evaluations"
RANGE = "range"
GAP = 2  # characters between columns


def median_interval(values: Sequence[float] | np.ndarray) -> Interval:
    """The median with the interval between two order statistics that covers the population's at 95 % or more, whatever the
    distribution (scipy.stats.quantile_test); the range below 6 values, where there is no such interval."""
    x = np.asarray(values, float)
    middle = float(np.median(x))
    if len(x) == 1:
        return Interval(middle, math.nan, math.nan, 1, "one value")
    found = stats.quantile_test(x, q=middle, p=0.5).confidence_interval(LEVEL)
    if math.isnan(found.low) or math.isnan(found.high):
        return Interval(middle, float(x.min()), float(x.max()), len(x), RANGE)
    return Interval(middle, float(found.low), float(found.high), len(x), f"median, order statistics, {LEVEL:.0%}")


def text_of(interval: Interval | None, sign: str = "", digits: int = 4) -> str:
    """`0.8512 [0.821, 0.884]`, `0.8512 (0.840..0.860)` for a range, the value alone where all are the same or there is one."""
    if interval is None:
        return ""
    middle = _number(interval.estimate, digits, sign)
    if math.isnan(interval.low) or interval.low == interval.high:
        return middle
    low, high = (_number(value, 3, sign) for value in (interval.low, interval.high))
    return f"{middle} ({low}..{high})" if interval.how == RANGE else f"{middle} [{low}, {high}]"


def _number(value: float, digits: int, sign: str) -> str:
    """So many significant digits, whole numbers whole; no exponent where a person would write none."""
    if value == int(value) and abs(value) < 1e9:
        return f"{value:{sign},.0f}"
    if not 1e-4 <= abs(value) < 1e6:
        return f"{value:{sign}.{digits - 1}g}"
    return f"{value:{sign},.{max(0, digits - 1 - math.floor(math.log10(abs(value))))}f}"


def swept(jobs: Sequence[OwnJob]) -> list[str]:
    """What tells jobs apart: the groups of which they have other options, and the dotted keys of values that jobs of the same options do not
    share. What only comes with an option (another method's hyper-parameters) is not among them."""
    groups = [part for part in dict.fromkeys((*NAMES, *PARTS)) if len({job.names.get(part) for job in jobs}) > 1]
    alike: dict[tuple[str | None, ...], list[OwnJob]] = {}
    for job in jobs:
        alike.setdefault(tuple(job.names.get(part) for part in groups), []).append(job)
    keys: dict[str, None] = {}
    for part in PARTS:
        for same in alike.values():
            names = dict.fromkeys(name for job in same for name in job.config.get(part, {}))
            for name in names:
                values = [job.config.get(part, {}).get(name) for job in same]
                if any(value != values[0] for value in values):
                    keys[f"{part}.{name}"] = None
    return [*groups, *keys]


def value_text(value: object) -> str:
    """A config value as one types it."""
    if isinstance(value, list):
        return f"[{','.join(map(value_text, value))}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


def headings(paths: Sequence[str]) -> list[str]:
    """The last part of each dotted path, or all of it where two end alike."""
    last = [path.rpartition(".")[2] for path in paths]
    return [path if last.count(name) > 1 else name for path, name in zip(paths, last)]


def name_of(job: OwnJob, paths: Sequence[str]) -> str:
    """`ssvr, lr 0.001`"""
    texts = []
    for path, heading in zip(paths, headings(paths)):
        part, _, key = path.partition(".")
        if not key:
            texts.append(job.names.get(part, ""))
        elif key in job.parts.get(part, {}):
            texts.append(f"{heading} {value_text(job.get(path))}")
    return ", ".join(text for text in texts if text) or job.names["method"]


@dataclass(frozen=True)
class Paired:
    """Differences b - a over the seeds that both finished: their median's interval, and how many seeds are better."""

    interval: Interval
    better: int

    @property
    def decided(self) -> bool:
        """Does the interval at 95 % leave out zero? A range never decides."""
        return self.interval.how != RANGE and (self.interval.low > 0 or self.interval.high < 0)

    @property
    def text(self) -> str:
        """`+0.021 [+0.012, +0.034] *`; the star where it is decided."""
        return text_of(self.interval, "+", 3) + (" *" if self.decided else "")


def paired(a: OwnJob, b: OwnJob, metric: str) -> Paired | None:
    """None without a common seed that both finished with this metric."""
    ours, theirs = ({r.seed: v for r in job.records() for v in finals([r], metric)} for job in (b, a))
    common = sorted(set(ours) & set(theirs))
    if not common:
        return None
    difference = np.array([ours[seed] - theirs[seed] for seed in common])
    sign = -1 if note(a.names["task"]).metrics[metric].better == "lower" else 1
    return Paired(median_interval(difference), int((sign * difference > 0).sum()))


@dataclass
class Column:
    """A column of text. `rank`: 0 always stays; where the table is too wide, the largest goes first."""

    title: str
    cells: list[str]
    rank: int = 0
    left: bool = False
    heading: str = field(init=False)
    width: int = field(init=False)

    def __post_init__(self) -> None:
        self.width = max(map(len, (*self.cells, *self.title.split(" "))))
        self.heading = "\n".join(textwrap.wrap(self.title, self.width))


def print_jobs(jobs: list[Job], screen: Console) -> None:
    """A table of the jobs of each task: a row a job, named by what differs between them, compared with the first one."""
    tasks: dict[str, list[OwnJob]] = {}
    for job in of_jobs(jobs):
        tasks.setdefault(job.names["task"], []).append(job)
    for same in tasks.values():
        _print_task(same, screen)


def _print_task(jobs: Sequence[OwnJob], screen: Console) -> None:
    runs = [job.records() for job in jobs]
    metrics = metrics_of([run for own in runs for run in own])
    main = [name for name in metrics if name != COST][:METRICS]
    found = {name: [interval_of(finals(own, name)) for own in runs] for name in (*main, COST)}
    against = [paired(jobs[0], job, main[0]) for job in jobs[1:]] if main else []
    spent = list(map(text_of, found[COST]))

    columns = _naming(jobs)
    numbers = [sum(run.state == "finished" for run in own) for own in runs]
    if len(set(numbers)) > 1:
        columns.append(Column("seeds", list(map(str, numbers))))
    for rank, name in zip((0, 4, 5, 6), main):
        columns.append(Column(title_of(name, jobs[0], screen), list(map(text_of, found[name])), rank))
        if rank == 0 and any(against):
            columns += _differences(against)
    if len(set(spent)) > 1:
        columns.append(Column("gradient evaluations", spent, 3))
    seconds = [interval_of([run.seconds for run in job.runs if run.seconds is not None]) for job in jobs]
    columns.append(Column("seconds", [_number(i.estimate, 3, "") if i else "" for i in seconds], 7))
    if any(run.state != "finished" for own in runs for run in own):
        columns.append(Column("state", [states(own) for own in runs], left=True))
    left_out = _fit(columns, screen.width)

    lines = _caption(columns)
    if len(set(spent)) == 1 and spent[0]:
        lines.append(f"{spent[0]} gradient evaluations a seed.")
    if left_out:
        lines.append(f"Left out for want of width: {', '.join(c.title for c in left_out)}.")
    over = f"{numbers[0]} seed{'s' * (numbers[0] != 1)}" if len(set(numbers)) == 1 else "seeds"
    screen.print(_table(f"{_title(jobs)}: medians over {over}", columns, " ".join(lines)), highlight=False)


def title_of(metric: str, job: OwnJob, screen: Console) -> str:
    """A metric's label with an arrow to where it is better."""
    known = note(job.names["task"]).metrics[metric]
    up, down, space = ("^", "v", " ") if screen.options.ascii_only else ("↑", "↓", "\N{NO-BREAK SPACE}")
    return known.label + {"higher": space + up, "lower": space + down, None: ""}[known.better]


def interval_of(values: Sequence[float]) -> Interval | None:
    """The median's interval; None without values."""
    return median_interval(values) if len(values) else None


def _title(jobs: Sequence[OwnJob]) -> str:
    """What the jobs have in common: `ssvr on digits`, `classification on digits`."""
    method, dataset = ({job.names[part] for job in jobs} for part in ("method", "dataset"))
    first = method if len(method) == 1 else {jobs[0].names["task"]}
    return first.pop() + (f" on {dataset.pop()}" if len(dataset) == 1 else "")


def _naming(jobs: Sequence[OwnJob]) -> list[Column]:
    """A column for each option and value that tells jobs apart."""
    paths = swept(jobs) or ["method"]
    columns = []
    for path, heading in zip(paths, headings(paths)):
        part, _, key = path.partition(".")
        known = [job.names if not key else job.parts.get(part, {}) for job in jobs]
        cells = [value_text(job.get(path)) if (key or part) in own else "" for job, own in zip(jobs, known)]
        columns.append(Column(heading, cells, left=True))
    return columns


def _differences(against: Sequence[Paired | None]) -> list[Column]:
    texts = ["", *(one.text if one else "" for one in against)]
    better = ["", *(f"{one.better}/{one.interval.n}" if one else "" for one in against)]
    return [Column("minus the first", texts, 1), Column("better in", better, 2)]


def _fit(columns: list[Column], width: int) -> list[Column]:
    """Take out the columns of the largest ranks until the rest fits; those taken out, in their order."""
    out: list[Column] = []
    while sum(c.width + GAP for c in columns) - GAP > width and (rank := max(c.rank for c in columns)) > 0:
        (gone,) = (c for c in columns if c.rank == rank)
        columns.remove(gone)
        out.insert(0, gone)
    return out


def _caption(columns: Sequence[Column]) -> list[str]:
    """What the brackets, parentheses and stars of the table's cells mean."""
    text, titles, lines = (
        " ".join(cell for c in columns if not c.left for cell in c.cells),
        [c.title for c in columns],
        [],
    )
    if "[" in text:
        lines.append("[low, high]: 95 % interval of the median, by order statistics.")
    if "(" in text:
        lines.append("(low..high): the range; fewer than 6 seeds give no 95 % interval.")
    if "minus the first" in titles:
        lines.append("Minus the first: median difference over common seeds, paired.")
    if "*" in text:
        lines.append("*: its interval leaves out 0.")
    if "better in" in titles:
        lines.append("Better in: so many of the common seeds.")
    return lines


def _table(title: str, columns: Sequence[Column], caption: str) -> Table:
    table = Table(
        title=title,
        caption=caption,
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    for column in columns:
        table.add_column(column.heading, justify="left" if column.left else "right", overflow="fold")
    for cells in zip(*(column.cells for column in columns)):
        table.add_row(*cells)
    return table
