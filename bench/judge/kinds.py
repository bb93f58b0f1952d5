"""The kinds of checks: from an experiment's runs to quantities with one number a run. A run that diverged counts against the side that
claims to win."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.judge import statistics as stats
from bench.judge.archive import Record
from bench.judge.checks import Better, Bound, Identity, Ordering, Share, Slope, Value
from bench.judge.groups import (
    Group,
    Undecided,
    check_comparable,
    check_grids,
    differences,
    per_seed,
    row,
    rows_at,
    select,
    tuned,
)
from bench.judge.parts import Quantity

ANY = (-math.inf, math.inf)  # what is known of a run whose rival diverged


@dataclass(frozen=True)
class Tested:
    """What a check came to: its quantities, the groups compared with a number a seed for each, and what else there is to say.

    reversed: the quantities of the opposite of a "no worse than", none of which may hold as well.
    """

    quantities: Sequence[Quantity]
    groups: Sequence[Group]
    values: Sequence[Sequence[float | None]]
    notes: Sequence[str] = ()
    reversed: Sequence[Quantity] = ()


def _quantity(
    check: Any, label: str, pairs: Iterable[tuple[float, float]], accept: tuple[float, float], **more: Any
) -> Quantity:
    """With the estimand of the check; `pairs` are the two ends of what is known of each run."""
    low, high = np.array(list(pairs), float).reshape(-1, 2).T
    law = {"law": check.estimand, "bounds": check.range}
    return Quantity(label, low, high, accept, **(law | more))


def _value(check: Value, runs: Sequence[Record], better: str | None) -> Tested:
    groups = [select(where, runs) for where in check.groups()]
    if isinstance(check.target, dict):
        values = _numbers(groups, check.budget, check.metric, check.at)
        of, than = groups[0].label, groups[1].label
        if check.margin is not None:
            name, accept, bounds = f"{of} minus {than}", (-check.margin, check.margin), _spread(check)
            ends = _differences(values, accept)
        else:
            assert check.relative is not None
            name, accept, bounds = (
                f"{of} over {than}",
                (1 / (1 + check.relative), 1 + check.relative),
                _ratio_bounds(check),
            )
            ends = _ratios(groups, values, accept)
        return Tested([_quantity(check, name, ends, accept, bounds=bounds)], groups, values)
    quantities, values = [], []
    for group, (_, at, number, margin) in zip(groups, check.numbers()):
        values.append(_values(group, check.metric, at))
        place = "".join(f", {name} {value}" for name, value in (at or {}).items() if at != check.at)
        accept = (number - margin, number + margin)
        quantities.append(_quantity(check, group.label + place, _alone(values[-1], accept), accept))
    return Tested(quantities, groups, values)


def _bound(check: Bound, runs: Sequence[Record], better: str | None) -> Tested:
    group = select(check.of, runs)
    extreme = {"min": min, "max": max, None: None}[check.curve]

    def number(r: Record) -> Any:
        if extreme is None:
            return row(r, check.at).get(check.metric)
        return extreme((x[check.metric] for x in r.curve if x.get(check.metric) is not None), default=None)

    values = list(per_seed(group, number).values())
    accept = _between(check.at_least, check.at_most)
    name = group.label if check.curve is None else f"{check.curve}imum over the curve of {group.label}"
    return Tested([_quantity(check, name, _alone(values, accept), accept)], [group], [values])


def _slope(check: Slope, runs: Sequence[Record], better: str | None) -> Tested:
    groups = [select(where, runs, free=[check.over]) for where in check.groups()]
    slopes, over = zip(*(_slopes(group, check) for group in groups))
    quantities = [_quantity(check, f"slope of {groups[0].label}", _alone(slopes[0], check.within), check.within)]
    if len(groups) == 2:
        check_comparable(groups, None, free=[check.over])
        if all(over) and over[0] != over[1]:
            shown = " and ".join(", ".join(f"{x:g}" for x in xs) for xs in over)
            raise Undecided("not comparable", f"the two slopes are over different values of {check.over}: {shown}")
        name = f"slope of {groups[0].label} minus that of {groups[1].label}"
        below = (-math.inf, 0.0)
        ends = _differences(slopes, below)
        quantities.append(_quantity(check, name, ends, below, strict=True, bounds=_spread(check)))
    return Tested(quantities, groups, slopes)


def _better(check: Better, runs: Sequence[Record], better: str | None) -> Tested:
    return _comparisons(check, [(0, 1)], runs, better, check.by, check.factor)


def _ordering(check: Ordering, runs: Sequence[Record], better: str | None) -> Tested:
    places = [tier for tier, groups in enumerate(check.tiers) for _ in groups]
    pairs = [(i, j) for i, a in enumerate(places) for j, b in enumerate(places) if a < b]
    return _comparisons(check, pairs, runs, better, 0.0, None)


def _share(check: Share, runs: Sequence[Record], better: str | None) -> Tested:
    group = select(check.of, runs)
    values = _values(group, check.metric, check.at)
    event = _between(check.above, check.below)
    accept = _between(check.at_least, check.at_most, (0.0, 1.0))
    inside = event[0] if check.above is not None else event[1]
    diverged = inside if check.at_most is not None else math.nan  # counts against the claim
    ends = [(diverged if v is None else v,) * 2 for v in values]
    name = f"share of {group.label} {'at least' if check.above is not None else 'at most'} {inside:g}"
    return Tested([_quantity(check, name, ends, accept, law="share", event=event)], [group], [values])


def _identity(check: Identity, runs: Sequence[Record], better: str | None) -> Tested:
    wheres = check.groups()
    free = [] if len(wheres) == 2 else sorted({k for r in runs for k in differences(r, runs[0])})
    groups = [select(where, runs, free) for where in wheres]
    if len(groups) == 2:
        values = _numbers(groups, check.budget, check.metric, check.at)
        ends = _against(values[0], values[1], lambda a, b: abs(a - b), ANY)
    else:
        assert not isinstance(check.equals, dict)
        values = [[None if r.diverged else row(r, check.at).get(check.metric) for r in groups[0].runs]]
        if not all(r.diverged or isinstance(v, int | float) for r, v in zip(groups[0].runs, values[0])):
            raise Undecided("not comparable", f"a run of {groups[0].label} has no such number")
        ends = [(math.nan, math.nan) if v is None else (abs(v - check.equals),) * 2 for v in values[0]]
    ends = [(math.nan, math.nan) if not math.isfinite(a) or not math.isfinite(b) else (a, b) for a, b in ends]
    name = "runs that are equal" if isinstance(check.equals, dict) else f"runs of {check.equals:g}"
    part = _quantity(check, f"share of {name}", ends, (check.share, 1.0), law="every", event=(0.0, check.tolerance))
    return Tested([part], groups, values)


KINDS: dict[str, Callable[..., Tested]] = {
    "value": _value,
    "bound": _bound,
    "slope": _slope,
    "better": _better,
    "ordering": _ordering,
    "share": _share,
    "identity": _identity,
}


# ---- numbers


def _numbers(groups: Sequence[Group], budget: str | None, metric: str, at: Any) -> list[list[float | None]]:
    """One number a seed for each group, once they may be compared."""
    check_comparable(groups, budget, at)
    return [_values(group, metric, at) for group in groups]


def _values(group: Group, metric: str, at: Any) -> list[float | None]:
    return list(per_seed(group, lambda r: row(r, at).get(metric)).values())


def _between(
    low: float | None, high: float | None, widest: tuple[float, float] = (-math.inf, math.inf)
) -> tuple[float, float]:
    """What lies at or above `low`, at or below `high`; an end that is not given is the widest."""
    return widest[0] if low is None else low, widest[1] if high is None else high


def _worst(numbers: Sequence[float], accept: tuple[float, float]) -> float:
    """Where a run that diverged counts most against the claim: beyond the end past which more of the others are, lest it balance them."""
    low, high = accept
    if math.isinf(low) or math.isinf(high):
        return math.inf if math.isinf(low) else -math.inf
    return -math.inf if sum(v < low for v in numbers) > sum(v > high for v in numbers) else math.inf


def _alone(values: Sequence[float | None], accept: tuple[float, float]) -> list[tuple[float, float]]:
    """Both ends of each number; a run that diverged counts against the claim."""
    worst = _worst([v for v in values if v is not None], accept)
    return [(worst if v is None else v,) * 2 for v in values]


def _against(
    a: Sequence[float | None],
    b: Sequence[float | None],
    number: Callable[[float, float], float],
    accept: tuple[float, float],
) -> list[Any]:
    """Both ends of each pair's number: against the claim where the first diverged, anything where the second did."""
    worst = _worst([number(x, y) for x, y in zip(a, b) if x is not None and y is not None], accept)
    return [(worst, worst) if x is None else ANY if y is None else (number(x, y),) * 2 for x, y in zip(a, b)]


