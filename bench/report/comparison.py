"""Jobs side by side in the terminal: medians over seeds with their intervals, and differences paired by seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich.console import Console

from bench.errors import UserError
from bench.judge.groups import BUDGET_TOLERANCE, differences
from bench.judge.own import OwnJob, of_jobs
from bench.judge.statistics import Interval
from bench.report.columns import Column, fit, table_of
from bench.report.medians import RANGE, interval_of, median_interval, number_text, text_of
from bench.report.naming import given, headings, swept, value_text
from bench.report.tables import finals, metrics_of, states
from bench.run.job import PARTS, Job
from bench.run.notes import Metric, note

METRICS = 4  # in a table, beside gradient evaluations and seconds
COST = "gradient_evaluations"


@dataclass(frozen=True)
class Paired:
    """Differences b - a over the seeds that both finished: their median's interval, and how many seeds are better (None: nothing is)."""

    interval: Interval
    better: int | None

    @property
    def decided(self) -> bool:
        """Does the interval at 95 % leave out zero? A range never decides."""
        return self.interval.how != RANGE and (self.interval.low > 0 or self.interval.high < 0)

    @property
    def text(self) -> str:
        """`+0.021 [+0.012, +0.034] *`; the star where it is decided."""
        return text_of(self.interval, "+", 3) + (" *" if self.decided else "")

    @property
    def wins(self) -> str:
        """`2/3` seeds."""
        return "" if self.better is None else f"{self.better}/{self.interval.n}"


def paired(a: OwnJob, b: OwnJob, metric: str) -> Paired | None:
    """None without a common seed that both finished with this metric."""
    ours, theirs = ({r.seed: v for r in job.records() for v in finals([r], metric)} for job in (b, a))
    common = sorted(set(ours) & set(theirs))
    if not common:
        return None
    difference = np.array([ours[seed] - theirs[seed] for seed in common])
    sign = {"higher": 1, "lower": -1}.get(_known(a, metric).better or "")
    return Paired(median_interval(difference), None if sign is None else int((sign * difference > 0).sum()))


def _known(job: OwnJob, metric: str) -> Metric:
    return note(job.names["task"]).metrics.get(metric) or Metric(metric)


def print_jobs(jobs: list[Job], screen: Console) -> None:
    """A table of the jobs of each task: a row a job, named by what differs between them, compared with the first one. No table without a result."""
    found = of_jobs(jobs)
    if not any(run.result for job in found for run in job.runs):
        return
    tasks: dict[str, list[OwnJob]] = {}
    for job in found:
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
    if any(seconds):
        columns.append(Column("seconds", [number_text(i.estimate, 3) if i else "" for i in seconds], 7))
    if any(run.state != "finished" for own in runs for run in own):
        columns.append(Column("state", [states(own) for own in runs], left=True))
    left_out = fit(columns, screen.width)

    lines = _caption(columns)
    if len(set(spent)) == 1 and spent[0]:
        lines.append(f"{spent[0]} gradient evaluations a seed.")
    if left_out:
        lines.append(f"Left out for want of width: {', '.join(c.title for c in left_out)}.")
    over = f"{numbers[0]} seed{'s' * (numbers[0] != 1)}" if len(set(numbers)) == 1 else "seeds"
    screen.print(table_of(f"{_title(jobs)}: medians over {over}", columns, " ".join(lines)), highlight=False)


def title_of(metric: str, job: OwnJob, screen: Console) -> str:
    """A metric's label with an arrow to where it is better."""
    known = _known(job, metric)
    up, down, space = ("^", "v", " ") if screen.options.ascii_only else ("↑", "↓", "\N{NO-BREAK SPACE}")
    return known.label + {"higher": space + up, "lower": space + down, None: ""}[known.better]


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
        columns.append(Column(heading, [given(job, path) for job in jobs], left=True))
    return columns


def _differences(against: Sequence[Paired | None]) -> list[Column]:
    texts = ["", *(one.text if one else "" for one in against)]
    better = ["", *(one.wins if one else "" for one in against)]
    return [Column("minus the first", texts, 1), Column("better in", better, 2)]


def _caption(columns: Sequence[Column]) -> list[str]:
    """What the brackets, parentheses and stars of the table's cells mean."""
    text = " ".join(cell for c in columns if not c.left for cell in c.cells)
    titles = [c.title for c in columns]
    lines = []
    if "[" in text:
        lines.append("[low, high]: 95 % interval of the median, by order statistics.")
    if "(" in text:
        lines.append("(low..high): the range; fewer than 6 seeds give no 95 % interval.")
    if any("minus" in title for title in titles):
        lines.append("Minus: median difference over common seeds, paired.")
    if "*" in text:
        lines.append("*: its interval leaves out 0.")
    if any("better in" in title for title in titles):
        lines.append("Better in: how many of the common seeds.")
    return lines


