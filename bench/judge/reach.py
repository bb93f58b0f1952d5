"""Can a paper's claims, figures and tables match anything that their experiments run? Asked of the planned jobs, before any run."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from bench.errors import UserError, allowed_list, nearest
from bench.judge.checks import Check, Identity, Share, Slope, Where, matches
from bench.judge.groups import label
from bench.judge.shown import Figure, Pivot
from bench.judge.statistics import SIDE, fewest, mean_interval
from bench.judge.words import OPTIONS, is_number, short
from bench.run.job import PARTS, Job
from bench.run.notes import note

if TYPE_CHECKING:
    from bench.judge.papers import Claim, Paper
    from bench.judge.table_claims import TableClaim

MOST = 10_000  # runs that are thought of
SCALES = ("mini", "paper")  # of figures and tables
Jobs = Callable[[str, str], Sequence[Job]]


def check_decidable(papers: Mapping[str, Paper], jobs: Jobs) -> None:
    """Each claim's check selects runs of its experiment, rows that they reach, and has the seeds that its tests need to say yes or no;
    each figure and table shows runs.

    Args:
        jobs: the jobs of an experiment at a scale, as bench.judge.plan.jobs.

    Raises:
        UserError: file, field and what is wrong, in one line.
    """
    for name, paper in papers.items():
        for field, problem in _problems(paper, jobs):
            raise UserError(f"conf/paper/{name}.yaml: {field}: {problem}")


def _problems(paper: Paper, jobs: Jobs) -> Iterator[tuple[str, str]]:
    """(field, what is wrong there)"""
    for key, claim, audit in paper.judged():
        for scale in claim.scales:
            if problem := _undecidable(claim, jobs(claim.experiment, scale)):
                yield (
                    f"{'audits' if audit else 'claims'}.{key}.check",
                    f"{problem} ({claim.experiment} at {scale} scale)",
                )
    shown = [
        (f"figures.{key}", figure.experiment, partial(_of_figure, figure)) for key, figure in paper.figures.items()
    ]
    shown += [(f"tables.{key}", table.experiment, partial(_of_table, table)) for key, table in paper.tables.items()]
    for field, experiment, problem_of in shown:
        if problem := problem_of([job for scale in SCALES for job in jobs(experiment, scale)]):
            yield field, f"{problem} ({experiment})"


def _undecidable(claim: Claim, jobs: Sequence[Job]) -> str | None:
    """Why the runs of these jobs can never decide the claim."""
    if not jobs:
        return "the experiment has no run"
    for each in claim.checks():
        for where, at in each.rows():
            found = [job for job in jobs if matches(job, where)]
            if problem := _nothing(where, jobs) if not found else _row(at, found):
                return problem
    if problem := too_few(claim, min(len(job.settings.seeds) for job in jobs)):
        return problem
    several = (_several(each, where, jobs) for each in claim.checks() for where in each.groups())
    return next(filter(None, several), None)


def too_few(claim: Claim | TableClaim, seeds: int, side: float = SIDE) -> str | None:
    """Why so many seeds can never say both yes and no."""
    checks = claim.checks()
    tune = getattr(claim.check, "tune", None)
    judging = seeds - seeds // 2 if tune else seeds
    if claim.deterministic:
        return None if seeds > 1 else "one seed cannot show that the numbers involve no randomness; run two"
    needed = _needed(claim.check, side, sum(check.parts() for check in checks))
    if judging >= needed:
        return None
    half = f" ({seeds - judging} more choose {tune})" if tune else ""
    parts = sum(check.parts() for check in checks)
    return f"{judging} seeds{half} cannot decide {parts} part{'s' * (parts > 1)} at the {200 * side:.3g} % level; at least {needed}"


def _needed(check: Check, side: float, parts: int) -> int:
    """Runs that can hold every part, and refute one of them at its share of the level."""
    if isinstance(check, Identity):
        return _enough(lambda n: check.share**n <= side)
    if isinstance(check, Share):
        gate = check.at_least if check.at_most is None else 1 - check.at_most
        assert gate is not None
        return _enough(lambda n: gate**n <= side and (1 - gate) ** n <= side / parts)
    if check.range is None:
        return fewest(side / parts)
    return _enough(lambda n: mean_interval([1.0] * n, (0.0, 1.0), side / parts).low > 0.5)


def _enough(decides: Callable[[int], bool]) -> int:
    """The fewest runs that decide, as far as anyone would count."""
    return next((n for n in range(1, MOST) if decides(n)), MOST)


def _several(check: Check, where: Where, jobs: Sequence[Job]) -> str | None:
    """Why a group is not one job, or several that differ in what the check runs over alone."""
    if isinstance(check, Identity) and not isinstance(check.equals, dict):
        return None  # holds of every run selected
    found = [job for job in jobs if matches(job, where)]
    over = check.over if isinstance(check, Slope) and "." in check.over else getattr(check, "tune", None)
    if over is not None and len({repr(job.get(over)) for job in found} - {"None"}) < 2:
        return f"{over} has not two values among the runs of {label(where)}"
    different = sorted(_differences(found) - {over})
    return f"{label(where)} selects runs that differ in {', '.join(different[:5])}; say which" if different else None


def _differences(jobs: Iterable[Job]) -> set[str]:
    """Option names and dotted keys in which jobs differ."""
    first, *others = jobs
    names = {name for job in others for name in OPTIONS if job.names.get(name) != first.names.get(name)}
    keys = {
        f"{part}.{key}"
        for job in others
        for part in PARTS
        for key in {*job.parts.get(part, {}), *first.parts.get(part, {})} - {"_target_"}
        if job.parts.get(part, {}).get(key) != first.parts.get(part, {}).get(key)
    }
    return names | keys


def _nothing(where: Mapping[str, Any], jobs: Sequence[Job]) -> str:
    """Which key or value keeps a group empty."""
    said = f"no run has {', '.join(f'{k} = {v}' for k, v in where.items())}"
    for key, value in where.items():
        values = list(dict.fromkeys(str(job.get(key)) for job in jobs if job.get(key) is not None))
        if not values and value is not None:
            return f"{said}; none has the key {key}{nearest(key, _keys(jobs))}"
        if str(value) not in values:
            return f"{said}; {key} is {allowed_list(values)}{nearest(value, values)}"
    return said


def _row(at: Mapping[str, Any] | None, jobs: Sequence[Job]) -> str | None:
    """A value that none of the jobs' curves can reach, where their configs tell."""
    for column, given in (at or {}).items():
        for value in given if isinstance(given, list) else [given]:
            reached = [_reached(job, column) for job in jobs]
            if not any(_holds(values, value) for values in reached):
                most = max(v if is_number(v) else max(v) for v in reached)
                return f"no row has {column} = {short(value)}; {_source(jobs[0], column)} ends at {most:g}"
    return None