def _differences(values: Sequence[Sequence[float | None]], accept: tuple[float, float]) -> list[Any]:
    return _against(values[0], values[1], lambda a, b: a - b, accept)


def _ratios(
    groups: Sequence[Group], values: Sequence[Sequence[float | None]], accept: tuple[float, float]
) -> list[Any]:
    for group, numbers in zip(groups, values):
        if any(v is not None and not v > 0 for v in numbers):
            raise Undecided("not comparable", f"{group.label}: not positive, it has no ratio; say by or margin")
    return _against(values[0], values[1], lambda a, b: a / b, accept)


def _spread(check: Any) -> tuple[float, float] | None:
    """What a difference of two numbers of the range cannot leave."""
    return None if check.range is None else (check.range[0] - check.range[1], check.range[1] - check.range[0])


def _ratio_bounds(check: Any) -> tuple[float, float] | None:
    return None if check.range is None else (check.range[0] / check.range[1], check.range[1] / check.range[0])


def _slopes(group: Group, check: Slope) -> tuple[list[float | None], tuple[float, ...]]:
    """Log-log slope of each seed, over a column of the curve or over a config key; None where one of its runs diverged.

    Returns:
        The slopes, and the values that they are over; none where every seed diverged.
    """
    columns = {check.over, check.metric}
    diverged = {r.seed for r in group.runs if r.diverged}
    runs = [r for r in group.runs if r.seed not in diverged]
    points: dict[int, list[tuple[float, Any]]] = {}
    for r in runs:
        if "." not in check.over:
            points[r.seed] = [(x[check.over], x[check.metric]) for x in rows_at(r, check.at or {}) if columns <= set(x)]
        else:
            (value,) = per_seed(Group(group.where, (r,)), lambda r: row(r, check.at).get(check.metric)).values()
            points.setdefault(r.seed, []).append((r.get(check.over), value))
    xs = {tuple(x for x, _ in sorted(p)) for p in points.values()}
    if points and (len(xs) != 1 or len(next(iter(xs))) < 2):
        raise Undecided("not comparable", f"{group.label}: seeds have different or too few values of {check.over}")
    if not points:
        return [None] * len(group.seeds), ()
    (x,) = xs
    y = np.array([[y for _, y in sorted(points[seed])] for seed in points], float)
    for name, numbers in ((check.over, np.array(x, float)), (check.metric, y)):
        if not (numbers > 0).all():
            raise Undecided("not comparable", f"{group.label}: {name} is not positive, it has no log-log slope")
    found = dict(zip(points, map(float, stats.log_log_slopes(x, y))))
    return [found.get(seed) for seed in group.seeds], x


