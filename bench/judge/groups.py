"""Groups of runs that a claim speaks of: which runs they are, one number a seed, and whether groups may be compared at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.judge.archive import Record
from bench.judge.checks import Where, matches
from bench.run.notes import note

BUDGET_TOLERANCE = 0.01  # relative: budgets in gradient evaluations are equal up to a part of one pass
NAMES = ("method", "dataset", "model", "task")
Row = dict[str, Any]


class Undecided(Exception):
    """Why a claim gets no test: the verdict and its reason."""

    def __init__(self, verdict: str, reason: str) -> None:
        super().__init__(reason)
        self.verdict, self.reason = verdict, reason


def label(where: Where) -> str:
    """ssvr, num_components 256"""
    ordered = sorted(where.items(), key=lambda item: (*NAMES, item[0]).index(item[0]))
    return ", ".join(str(v) if k in NAMES else f"{k.rpartition('.')[2]} {v}" for k, v in ordered) or "all runs"


@dataclass(frozen=True)
class Group:
    """The runs that `where` selects, all of which ended. Without `over` or `tune` they are one job, a run a seed."""

    where: Where
    runs: tuple[Record, ...]

    @property
    def label(self) -> str:
        return label(self.where)

    @property
    def seeds(self) -> list[int]:
        return sorted({r.seed for r in self.runs})


def select(where: Where, runs: Iterable[Record], free: Sequence[str] = ()) -> Group:
    """The group of `where` among an experiment's runs.

    Args:
        free: config keys in which its runs may differ.

    Raises:
        Undecided: nothing matches, some runs have not ended or diverged, or they differ in a key that is not free.
    """
    found = [r for r in runs if matches(r, where)]
    if not found:
        raise Undecided("not comparable", f"no run of the experiment has {label(where)}")
    ended = [r for r in found if r.ended]
    if len(ended) < len(found):
        failed = sum(r.state == "failed" for r in found)
        crashed = f", {failed} crashed" if failed else ""
        raise Undecided("not run", f"{len(ended)} of {len(found)} runs of {label(where)} have ended{crashed}")
    if len(kept := dict.fromkeys(r.precision for r in found)) > 1:
        raise Undecided("not comparable", f"runs of {label(where)} have different precision: {' and '.join(kept)}")
    jobs = {r.key: r for r in found}
    different = sorted({k for r in jobs.values() for k in differences(r, found[0])} - set(free))
    if different and len(jobs) > 1:
        raise Undecided("not comparable", f"{label(where)} selects runs that differ in {', '.join(different)}")
    return Group(where, tuple(found))


def differences(
    a: Record, b: Record, parts: Sequence[str] = ("task", "method", "dataset", "model", "schedule")
) -> list[str]:
    """Dotted config keys (and option names) in which two runs differ."""
    found = [name for name in NAMES if name in parts and getattr(a, name) != getattr(b, name)]
    for part in parts:
        mine, theirs = a.config.get(part) or {}, b.config.get(part) or {}
        found += [f"{part}.{k}" for k in sorted({*mine, *theirs}) if mine.get(k) != theirs.get(k)]
    return found


def lengths(run: Record) -> set[str]:
    """Keys of its task that say how long a run is; compared runs have a budget in common, and may differ in these.

    So they may in when they are measured, unless the best of what was measured is taken.
    """
    if not run.task:  # a table's runs have none
        return set()
    said, selection = note(run.task), (run.config.get("task") or {}).get("selection", "last")
    keys = (*said.length, *(said.measured if selection == "last" else ()))
    return {f"task.{key}" for key in keys}


def rows_at(run: Record, at: Row) -> list[Row]:
    """The rows of the curve that have the values `at`."""
    return [row for row in run.curve if all(row.get(k) == v for k, v in at.items())]


def row(run: Record, at: Row | None) -> Row:
    """The final metrics, or the row of the curve that has the values `at`."""
    if at is None:
        return run.metrics
    found = rows_at(run, at)
    if not found:
        wanted = ", ".join(f"{k} = {v}" for k, v in at.items())
        raise Undecided("not comparable", f"{run.method}'s curve has no row with {wanted} at this scale")
    return found[-1]


def per_seed(group: Group, number: Callable[[Record], Any]) -> dict[int, float | None]:
    """{seed: number(run)}, in the order of seeds; None for a run that diverged.

    Raises:
        Undecided: another run lacks the number.
    """
    found = {r.seed: None if r.diverged else number(r) for r in sorted(group.runs, key=lambda r: r.seed)}
    for run in group.runs:
        if not run.diverged and not isinstance(found[run.seed], int | float):
            raise Undecided("not comparable", f"seed {run.seed} of {group.label} has no such number")
    return {seed: None if value is None else float(value) for seed, value in found.items()}


def check_comparable(
    groups: Sequence[Group], budget: str | None, at: Row | None = None, free: Sequence[str] = ()
) -> None:
    """Same seeds, data, model, protocol, precision and budget (None: any), but for what the claim itself names and `free`.

    Raises:
        Undecided: "not comparable", and in what they differ.
    """
    first = groups[0]
    named = {*free, *(key for group in groups for key in group.where)}
    for other in groups[1:]:
        pair = f"{first.label} and {other.label}"
        if first.seeds != other.seeds:
            raise Undecided("not comparable", f"{pair} have different seeds: {first.seeds} and {other.seeds}")
        a, b = first.runs[0], other.runs[0]
        keys = [k for k in differences(a, b, ("task", "dataset", "model")) if k not in named | lengths(a)]
        keys = [k for k in keys if k.partition(".")[0] not in named]
        if keys:
            values = f"{keys[0]} {a.get(keys[0])} and {b.get(keys[0])}"
            raise Undecided("not comparable", f"{pair} have different {_kind(keys[0])}: {values}")
        if len(found := dict.fromkeys(r.precision for r in (*first.runs, *other.runs))) > 1:
            raise Undecided("not comparable", f"{pair} have different precision: {' and '.join(found)}")
        if budget is None:
            continue
        each = [[row(r, at).get(budget, np.nan) for r in g.runs if not r.diverged] for g in (first, other)]
        if not all(each):  # of a group that diverged as a whole nothing is compared
            continue
        spent = [float(np.mean(values)) for values in each]
        if not abs(spent[0] - spent[1]) <= BUDGET_TOLERANCE * max(spent):
            raise Undecided("not comparable", f"{pair} have different budgets: {spent[0]:g} and {spent[1]:g} {budget}")


def _kind(key: str) -> str:
    return {"dataset": "data", "model": "models"}.get(key.partition(".")[0], "protocols")


def check_grids(groups: Sequence[Group], tune: str) -> None:
    """As many values of `tune` for each group: the best of many is not to be compared with the best of few.

    Raises:
        Undecided: "not comparable", and how many each has.
    """
    first, *others = ((g.label, len({r.get(tune) for r in g.runs})) for g in groups)
    for label_, count in others:
        if count != first[1]:
            raise Undecided(
                "not comparable", f"{first[0]} and {label_} have different numbers of {tune}: {first[1]} and {count}"
            )


def tuned(group: Group, tune: str, metric: str, better: str, at: Row | None) -> tuple[Group, str]:
    """The group with the value of the config key `tune` that the first half of its seeds likes best; the runs of the other half.

    Returns:
        The group, and a phrase such as "method.lr 3.0 (largest tried)".
    """
    half = len(group.seeds) // 2
    if half == 0:
        raise Undecided("inconclusive", "one seed cannot both choose and judge")
    judges = set(group.seeds[half:])
    scores: dict[Any, list[float]] = {}
    for r in group.runs:
        value = None if r.diverged else row(r, at).get(metric)
        worst = -np.inf if better == "higher" else np.inf
        if r.seed not in judges:
            scores.setdefault(r.get(tune), []).append(worst if value is None else value)
    best = (max if better == "higher" else min)(scores, key=lambda value: float(np.mean(scores[value])))
    edges = {min(scores): "smallest", max(scores): "largest"} if len(scores) > 1 else {}
    edge = f" ({edges[best]} tried)" if best in edges else ""
    runs = tuple(r for r in group.runs if r.get(tune) == best and r.seed in judges)
    return Group({**group.where, tune: best}, runs), f"{tune} {best}{edge}"
