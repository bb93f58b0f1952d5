"""From the rows of a table to the runs of a claim: which rows are a run, which of them it is judged by, and whether it diverged."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from bench.errors import UserError, allowed_list, nearest
from bench.judge.archive import Record
from bench.judge.checks import Bound, Check, Identity, Slope, Value, Where, matches
from bench.judge.groups import label
from bench.judge.table_claims import FORMAT, NAMES, STEPS, Sheet, TableClaim, path_of
from bench.judge.table_rows import Table
from bench.judge.words import is_number, short

SEEDS = ("seed", "random_seed", "random_state", "rng_seed", "run_seed", "idx_rep")
STATUS = "status"
ENDED = ("finished", "done", "completed", "complete", "success", "succeeded", "ok")
AGAINST = (
    "diverged",
    "crashed",
    "failed",
    "killed",
    "nan",
    "oom",
    "timeout",
)  # whoever claims to win with such a run does not
UNDER_WAY = ("running", "pending", "queued", "preempting", "preempted")
MOST = 4  # columns named in which runs differ


def with_roles(table: Table, roles: Mapping[str, str], where: str) -> Table:
    """The table with columns seed, step, status or method beside those that it calls otherwise.

    Args:
        roles: as {seed: trial}.
    """
    rows = table.rows
    for role, column in roles.items():
        table.needs(column, f"{where}: columns.{role}")
        if role in table.columns and role not in FORMAT and role != column:
            raise UserError(
                f"{where}: columns.{role}: {table.name} has a column '{role}' already; name one of them in the claim"
            )
        rows = tuple({**row, role: row[column]} for row in rows)
    return replace(table, columns=tuple(dict.fromkeys([*table.columns, *roles])), rows=rows)


@dataclass(frozen=True)
class Runs:
    """The runs of one claim of a sheet in a table."""

    table: Table
    sheet: Sheet
    name: str

    @property
    def claim(self) -> TableClaim:
        return self.sheet.claims[self.name]

    @property
    def where(self) -> str:
        """What an error line begins with."""
        return f"{self.sheet.at(['claims', self.name])}: claims.{self.name}"

    @cached_property
    def seed(self) -> str:
        """The column of seeds."""
        found = next((c for c in SEEDS if c in self.table.columns), None)
        if found is None:
            known = allowed_list(self.table.columns, "seed", "head -1")
            raise UserError(
                f"{self.table.name}: no column of seeds; say which it is, as columns: {{seed: trial}}; columns: {known}"
            )
        return found

    @cached_property
    def steps(self) -> list[str]:
        """The columns along a curve, the one that orders its rows first; none by which groups select runs."""
        grouped = {c for name in self.sheet.claims for c in self.sheet.grouped_by(name)}
        return [c for c in STEPS if c in self.table.columns and c not in grouped]

    @cached_property
    def keys(self) -> dict[str, str]:
        """{column: how the check calls it} of all by which runs are told apart; known names that no claim names as well."""
        named = [c for name in self.sheet.claims for c in self.sheet.columns_of(name) if c not in self.steps]
        for column in self.sheet.columns_of(self.name):
            self.table.needs(column, self.where)
        known = [c for c in (*NAMES, "task") if c in self.table.columns]
        return {c: path_of(c) for c in dict.fromkeys([*named, *known]) if c in self.table.columns}

    # ---- rows

    @cached_property
    def _jobs(self) -> list[tuple[Record, list[int]]]:
        """A blank run for each set of values of the keys, with its rows."""
        found: dict[tuple[Any, ...], list[int]] = {}
        for k, row in enumerate(self.table.rows):
            found.setdefault(tuple(repr(row.get(c)) for c in self.keys), []).append(k)
        return [(self._blank(rows[0]), rows) for rows in found.values()]

    def _blank(self, k: int) -> Record:
        names: dict[str, Any] = dict.fromkeys((*NAMES, "task"), "")
        config: dict[str, dict[str, Any]] = {"task": {}, "method": {}, "dataset": {}, "model": {}}
        for column, path in self.keys.items():
            value = self.table.rows[k].get(column)
            part, _, key = path.partition(".")
            if key:
                config[part][key] = value
            else:
                names[part] = "" if value is None else str(value)
        key = repr((names, config))
        return Record(
            **names,
            experiments=(),
            key=key,
            seed=0,
            state="",
            status="",
            code="",
            precision="",
            seconds=None,
            config=config,
            metrics={},
            curve=[],
        )

    def _seeds(self, blank: Record, rows: Sequence[int]) -> dict[int, list[int]]:
        """The rows of each seed of a job, in the order of its curve.

        Raises:
            UserError: a seed that is none, or a row that is there twice.
        """
        found: dict[int, list[int]] = {}
        for k in rows:
            value = self.table.rows[k].get(self.seed)
            if not is_number(value) or value != int(value) or value < 0:
                raise UserError(
                    f"{self.table.places[k]}: {self.seed} is {short(value)}; expected a whole number from 0 on"
                )
            found.setdefault(int(value), []).append(k)
        for seed, own in found.items():
            if self.steps:
                own.sort(key=lambda k: self._step(k))
            for a, b in itertools.pairwise(own):
                if not self.steps or self._step(a) == self._step(b):
                    raise UserError(self._twice(blank, seed, a, b))
        return found

    def _step(self, k: int) -> float:
        value = self.table.number(k, self.steps[0])
        if value is None:
            raise UserError(f"{self.table.places[k]}: {self.steps[0]} is empty; expected the place in the run's curve")
        return value

    def _twice(self, blank: Record, seed: int, a: int, b: int) -> str:
        first, second = self.table.rows[a], self.table.rows[b]
        metrics = {*self.sheet.content.metrics, *(c.check.metric for c in self.sheet.claims.values()), *self.steps}
        differ = [c for c in self.table.columns if c not in metrics and first.get(c) != second.get(c)]
        at = f", {self.steps[0]} {first[self.steps[0]]}" if self.steps else ""
        hint = f"they differ in {', '.join(differ[:MOST])}: let groups say which" if differ else "remove one"
        if not self.steps and not differ:
            hint += ", or have a column step, where they are a curve"
        return (
            f"{self.table.places[b]}: {self._called(blank, seed)}{at} is there already ({self.table.places[a]}); {hint}"
        )

    def _called(self, blank: Record, seed: int) -> str:
        shown = {path: blank.get(path) for path in self.keys.values() if blank.get(path) not in (None, "")}
        return f"{label(shown)}, seed {seed}"

    # ---- runs

    def records(self) -> list[Record]:
        """Every run that the claim's groups select, by its final row or by what `at` and `over` say.

        Raises:
            UserError: a group selects none, or several runs a seed; a number that is none; a row that `at` asks for and a run has not.
        """
        if self.claim.check.budget is not None:
            self.table.needs(self.claim.check.budget, f"{self.where}: budget")
        for column in self.claim.check.at or {}:
            self.table.needs(column, f"{self.where}: at")
        wanted: dict[str, tuple[Record, list[int], list[tuple[Check, Mapping[str, Any] | None]]]] = {}
        for check in self.claim.checks():
            for where, at in check.rows() or [(where, None) for where in check.groups()]:
                for blank, rows in self._selected(check, where):
                    wanted.setdefault(blank.key, (blank, rows, []))[2].append((check, at))
        return [
            self._record(blank, seed, own, asked)
            for blank, rows, asked in wanted.values()
            for seed, own in sorted(self._seeds(blank, rows).items())
        ]

    def _selected(self, check: Check, where: Where) -> list[tuple[Record, list[int]]]:
        found = [(blank, rows) for blank, rows in self._jobs if matches(blank, where)]
        if not found:
            raise UserError(f"{self.where}: {self._nothing(where)}")
        free = {getattr(check, "tune", None), check.over if isinstance(check, Slope) else None}
        if isinstance(check, Identity) and not isinstance(check.equals, dict):
            return found
        for column, path in self.keys.items():
            values = list(dict.fromkeys(blank.get(path) for blank, _ in found))
            if len(values) > 1 and path not in free:
                shown = ", ".join(map(str, values[:MOST]))
                raise UserError(
                    f"{self.where}: {label(where)} selects runs that differ in {column} ({shown}); say which"
                )
            if path in free and not all(is_number(v) and (v > 0 or not isinstance(check, Slope)) for v in values):
                what = "positive numbers" if isinstance(check, Slope) else "numbers"
                raise UserError(f"{self.where}: {column} is {', '.join(map(short, values[:MOST]))}; expected {what}")
        return found

    def _nothing(self, where: Where) -> str:
        """Which key or value keeps a group empty."""
        columns = {path: column for column, path in self.keys.items()}
        said = "no run has " + ", ".join(f"{columns[path]} = {value}" for path, value in where.items())
        for path, value in where.items():
            known = list(dict.fromkeys(str(blank.get(path)) for blank, _ in self._jobs))
            if str(value) not in known:
                return f"{said}; {columns[path]} is {allowed_list(known, value, 'the table')}{nearest(value, known)}"
        return f"{said} at once"

    def _record(self, blank: Record, seed: int, rows: Sequence[int], asked: Sequence[tuple[Check, Any]]) -> Record:
        metric = self.claim.check.metric
        given = [k for k in rows if self.table.number(k, metric) is not None and self._has_logarithm(k)]
        state = self._state(rows)
        if state == "running":
            return replace(blank, seed=seed, state=state)
        if state == "diverged":
            return replace(blank, seed=seed, state="done", status=state)
        if not given:
            raise UserError(
                f"{self.table.places[rows[-1]]}: {metric} of {self._called(blank, seed)} is empty; write nan where the run diverged"
            )
        read = {k for check, at in asked for k in self._read(check, at, given, self._called(blank, seed))}
        values = [v for k in read if (v := self.table.number(k, metric)) is not None]
        status = "finished" if all(map(math.isfinite, values)) else "diverged"
        curve = [self._numbers(k) for k in given]
        return replace(blank, seed=seed, state="done", status=status, metrics=curve[-1], curve=curve)

    def _has_logarithm(self, k: int) -> bool:
        """May a row be part of a log-log slope? A curve's first row is often at 0; it is left out."""
        check = self.claim.check
        return not isinstance(check, Slope) or check.over not in STEPS or (self.table.number(k, check.over) or 0.0) > 0

    def _read(self, check: Check, at: Mapping[str, Any] | None, given: Sequence[int], called: str) -> list[int]:
        """The rows that a check looks at."""
        whole = (isinstance(check, Slope) and check.over in STEPS) or (isinstance(check, Bound) and check.curve)
        if at is None:
            return list(given) if whole else [given[-1]]
        found = [k for k in given if all(self.table.rows[k].get(c) == v for c, v in at.items())]
        if not found and not whole:
            wanted = ", ".join(f"{c} = {v:g}" for c, v in at.items())
            (column, *_) = at
            values = [v for k in given if is_number(v := self.table.rows[k].get(column))]
            ends = f"; {column} goes from {min(values):g} to {max(values):g} there" if values else ""
            raise UserError(
                f"{self.where}: {called} has no row with {wanted}{ends}; if the run ended early, give it a column status: diverged"
            )
        return found if whole else found[-1:]

    def _numbers(self, k: int) -> dict[str, float]:
        """A row of the curve."""
        check = self.claim.check
        over = [check.over] if isinstance(check, Slope | Value) and check.over in self.table.columns else []
        columns = [check.metric, *([check.budget] if check.budget else []), *self.steps, *(check.at or {}), *over]
        found = {c: v for c in columns if is_number(v := self.table.rows[k].get(c)) or isinstance(v, float)}
        if check.budget is not None:
            self.table.number(k, check.budget)
        return found

    def _state(self, rows: Sequence[int]) -> str:
        """finished, diverged or running."""
        states = set()
        for k in rows:
            word = str(self.table.rows[k].get(STATUS) or "finished").lower()
            if word not in (*ENDED, *AGAINST, *UNDER_WAY):
                known = allowed_list([*ENDED, *AGAINST, *UNDER_WAY], word, "docs/judge.md")
                raise UserError(f"{self.table.places[k]}: {STATUS} is {short(word)}; expected one of {known}")
            states.add(word)
        if any(word in AGAINST for word in states):
            return "diverged"
        return "running" if any(word in UNDER_WAY for word in states) else "finished"

    # ---- what else there is to say

    def notes(self, records: Sequence[Record]) -> Iterator[str]:
        """Runs that diverged, where final rows are not at one step, and in what else the groups differ that a claim speaks of."""
        if diverged := sum(r.diverged for r in records):
            yield f"{diverged} of {len(records)} runs diverged"
        if self.steps and self.claim.check.at is None and not isinstance(self.claim.check, Slope):
            ends = {r.metrics[self.steps[0]] for r in records if r.metrics}
            if len(ends) > 1:
                yield f"final rows are at {self.steps[0]} {min(ends):g} to {max(ends):g}"
        wheres = [where for check in self.claim.checks() for where in check.groups()]
        groups = [[k for blank, rows in self._jobs if matches(blank, where) for k in rows] for where in wheres]
        skipped = {*self.sheet.columns_of(self.name), *self.steps, STATUS, self.seed, self.claim.check.metric}
        found = []
        for column in (c for c in self.table.columns if c not in {*skipped, *self.sheet.content.metrics}):
            values = [{str(self.table.rows[k].get(column)) for k in rows} for rows in groups]
            if all(len(v) == 1 for v in values) and len(set().union(*values)) > 1:
                found.append(f"{column} ({', '.join(dict.fromkeys(v for own in values for v in own))})")
        if found:
            yield f"the groups also differ in {', '.join(found[:MOST])}{', ...' if len(found) > MOST else ''}"