def _comparisons(
    check: Better | Ordering,
    pairs: Sequence[tuple[int, int]],
    runs: Sequence[Record],
    better: str | None,
    by: float,
    factor: float | None,
) -> Tested:
    """Paired over seeds: the first group of each pair is better than the second."""
    assert better is not None
    groups = [select(where, runs, free=[check.tune] if check.tune else []) for where in check.groups()]
    notes = []
    if check.tune:
        check_grids(groups, check.tune)
        chosen = [tuned(g, check.tune, check.metric, better, check.at) for g in groups]
        notes = [f"{g.label}: {phrase}" for g, (_, phrase) in zip(groups, chosen)]
        groups = [group for group, _ in chosen]
    values = _numbers(groups, check.budget, check.metric, check.at)

    def part(i: int, j: int) -> Quantity:
        two, numbers = [groups[i], groups[j]], [values[i], values[j]]
        gate = factor if factor is not None else by if better == "higher" else 0.0 - by
        accept = (gate, math.inf) if better == "higher" else (-math.inf, gate)
        if factor is None:
            name, ends, bounds = " minus ", _differences(numbers, accept), _spread(check)
        else:
            name, ends, bounds = " over ", _ratios(two, numbers, accept), _ratio_bounds(check)
        return _quantity(check, name.join(g.label for g in two), ends, accept, bounds=bounds, strict=True)

    loosened = factor is not None and (factor < 1 if better == "higher" else factor > 1)
    turned = [part(j, i) for i, j in pairs] if loosened else []
    return Tested([part(i, j) for i, j in pairs], groups, values, notes, turned)
