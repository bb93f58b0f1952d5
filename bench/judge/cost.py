"""What the runs of a plan cost: measured where they ended, else estimated from their like, here or in the committed archive."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from bench.judge.archive import Record, by_experiment
from bench.judge.plan import Planned


@dataclass(frozen=True)
class Cost:
    """Seconds of the runs that ended, and an estimate for the rest: None where nothing tells."""

    spent: float
    left: float | None


def elsewhere(records: Iterable[Record], speed: float) -> dict[str, dict[str, list[float]]]:
    """Seconds a seed of archived runs, brought to this machine's speed: by "experiment@scale", then by job key and by method."""
    found: dict[str, dict[str, list[float]]] = {}
    for name, runs in by_experiment(records).items():
        known = found.setdefault(name, {})
        for run in runs:
            if run.seconds is not None:
                here = run.seconds * (run.speed / speed if run.speed else 1.0)
                known.setdefault(run.key, []).append(here)
                known.setdefault(run.method, []).append(here)
    return found


def cost(
    runs: Iterable[Planned],
    timed: Mapping[str, float] | None = None,
    archived: Mapping[str, Mapping[str, list[float]]] | None = None,
) -> Cost:
    """What `runs` of one experiment and scale cost.

    Measured for those that ended. For each other one the median of the runs of the same job or else method that ended here, or else those
    in the archive, or else `timed` (seconds a seed by job key, from a few steps).
    """
    runs, timed = list(runs), timed or {}
    spent = sum(_seconds(run) for run in runs if run.result is not None)
    estimates = [own for _, own in _estimates(runs, timed, archived)]
    return Cost(spent, None if None in estimates else sum(own for own in estimates if own is not None))


def longest_first(
    runs: Iterable[Planned],
    timed: Mapping[str, float] | None = None,
    archived: Mapping[str, Mapping[str, list[float]]] | None = None,
) -> list[Planned]:
    """The runs of one scale, those of the experiment before the others that has the most left to do; where nothing tells how much, first of all."""
    groups = _grouped(runs)
    left = {name: cost(group, timed, archived).left for name, group in groups.items()}
    order = sorted(groups, key=lambda name: math.inf if (own := left[name]) is None else own, reverse=True)
    return [run for name in order for run in groups[name]]


def limits(
    runs: Iterable[Planned],
    timed: Mapping[str, float] | None = None,
    archived: Mapping[str, Mapping[str, list[float]]] | None = None,
) -> dict[str, int]:
    """By experiment of one scale, minutes in which each job of it should end: three times what `cost` expects of the longest one's seeds together,
    and ten. An experiment of which nothing tells is left out."""
    groups = _grouped(runs)
    found = {}
    for name, group in groups.items():
        jobs: dict[str, float] = {}
        estimates = list(_estimates(group, timed or {}, archived))
        for run, own in estimates:
            jobs[run.job.key] = jobs.get(run.job.key, 0.0) + (own or 0.0)
        if jobs and all(own is not None for _, own in estimates):
            found[name] = 10 + math.ceil(3 * max(jobs.values()) / 60)
    return found


def _grouped(runs: Iterable[Planned]) -> dict[str, list[Planned]]:
    """The runs by experiment."""
    groups: dict[str, list[Planned]] = {}
    for run in runs:
        groups.setdefault(run.experiment, []).append(run)
    return groups


def _seconds(run: Planned) -> float:
    """Of a run that ended, its share of its batch."""
    assert run.result is not None
    return run.result["measured"]["wall_seconds"] / run.result["measured"]["seeds_in_batch"]


def _estimates(
    runs: Sequence[Planned], timed: Mapping[str, float], archived: Mapping[str, Mapping[str, list[float]]] | None
) -> Iterator[tuple[Planned, float | None]]:
    """Seconds of each run of one experiment and scale that is to do."""
    before = (archived or {}).get(f"{runs[0].experiment}@{runs[0].scale}", {}) if runs else {}
    here: dict[str, list[float]] = {}
    for run in runs:
        if run.result is not None:
            for name in (run.job.key, run.job.names["method"]):
                here.setdefault(name, []).append(_seconds(run))
    for run in runs:
        if run.to_do:
            key, method = run.job.key, run.job.names["method"]
            like = here.get(key) or before.get(key) or here.get(method) or before.get(method)
            yield run, median(like) if like else timed.get(key)