def _source(job: Job, column: str) -> str:
    return note(job.names["task"]).reached.get(column, "")


def _reached(job: Job, column: str) -> Any:
    """What the config says of a column: a list of its values, or the last one of a count; None where it says nothing."""
    values = job.get(_source(job, column) or "-")
    whole = isinstance(values, list) and values and all(map(is_number, values))
    return values if whole or is_number(values) else None


def _holds(reached: Any, value: Any) -> bool:
    if isinstance(reached, list):
        return value in reached
    return reached is None or (0 <= value <= reached)


def _of_figure(figure: Figure, jobs: Sequence[Job]) -> str | None:
    """Why a figure would show nothing, or a line's name says nothing."""
    for _, drawn in figure.drawn(""):
        found = [job for job in jobs if all(job.get(k) in _listed(v) for k, v in drawn.only.items())]
        if not found:
            return f"only: {_nothing_of(drawn.only, jobs)}"
        for field in ("x", "y", "by") if figure.numbered is None else ("by",):
            if problem := _absent(getattr(figure, field), found):
                return f"{field}: {problem}"
        if problem := _row(figure.at, found):
            return f"at: {problem}"
    if figure.relative_to and not any(matches(job, figure.relative_to) for job in jobs):
        return f"relative_to: {_nothing(figure.relative_to, jobs)}"
    if "." in figure.by or figure.by in OPTIONS:
        labels = {label({figure.by: job.get(figure.by)}) for job in jobs}
        for name in (*(t.of for t in figure.theory.values()), *(figure.published.points if figure.published else ())):
            if name not in labels:
                return f"no line is called {short(name)}; lines: {allowed_list(labels)}{nearest(name, labels)}"
    return None


def _nothing_of(only: Mapping[str, Any], jobs: Sequence[Job]) -> str:
    chosen = (dict(zip(only, values)) for values in itertools.product(*map(_listed, only.values())))
    return _nothing(next(chosen), jobs)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _of_table(table: Pivot, jobs: Sequence[Job]) -> str | None:
    """A key of a table that no run has."""
    for field in ("rows", "columns"):
        if problem := _absent(getattr(table, field), jobs):
            return f"{field}: {problem}"
    return None


def _absent(name: str, jobs: Sequence[Job]) -> str | None:
    """A dotted key that no job has."""
    if "." not in name or any(job.get(name) is not None for job in jobs):
        return None
    return f"none of the runs has the key {name}{nearest(name, _keys(jobs))}"


def _keys(jobs: Iterable[Job]) -> set[str]:
    """The dotted keys of the jobs' configs."""
    return {
        f"{part}.{key}" for job in jobs for part, values in job.parts.items() for key in values if key != "_target_"
    }
