"""From quantities to a verdict and the sentence of why.

"reproduced" when the interval of what the claim speaks of lies inside of what it accepts, "not reproduced" when it lies outside, else
"inconclusive".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bench.judge import statistics as stats
from bench.judge.archive import Record
from bench.judge.checks import Check
from bench.judge.groups import Undecided
from bench.judge.kinds import KINDS, Tested
from bench.judge.parts import Part, Planner, Quantity, planner
from bench.judge.statistics import SIDE, Interval


@dataclass(frozen=True)
class Verdict:
    """What the runs say of a claim at a scale. `groups` are the medians of what was compared; `stale` counts runs of other code.

    notes: what else the check found, as the step sizes that it chose.
    """

    verdict: str
    reason: str
    parts: tuple[Part, ...] = ()
    groups: tuple[tuple[str, Interval], ...] = ()
    seeds: int | None = None
    stale: int = 0
    planner: Planner | None = None
    notes: tuple[str, ...] = ()


def decide(
    checks: Sequence[Check],
    runs: Sequence[Record],
    better: str | None,
    side: float = SIDE,
    deterministic: bool = False,
    next_side: float | None = None,
) -> Verdict:
    """The verdict on checks that all have to hold.

    Args:
        better: "higher" or "lower", where the metric has a better direction.
        deterministic: the numbers involve no randomness: runs have to agree, and are then taken as they are.
        next_side: the level at which more runs would be judged, where that is another one.
    """
    try:
        return _decide([KINDS[check.kind](check, runs, better) for check in checks], side, deterministic, next_side)
    except Undecided as error:
        return Verdict(error.verdict, error.reason)


def _decide(tested: Sequence[Tested], side: float, deterministic: bool, next_side: float | None) -> Verdict:
    quantities = [q for found in tested for q in found.quantities]
    if deterministic and not all(q.repeats for q in quantities):
        varies = next(q for q in quantities if not q.repeats)
        raise Undecided("not comparable", f"said to be deterministic, but {varies.label} differs between seeds")
    measure = (lambda q, level: q.exactly()) if deterministic else Quantity.interval
    corrected = side / len(quantities)
    own, shared = ([measure(q, level) for q in quantities] for level in (side, corrected))
    if all(q.holds(interval) for q, interval in zip(quantities, own)):
        verdict, intervals = "reproduced", own
        _one_way([q for found in tested for q in found.reversed], measure, side)
    else:
        verdict, intervals = "inconclusive", shared
        if any(q.refuted(interval) for q, interval in zip(quantities, shared)):
            verdict = "not reproduced"
    k = _telling(verdict, quantities, own, shared)
    plan = None
    if verdict == "inconclusive" and not deterministic:
        plan = planner(quantities[k], next_side or side, len(quantities), again=next_side is not None)
    notes = tuple(n for found in tested for n in found.notes)
    reasons = [_reason(verdict, quantities[k], intervals[k], len(quantities), plan), *notes]
    parts = [Part(q.label, interval, q.accept, q.law, q.strict) for q, interval in zip(quantities, intervals)]
    parts.insert(0, parts.pop(k))
    shown = tuple((g.label, _shown(v)) for found in tested for g, v in zip(found.groups, found.values))
    seeds = len(tested[0].values[0])
    return Verdict(verdict, "; ".join(reasons), tuple(parts), shown, seeds, planner=plan, notes=notes)


def _one_way(turned: Sequence[Quantity], measure: Callable[[Quantity, float], Interval], side: float) -> None:
    """Undecided where the opposite of a "no worse than" holds as well."""
    if turned and all(q.holds(measure(q, side)) for q in turned):
        said = turned[0].label.replace(" over ", " is no worse than ")
        raise Undecided(
            "not comparable", f"passes both ways ({said} as well): state it as equal, kind value with relative"
        )


def _telling(verdict: str, quantities: Sequence[Quantity], own: Sequence[Interval], shared: Sequence[Interval]) -> int:
    """Which part decides: the first that is refuted, else the first that does not hold, else the first."""
    for k, (q, mine, ours) in enumerate(zip(quantities, own, shared)):
        if q.refuted(ours) if verdict == "not reproduced" else not q.holds(mine):
            return k
    return 0


def _reason(verdict: str, q: Quantity, interval: Interval, parts: int, plan: Planner | None) -> str:
    """Why, in one line."""
    several = (
        f"all {parts} parts hold; {q.label}: "
        if parts > 1 and verdict == "reproduced"
        else f"{q.label}: "
        if parts > 1
        else ""
    )
    if q.law == "every":
        return several + _every(verdict, q, interval)
    if interval.how == "exact":
        return several + {"reproduced": "exact", "not reproduced": "exact, outside"}.get(verdict, "exact")
    level = f"{100 * interval.level:.4g} % interval of the {interval.how}"
    if verdict == "inconclusive":
        if not math.isfinite(interval.low) and not math.isfinite(interval.high):
            return f"{several}{q.n} runs cannot decide at {100 * interval.level:.4g} %, or too many of them diverged"
        return f"{several}the {level} reaches over the border{_more(plan)}"
    return f"{several}the {level} lies {'inside' if verdict == 'reproduced' else 'outside'}"


def _every(verdict: str, q: Quantity, interval: Interval) -> str:
    count = round(interval.estimate * q.n)
    worst = np.nanmax(q.high) if np.isfinite(q.high).any() else math.nan
    found = f"{count} of {q.n} runs within {q.event[1]:g}, largest difference {worst:.2g}"
    if verdict == "reproduced" and interval.how != "exact":
        return f"{found}; so of at least {interval.low:.0%} of runs ({100 * (1 - interval.side):.4g} % bound)"
    return found


def _more(plan: Planner | None) -> str:
    """How many runs would tell, for the verdict that the effect points to."""
    if plan is None:
        return ""
    needed = f"{plan.needed or 'over 1000'} runs{' of another attempt' if plan.again else ''}"
    return f"; {needed} would show {'it' if plan.towards == 'reproduced' else 'the opposite'} with 80 % probability, at the shares seen"


def _shown(values: Sequence[float | None]) -> Interval:
    """The median of a group; runs that diverged are at its upper end."""
    return stats.median_interval([math.inf if v is None else v for v in values])
