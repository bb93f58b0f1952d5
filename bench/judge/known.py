"""What a paper's file speaks of must exist: columns of curves, config keys, options; and its names must stay apart as files."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from bench.errors import allowed_list, nearest
from bench.judge.checks import Slope, Value
from bench.judge.groups import label
from bench.judge.shown import Figure, Pivot
from bench.judge.words import OPTIONS, alike, place_problem, short
from bench.run.notes import note
from bench.run.options import SCALES, options, read_yaml, task_of_experiment
from bench.run.paths import CONF

if TYPE_CHECKING:
    from bench.judge.papers import Claim, Paper

STEP = "step"  # the column that every curve has


def problems(paper: Paper) -> Iterator[str]:
    """`field: what is wrong`, for every word of the file that nothing is called by."""
    if not paper.claims:
        yield "claims: names nothing; expected at least one"
    for name, claim, audit in paper.judged():
        field = f"{'audits' if audit else 'claims'}.{name}"
        yield from (f"{field}.check: {found}" for found in _of_claim(claim))
        yield from (f"{field}.refuted_by: {found}" for found in _ties(claim))
    for name, figure in paper.figures.items():
        yield from (f"figures.{name}: {found}" for found in _of_figure(figure))
        if figure.published is not None and not figure.published.points:
            yield f"figures.{name}.published.points: names nothing; expected points"
    for name, table in paper.tables.items():
        yield from (f"tables.{name}: {found}" for found in _of_table(table))
    for group, entries in (("figures", paper.figures), ("tables", paper.tables)):
        yield from (
            f"{group}.{name}.caption: is blank; expected a text" for name, e in entries.items() if not e.caption.strip()
        )
    yield from _alike(paper)


def _of_claim(claim: Claim) -> Iterator[str]:
    check = claim.check
    yield from _axes(claim.experiment, {f"at {k}": k for k in check.at or {}}, key=False)
    if isinstance(check, Value | Slope):
        yield from _axes(claim.experiment, {"over": check.over}, option=isinstance(check, Value))
    for where in itertools.chain.from_iterable(each.groups() for each in claim.checks()):
        yield from _options(where)


def _ties(claim: Claim) -> Iterator[str]:
    """Swaps that compare a group with itself: whatever the runs are, nothing is left of the difference."""
    tune = getattr(claim.check, "tune", None)
    pairs = [pair for check in claim.checks() for pair in check.pairs()]
    for swap in (refuter for refuter in claim.refuted_by if not isinstance(refuter, str)):
        for mine, other in (*pairs, *((other, mine) for mine, other in pairs)):
            if tune not in {*swap.put, *swap.in_place_of} and swap.ties(mine, other):
                yield (
                    f"{swap.name}: {label(other)} would be compared with itself, which tells nothing of either; "
                    "plant a mistake, or put a third group"
                )


def _of_figure(figure: Figure) -> Iterator[str]:
    if figure.numbered is None:
        yield from _axes(figure.experiment, {"x": figure.x, "y": figure.y})
    yield from _axes(figure.experiment, {"by": figure.by}, option=True)
    columns = {f"at {k}": k for k in figure.at} | {f"titles {k}": k for k in figure.titles}
    columns |= {field: name for field in ("marks", "thumbnail", "rows") if (name := getattr(figure, field))}
    yield from _axes(figure.experiment, columns, key=False)
    for where in (figure.only, figure.each, figure.relative_to):
        yield from _options(where)


def _of_table(table: Pivot) -> Iterator[str]:
    yield from _axes(table.experiment, {"split": table.split}, key=False)
    yield from _axes(table.experiment, {"rows": table.rows, "columns": table.columns}, option=True)


def _options(where: Mapping[str, Any]) -> Iterator[str]:
    """Options that do not exist."""
    for group, given in where.items():
        known = options(group) if group in OPTIONS else {}
        for value in given if isinstance(given, list) else [given]:
            if known and value not in known:
                hint = nearest(value, known)
                yield f"{group} = {short(value)} does not exist{hint}; allowed: {allowed_list(known)}"


def _axes(experiment: str, axes: Mapping[str, str], *, key: bool = True, option: bool = False) -> Iterator[str]:
    """Names that are no column of the curve nor, where they are allowed, a dotted key or a group of options."""
    known = [*columns(experiment), *(OPTIONS if option else ())]
    for field, name in axes.items():
        if key and "." in name:
            yield from (f"{field}: {problem}" for problem in [place_problem(name)] if problem)
        elif name not in known:
            hint = nearest(name, known)
            yield f"{field}: {short(name)} is no column of {experiment}'s curves{hint}; allowed: {allowed_list(known)}"


@cache
def columns(experiment: str) -> tuple[str, ...]:
    """What curves of an experiment may hold: its task's metrics, the step, hyper-parameters of a grid that its file names."""
    grids = _of_grids(read_yaml(CONF / "experiment" / f"{experiment}.yaml"))
    return (*note(task_of_experiment(experiment)).metrics, STEP, *dict.fromkeys(grids))


def _of_grids(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from map(str, value) if key == "grid" and isinstance(value, Mapping) else _of_grids(value)


def _alike(paper: Paper) -> Iterator[str]:
    """Names that would be one file or one anchor, also where case does not count; a claim that stands twice."""
    experiments = [*(c.experiment for c in paper.claims.values()), *(f.experiment for f in paper.figures.values())]
    stems = [experiment.replace("/", "-") for experiment in experiments]
    for field, names in (
        ("claims and audits", [name for name, *_ in paper.judged()]),
        ("figures", [name for name, _ in paper.drawn()]),
        ("tables", ["claims", *dict.fromkeys(stems), *paper.tables]),
    ):
        if pair := alike(names):
            yield f"{field}: '{pair[0]}' and '{pair[1]}' are the same name; rename one"
    yield from _like_a_scale([*paper.figures, *paper.tables])
    said: dict[str, str] = {}
    for name, claim, _ in paper.judged():
        same = said.setdefault(claim.model_dump_json(include={"experiment", "check", "each", "scales"}), name)
        if same != name:
            yield f"claims: '{same}' and '{name}' are the same check; remove one"


def _like_a_scale(names: Iterable[str]) -> Iterator[str]:
    for name in names:
        stem, _, end = name.rpartition("-")
        if stem and end in SCALES:
            yield f"figures and tables: '{name}' ends as the files of a scale do; rename it"
