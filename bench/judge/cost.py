"""What the runs of a plan cost: measured where they ended, else estimated from their like, here or in the committed archive."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
    before = (archived or {}).get(f"{runs[0].experiment}@{runs[0].scale}", {}) if runs else {}
    here: dict[str, list[float]] = {}
    spent = 0.0
    for run in runs:
        if run.result is not None:
            own = run.result["measured"]["wall_seconds"] / run.result["measured"]["seeds_in_batch"]
            spent += own
            for name in (run.job.key, run.job.names["method"]):
                here.setdefault(name, []).append(own)
    left = 0.0
    for run in runs:
        if run.to_do:
            key, method = run.job.key, run.job.names["method"]
            like = here.get(key) or before.get(key) or here.get(method) or before.get(method)
            own = median(like) if like else timed.get(key)
            if own is None:
                return Cost(spent, None)
            left += own
    return Cost(spent, left)
