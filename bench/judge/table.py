"""Verdicts on results that this suite did not run: a table of runs and claims about it. Imports neither Hydra nor torch.

from bench.judge.table import judge_table

verdicts = judge_table(frame, {"adam-wins": {...}}, metrics={"accuracy": "higher"})
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import UserError
from bench.judge.archive import Record
from bench.judge.checks import matches
from bench.judge.claims import Verdict, decide
from bench.judge.groups import label
from bench.judge.parts import Part
from bench.judge.reach import too_few
from bench.judge.registration import Standing, registrations
from bench.judge.statistics import Interval, OutOfRange
from bench.judge.table_claims import Sheet, load_sheet, sheet_of
from bench.judge.table_formats import recognised
from bench.judge.table_registry import registry_of, standing, withdrawn
from bench.judge.table_rows import Table, read_table, table_of
from bench.judge.table_runs import Runs, with_roles
from bench.run.registry import Registration

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 6  # parts of a claim that are written out
_NO_PART = Part("", Interval(math.nan, math.nan, math.nan, 0, ""), (math.nan, math.nan), "median")


@dataclass(frozen=True)
class TableVerdict:
    """A claim with its verdict; `standing` says whether it was registered before its runs."""

    name: str
    says: str
    found: Verdict
    standing: Standing
    notes: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """One of bench.judge.checks.VERDICTS."""
        return self.found.verdict

    @property
    def reason(self) -> str:
        """Why, in a sentence."""
        return "; ".join([self.found.reason, *self.notes])

    @property
    def parts(self) -> tuple[Part, ...]:
        """Each quantity with its interval and what the claim accepts, the one that decides first."""
        return self.found.parts

    @property
    def word(self) -> str:
        """How it stands: `registered, attempt 1`, `exploratory: not registered`."""
        return f"registered, {self.standing.why}" if self.standing.registered else f"exploratory: {self.standing.why}"

    def __str__(self) -> str:
        lines = [f"{self.name}: {self.verdict} ({self.word})", *([f"  {self.says}"] if self.says else [])]
        lines += [
            f"  {part.label}: {interval_text(part)}, n = {part.interval.n}, accepted: {accepted(part)}"
            for part in self.parts[:SHOWN]
        ]
        lines += [f"  ... and {len(self.parts) - SHOWN} parts more"] if len(self.parts) > SHOWN else []
        return "\n".join([*lines, f"  {self.reason}"])


class Verdicts(list[TableVerdict]):
    """Verdicts on a table. `said`: what was made of its columns, and what was registered and is no longer claimed."""

    said: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n".join([*self.said, *map(str, self)])

    def frame(self) -> pd.DataFrame:
        """A row a part of a claim."""
        import pandas as pd

        rows = [
            {"claim": v.name, "verdict": v.verdict, "registered": v.standing.registered, "attempt": v.standing.attempt}
            | {"part": p.label, "estimand": p.interval.how, "estimate": p.interval.estimate}
            | {"low": p.interval.low, "high": p.interval.high, "level": p.interval.level, "seeds": v.found.seeds}
            | {"accept_low": p.accept[0], "accept_high": p.accept[1], "reason": v.reason}
            for v in self
            for p in v.parts or [_NO_PART]
        ]
        return pd.DataFrame(rows)


def interval_text(part: Part) -> str:
    """0.0213 [0.0151, 0.0284]"""
    found = part.interval
    return f"{found.estimate:.4g} [{found.low:.4g}, {found.high:.4g}]"


def accepted(part: Part) -> str:
    """What a claim accepts, in words."""
    low, high = (end + 0.0 for end in part.accept)  # -0 is 0
    if part.law in ("share", "every"):
        return f"{low:g} or more of the runs" if high == 1 else f"{high:g} or fewer of the runs"
    return part.bound or f"{low:.4g} to {high:.4g}"


def judge_table(
    frame: pd.DataFrame,
    checks: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    *,
    metrics: Mapping[str, str | None] | None = None,
    budget: str | None = None,
    columns: Mapping[str, str] | None = None,
    names: str | None = None,
) -> Verdicts:
    """The verdicts on checks, as in conf/paper, of which the groups select rows by the frame's columns.

    Args:
        frame: a row a run, or a row of its curve: a column seed, those that groups select by, metrics.
        checks: checks, or claims with `check`, by their names; of a list they are claim-1, claim-2, ...
        metrics: which direction is better, as {"accuracy": "higher"}; better and ordering need it.
        budget, columns, names: as the keys of a file of claims.

    Raises:
        UserError: what is wrong with the frame or a check, in one line.
    """
    if not isinstance(checks, Mapping):
        checks = {f"claim-{k}": check for k, check in enumerate(checks, 1)}
    given = {"metrics": metrics, "budget": budget, "columns": columns, "names": names}
    content = {"claims": dict(checks)} | {k: dict(v) if isinstance(v, Mapping) else v for k, v in given.items() if v}
    return judge_sheet(table_of(frame), sheet_of(content), ())


def judge_files(table: Path, claims: Path) -> Verdicts:
    """The verdicts on a file of claims, with the registry beside it.

    Raises:
        UserError: as judge_table, with file and line.
    """
    return judge_sheet(read_table(table), load_sheet(claims), registrations(registry_of(claims)))


def judge_sheet(table: Table, sheet: Sheet, entries: Sequence[Registration]) -> Verdicts:
    """The verdict on each claim of a sheet.

    Args:
        entries: the registry.
    """
    table = with_roles(recognised(table, sheet.content.names), sheet.content.columns, sheet.name)
    for name, metric in sheet.metrics.items():
        table.needs(metric, f"{sheet.at(['claims', name])}: claims.{name}: metric")
    found = Verdicts(_judge(Runs(table, sheet, name), entries) for name in sheet.claims)
    gone = [f"registered, and claimed no longer: {text}" for text in withdrawn(sheet, entries)]
    found.said = (*(f"{table.name} read as {said}" for said in table.said), *gone)
    return found


def _judge(runs: Runs, entries: Sequence[Registration]) -> TableVerdict:
    claim, records = runs.claim, runs.records()
    stands = standing(runs.sheet, runs.name, records, entries)
    verdict = _undecided(stands)
    if verdict is None:
        fewest = min(len(_of(where, stands.runs)) for check in claim.checks() for where in check.groups())
        if not stands.registered:
            _same_seeds(runs, stands.runs)
        if problem := too_few(claim, fewest, stands.side):
            raise UserError(f"{runs.where}: {problem}")
        better = runs.sheet.content.metrics.get(claim.check.metric)
        try:
            verdict = decide(claim.checks(), stands.runs, better, stands.side, claim.deterministic, stands.next_side)
        except OutOfRange as error:
            raise UserError(f"{runs.where}: {error}") from None
        verdict = replace(verdict, reason=_by_columns(verdict.reason, runs.keys))
    return TableVerdict(runs.name, claim.says or "", verdict, stands, tuple(runs.notes(stands.runs)))


def _undecided(stands: Standing) -> Verdict | None:
    """There is no verdict before all runs have ended, nor on a part of those that were registered."""
    if stands.lacking:
        return Verdict("not run", stands.lacking)
    open_ = sum(not r.ended for r in stands.runs)
    return Verdict("not run", f"{open_} of {len(stands.runs)} runs have not ended") if open_ else None


def _of(where: Mapping[str, Any], records: Iterable[Record]) -> set[int]:
    return {r.seed for r in records if matches(r, where)}


def _same_seeds(runs: Runs, records: Sequence[Record]) -> None:
    """UserError where groups that are compared have different seeds."""
    for check in runs.claim.checks():
        first, *others = check.groups()
        if check.kind in ("value", "bound") and not isinstance(getattr(check, "target", None), dict):
            continue
        for other in others:
            a, b = _of(first, records), _of(other, records)
            if a != b:
                text = f"{label(first)} lacks {_some(b - a)}" if b - a else f"{label(other)} lacks {_some(a - b)}"
                raise UserError(f"{runs.where}: {label(first)} and {label(other)} have different seeds: {text}")


def _some(seeds: set[int]) -> str:
    shown = ", ".join(map(str, sorted(seeds)[:SHOWN]))
    return f"seed{'s' * (len(seeds) > 1)} {shown}{' and others' if len(seeds) > SHOWN else ''}"


def _by_columns(text: str, keys: Mapping[str, str]) -> str:
    """A reason in which columns are called as the table does."""
    for column, path in sorted(keys.items(), key=lambda item: -len(item[1])):
        text = text.replace(path, column) if "." in path else text
    return text
