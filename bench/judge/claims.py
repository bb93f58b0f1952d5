"""Claims against runs: one verdict each, by tests that stand in conf/paper before the runs. Functions of records alone; imports no torch.

A verdict is "reproduced" when the claim's own test rejects its opposite at the 5 % level, "not reproduced" when the opposite's test
rejects the claim, else "inconclusive": not significant is never called reproduced.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bench.judge import statistics as stats
from bench.judge.archive import Record, by_experiment
from bench.judge.checks import ALPHA, Better, Bound, Identity, Ordering, Slope, Value
from bench.judge.groups import (
    Diverged,
    Group,
    Undecided,
    check_comparable,
    differences,
    per_seed,
    row,
    rows_at,
    select,
    tuned,
)
from bench.judge.papers import Claim, Paper
from bench.judge.parts import Part, Planner, Tests, interval, p_text, planner
from bench.judge.statistics import Interval
from bench.run.notes import Metric, note

IDENTITY = "largest difference"


@dataclass(frozen=True)
class Tested:
    """What a check came to: its parts, the groups compared with a number a seed for each, and what else there is to say."""

    parts: Sequence[Part]
    groups: Sequence[Group]
    values: Sequence[np.ndarray]
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Verdict:
    """What the runs say of a claim at a scale. `groups` are the means of what was compared; `stale` counts runs of other code."""

    verdict: str
    reason: str
    parts: tuple[Part, ...] = ()
    groups: tuple[tuple[str, Interval], ...] = ()
    seeds: int | None = None
    stale: int = 0
    planner: Planner | None = None


@dataclass(frozen=True)
class Judged:
    """A claim of a paper with its verdict at one scale."""

    paper: str
    name: str
    claim: Claim
    audit: bool
    scale: str
    verdict: Verdict


def judge_all(papers: Mapping[str, Paper], records: Iterable[Record], scales: Sequence[str]) -> list[Judged]:
    """Every claim and audit of every paper at every scale."""
    runs = by_experiment(records)
    return [
        Judged(paper, name, claim, audit, scale, judge(claim, runs.get(f"{claim.experiment}@{scale}", []), scale))
        for paper, content in papers.items()
        for name, claim, audit in content.judged()
        for scale in scales
    ]


def judge(claim: Claim, runs: Sequence[Record], scale: str) -> Verdict:
    """The verdict on one claim from its experiment's runs at `scale`."""
    if scale not in claim.scales:
        return Verdict("not comparable", f"decided at {' and '.join(claim.scales)} scale only")
    if not any(r.ended for r in runs):
        crashed = sum(r.state == "failed" for r in runs)
        return Verdict("not run", f"no run has ended{f', {crashed} crashed' if crashed else ''}")
    stale = sum(r.state == "stale" for r in runs)
    metric = note(runs[0].task).metrics[claim.check.metric]
    tests = Tests(claim.deterministic)
    try:
        found = _decide([_KINDS[check.kind](check, runs, metric, tests) for check in claim.checks()])
    except Diverged as error:
        subjects = [getattr(check, "of", None) for check in claim.checks()]
        verdict = "not reproduced" if error.where in subjects else error.verdict
        return Verdict(verdict, error.reason, stale=stale)
    except Undecided as error:
        return Verdict(error.verdict, error.reason, stale=stale)
    return replace(found, stale=stale)


# ---- the kinds


def _value(check: Value, runs: Sequence[Record], metric: Metric, tests: Tests) -> Tested:
    groups = [select(where, runs) for where in check.groups()]
    if isinstance(check.target, dict):
        values = _numbers(groups, check.budget, check.metric, check.at)
        name = f"{groups[0].label} minus {groups[1].label}"
        parts = [tests.equivalence(name, values[0] - values[1], (-check.margin, check.margin))]
        return Tested(parts, groups, values)
    parts, values = [], []
    for group, (_, at, number, margin) in zip(groups, check.numbers()):
        values.append(_values(group, check.metric, at))
        place = "".join(f", {name} {value}" for name, value in (at or {}).items() if at != check.at)
        parts.append(tests.equivalence(group.label + place, values[-1], (number - margin, number + margin)))
    return Tested(parts, groups, values)


