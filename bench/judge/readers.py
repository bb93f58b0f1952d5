"""What a paper's claims, figures and tables read of the curves of an experiment: the archive keeps that, and the step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bench.judge.checks import OPTIONS, Bound, Check, Slope, Value
from bench.judge.papers import Figure, Paper


@dataclass(frozen=True)
class Reader:
    """Columns of the rows that have one of the values `at` in each column named; with nothing in `at`, of those that have a column."""

    columns: frozenset[str]
    at: tuple[tuple[str, tuple[Any, ...]], ...] = ()

    def reads(self, row: Mapping[str, Any]) -> bool:
        """Is the row one of those?"""
        if self.at:
            return all(row.get(k) in values for k, values in self.at)
        return not self.columns.isdisjoint(row)


def readers(paper: Paper, experiment: str) -> list[Reader]:
    """Everything that reads curves of the experiment."""
    found: list[Reader] = []
    for _, claim, _ in paper.judged():
        if claim.experiment == experiment:
            found += [reader for check in claim.checks() for reader in _of_check(check)]
    for figure in paper.figures.values():
        if figure.experiment == experiment:
            found += _of_figure(figure)
    for table in paper.tables.values():
        if table.experiment == experiment:
            found.append(Reader(frozenset(filter(None, (table.value, table.split)))))
    return list(dict.fromkeys(found))


def _at(where: Mapping[str, Any] | None) -> tuple[tuple[str, tuple[Any, ...]], ...]:
    return tuple((k, tuple(v) if isinstance(v, list) else (v,)) for k, v in (where or {}).items())


def _of_check(check: Check) -> Iterator[Reader]:
    columns = frozenset(filter(None, (check.metric, check.budget, *(check.at or {}))))
    if isinstance(check, Value):
        for _, at, _, _ in check.numbers():
            if at is not None:
                yield Reader(columns | set(at), _at(at))
    if isinstance(check, Slope) and "." not in check.over:
        yield Reader(columns | {check.over}, _at(check.at))
    elif isinstance(check, Bound) and check.curve is not None:
        yield Reader(frozenset({check.metric}))
    elif check.at is not None:
        yield Reader(columns, _at(check.at))


def _of_figure(figure: Figure) -> Iterator[Reader]:
    if figure.numbered is not None:  # final metrics, of which all are kept
        return
    for value in (figure.value, figure.size, figure.marks) if figure.value or figure.size else (None,):
        names = {figure.x, figure.y, figure.by, *([value] if value else []), *figure.at}
        columns = frozenset(name for name in names if "." not in name and name not in OPTIONS)
        yield Reader(columns, _at(figure.at))
    if figure.thumbnail:
        named = filter(None, (figure.marks, figure.rows))
        more = {figure.x, figure.y, figure.thumbnail, *figure.titles, *named}
        yield Reader(frozenset(more), _at(figure.at))
    if figure.outline:
        yield Reader(frozenset(figure.outline), _at(figure.at))


def kept(curve: list[dict[str, Any]], wanted: list[Reader]) -> list[dict[str, Any]]:
    """The rows and columns of a curve that are read."""
    found = []
    for row in curve:
        columns = {name for reader in wanted if reader.reads(row) for name in reader.columns}
        if not columns.isdisjoint(row):
            found.append({name: value for name, value in row.items() if name == "step" or name in columns})
    return found