@dataclass(frozen=True)
class Comparison:
    """Two jobs: the dotted keys in which they differ, why they may not be comparable, and by metric both medians and the difference b - a."""

    a: OwnJob
    b: OwnJob
    keys: list[str]
    warnings: list[str]
    medians: dict[str, tuple[Interval | None, Interval | None]]
    paired: dict[str, Paired | None]


def compare(a: OwnJob, b: OwnJob) -> Comparison:
    """What differs between two jobs, and every final number that both tasks' notes know.

    Raises:
        UserError: they are of different tasks, or one of them has no seed that finished.
    """
    if a.names["task"] != b.names["task"]:
        raise UserError(
            f"{a.folder.name} is of {a.names['task']}, {b.folder.name} of {b.names['task']}: no metric in common"
        )
    for job in (a, b):
        if not any(run.state == "finished" for run in job.runs):
            raise UserError(f"{job.folder}: no seed finished ({states(job.records()) or 'no runs'})")
    one, two = a.records()[0], b.records()[0]
    keys = differences(one, two, PARTS)
    keys = [*[p for p in PARTS if a.names.get(p) != b.names.get(p)], *[key for key in keys if "." in key]]
    names = [m for m in note(a.names["task"]).metrics if finals(a.records(), m) or finals(b.records(), m)]
    medians = {m: (interval_of(finals(a.records(), m)), interval_of(finals(b.records(), m))) for m in names}
    return Comparison(a, b, keys, _doubts(a, b, medians.get(COST)), medians, {m: paired(a, b, m) for m in names})


def _doubts(a: OwnJob, b: OwnJob, spent: tuple[Interval | None, Interval | None] | None) -> list[str]:
    """Lines on what keeps two jobs from being compared fairly."""
    found, jobs = [], (a, b)
    one, two = ({run.seed: run.result for run in job.runs if run.state == "finished" and run.result} for job in jobs)
    if keys := differences(a.records()[0], b.records()[0], ("dataset",)):
        data = (f"{key} {value_text(a.get(key))} and {value_text(b.get(key))}" for key in keys)
        found.append(f"different data: {'; '.join(data)}")
    elif other := [s for s in one if s in two and one[s].get("data", {}) != two[s].get("data", {})]:
        found.append(f"different data: other files, or contents of them, at seed {', '.join(map(str, other))}")
    precision = ["/".join(sorted({str(r.get("precision", "?")) for r in own.values()})) for own in (one, two)]
    if precision[0] != precision[1]:
        found.append(f"different precision: {' and '.join(precision)}")
    budgets = [i.estimate for i in spent or () if i]
    if budgets and max(budgets) - min(budgets) > BUDGET_TOLERANCE * max(budgets):
        found.append(f"different budgets: {' and '.join(map(text_of, spent or ()))} gradient evaluations a seed")
    if set(one) != set(two):
        seeds = (", ".join(map(str, own)) for own in (one, two))
        found.append(f"different seeds finished: {' and '.join(seeds)}; differences are over those in common")
    for job in jobs:
        if any(run.state == "diverged" for run in job.runs):
            found.append(f"{job.folder.name}: {states(job.records())}; only what finished is compared")
    return found


def print_comparison(found: Comparison, screen: Console) -> None:
    """The two jobs, what differs in their configs, then each metric."""
    a, b = found.a, found.b
    for number, job in enumerate((a, b), 1):
        screen.print(
            f"{number}  {job.folder.name}: {states(job.records())}", soft_wrap=True, highlight=False, markup=False
        )
    if found.keys:
        cells = [[given(job, key) for key in found.keys] for job in (a, b)]
        columns = [
            Column(title, own, left=True)
            for title, own in (("differs in", found.keys), ("1", cells[0]), ("2", cells[1]))
        ]
        screen.print(table_of("", columns, ""), highlight=False)
    names = list(found.medians)
    labels = Column("medians over seeds", [title_of(name, a, screen) for name in names], left=True)
    pairs = [found.paired[name] for name in names]
    against = [
        Column("2 minus 1", [one.text if one else "" for one in pairs]),
        Column("2 better in", [one.wins if one else "" for one in pairs], 1),
    ]
    full = [Column(str(k + 1), [text_of(found.medians[name][k]) for name in names]) for k in (0, 1)]
    short = [
        Column(
            str(k + 1),
            [number_text(i.estimate, zeros=False) if (i := found.medians[name][k]) else "" for name in names],
        )
        for k in (0, 1)
    ]
    columns = [labels, *full, *against]
    if fit(list(columns), screen.width):
        columns = [labels, *short, *against]
        fit(columns, screen.width)
    screen.print(table_of("", columns, " ".join(_caption(columns))), highlight=False)