def _bound(check: Bound, runs: Sequence[Record], metric: Metric, tests: Tests) -> Tested:
    group = select(check.of, runs)
    extreme = {"min": min, "max": max, None: None}[check.curve]

    def number(r: Record) -> Any:
        if extreme is None:
            return row(r, check.at).get(check.metric)
        return extreme((x[check.metric] for x in r.curve if check.metric in x), default=None)

    values = np.array(list(per_seed(group, number).values()))
    accept = (-math.inf, check.at_most) if check.at_most is not None else (check.at_least, math.inf)
    name = group.label if check.curve is None else f"{check.curve}imum over the curve of {group.label}"
    return Tested([tests.one_sided(name, values, accept)], [group], [values])


def _slope(check: Slope, runs: Sequence[Record], metric: Metric, tests: Tests) -> Tested:
    groups = [select(where, runs, free=[check.over]) for where in check.groups()]
    slopes = [_slopes(group, check) for group in groups]
    parts = [tests.equivalence(f"slope of {groups[0].label}", slopes[0], check.within)]
    if len(groups) == 2:
        check_comparable(groups, None, free=[check.over])
        name = f"slope of {groups[0].label} minus that of {groups[1].label}"
        parts.append(tests.paired(name, slopes[1] - slopes[0], -1.0))
    return Tested(parts, groups, slopes)


def _better(check: Better, runs: Sequence[Record], metric: Metric, tests: Tests) -> Tested:
    return _comparisons(check, [(0, 1)], runs, metric, tests, check.by, check.factor)


def _ordering(check: Ordering, runs: Sequence[Record], metric: Metric, tests: Tests) -> Tested:
    places = [tier for tier, groups in enumerate(check.tiers) for _ in groups]
    pairs = [(i, j) for i, a in enumerate(places) for j, b in enumerate(places) if a < b]
    return _comparisons(check, pairs, runs, metric, tests, 0.0, None)


def _identity(check: Identity, runs: Sequence[Record], metric: Metric, tests: Tests) -> Tested:
    wheres = check.groups()
    free = [] if len(wheres) == 2 else sorted({k for r in runs for k in differences(r, runs[0])})
    groups = [select(where, runs, free) for where in wheres]
    if len(groups) == 2:
        values = _numbers(groups, check.budget, check.metric, check.at)
        errors = np.abs(values[0] - values[1])
    else:
        values = [np.array([row(r, check.at).get(check.metric) for r in groups[0].runs], float)]
        errors = np.abs(values[0] - check.equals)
    worst = float(errors.max()) if np.isfinite(errors).all() else math.inf
    part = tests.exactly(IDENTITY, worst, check.tolerance, len(errors))
    return Tested([part], groups, values)


_KINDS: dict[str, Callable[..., Tested]] = {
    "value": _value,
    "bound": _bound,
    "slope": _slope,
    "better": _better,
    "ordering": _ordering,
    "identity": _identity,
}


# ---- numbers and tests


def _numbers(groups: Sequence[Group], budget: str, metric: str, at: Any) -> list[np.ndarray]:
    """One number a seed for each group, once they may be compared."""
    check_comparable(groups, budget, at)
    return [_values(group, metric, at) for group in groups]


def _values(group: Group, metric: str, at: Any) -> np.ndarray:
    return np.array(list(per_seed(group, lambda r: row(r, at).get(metric)).values()))


def _slopes(group: Group, check: Slope) -> np.ndarray:
    """Log-log slope of each seed, over a column of the curve or over a config key."""
    columns = {check.over, check.metric}
    if "." not in check.over:
        kept = {r.seed: [x for x in rows_at(r, check.at or {}) if columns <= set(x)] for r in group.runs}
        points = {seed: [(x[check.over], x[check.metric]) for x in rows] for seed, rows in kept.items()}
    else:
        points = {seed: [] for seed in group.seeds}
        for r in group.runs:
            per_seed(Group(group.where, (r,)), lambda r: row(r, check.at).get(check.metric))
            points[r.seed].append((r.get(check.over), row(r, check.at)[check.metric]))
    per_seed(group, lambda r: float(len(points[r.seed])))  # refuses diverged runs
    xs = {tuple(x for x, _ in sorted(p)) for p in points.values()}
    if len(xs) != 1 or len(next(iter(xs))) < 2:
        raise Undecided("not comparable", f"{group.label}: seeds have different or too few values of {check.over}")
    y = np.array([[y for _, y in sorted(points[seed])] for seed in group.seeds], float)
    if not (y > 0).all():
        raise Undecided("not comparable", f"{group.label}: {check.metric} is not positive, it has no log-log slope")
    return stats.log_log_slopes(next(iter(xs)), y)


def _comparisons(
    check: Better | Ordering,
    pairs: Sequence[tuple[int, int]],
    runs: Sequence[Record],
    metric: Metric,
    tests: Tests,
    by: float,
    factor: float | None,
) -> Tested:
    """Paired tests that the first group of each pair is better than the second."""
    assert metric.better is not None
    groups = [select(where, runs, free=[check.tune] if check.tune else []) for where in check.groups()]
    notes = []
    if check.tune:
        chosen = [tuned(g, check.tune, check.metric, metric.better, check.at) for g in groups]
        notes = [f"{g.label}: {phrase}" for g, (_, phrase) in zip(groups, chosen)]
        groups = [group for group, _ in chosen]
    values = _numbers(groups, check.budget, check.metric, check.at)
    sign = 1.0 if metric.better == "higher" else -1.0
    parts = []
    for i, j in pairs:
        names = [groups[k].label for k in (i, j)]
        if factor is None:
            parts.append(tests.paired(" minus ".join(names), sign * (values[i] - values[j]) - by, sign, by))
        else:
            gains = sign * (values[i] - factor * values[j])
            ratio = interval(values[i] / values[j])
            accept = (factor, math.inf) if sign > 0 else (-math.inf, factor)
            parts.append(replace(tests.paired(" over ".join(names), gains, sign), interval=ratio, accept=accept))
    return Tested(parts, groups, values, notes)


def _decide(tested: Sequence[Tested]) -> Verdict:
    """All parts must hold, each at level alpha (an intersection-union test has level alpha as a whole); one part refuted, with
    Holm's correction since any of them would do, refutes the claim."""
    parts = [part for found in tested for part in found.parts]
    p, against = max(part.p for part in parts), min(stats.holm([part.against for part in parts]))
    n, exact = len(tested[0].values[0]), parts[0].interval.how == "exact"
    weakest = max(parts, key=lambda part: part.p)
    if p <= ALPHA:
        verdict, reason = "reproduced", _exactly(parts) if exact else p_text(p)
    elif against <= ALPHA:
        verdict = "not reproduced"
        refuted = min(parts, key=lambda part: part.against)
        reason = f"the opposite holds for {refuted.label}, {'exactly' if exact else p_text(against)}"
        weakest = replace(refuted, effect=None if refuted.effect is None else -refuted.effect)
    else:
        verdict, reason = "inconclusive", f"{p_text(p)} for {weakest.label}"
        if weakest.paired and 2.0**-n > ALPHA:
            reason = f"{n} seeds cannot decide: a sign-flip test needs 5"
    plan = planner(weakest, len(parts))
    if verdict == "inconclusive" and plan:
        reason += f"; needs {plan.needed or 'over 1000'} seeds for 80 % power at the effect measured"
    reasons = [reason, *(note for found in tested for note in found.notes)]
    shown = tuple((g.label, interval(v)) for found in tested for g, v in zip(found.groups, found.values))
    return Verdict(verdict, "; ".join(reasons), tuple(parts), shown, n, planner=plan)


def _exactly(parts: Sequence[Part]) -> str:
    errors = [part.interval.estimate for part in parts if part.label == IDENTITY]
    return f"exact; largest difference {max(errors):.2g}" if errors else "exact"
