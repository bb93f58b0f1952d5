"""What tells the jobs of an experiment apart in its tables, what they all share, and which is best."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from bench.judge import statistics as stats
from bench.judge.archive import Record
from bench.run.options import swept

Job = Sequence[Record]


def keys_of(experiment: str, jobs: Sequence[Job]) -> list[str]:
    """Options and dotted keys, one for each that the experiment sweeps; for a value that is only put into others (as per_method.size is into
    dataset.train_size) the first of those that tell apart the jobs that are otherwise alike."""
    names = list(swept(experiment))
    own = [name for name in names if any(job[0].get(name) is not None for job in jobs)]
    found = list(own)
    if len(own) < len(names):
        alike: dict[tuple[str, ...], list[Job]] = {}
        for job in jobs:
            alike.setdefault(tuple(str(job[0].get(name)) for name in own), []).append(job)
        several = [group for group in alike.values() if len(group) > 1]
        found += _apart(several)[: len(names) - len(own)]
    return found or ["method"]


def _apart(groups: Sequence[Sequence[Job]]) -> list[str]:
    """Dotted keys of which every job of a group has another value, in the order of the configs."""
    paths = dict.fromkeys(
        f"{part}.{name}" for group in groups for job in group for part, node in job[0].config.items() for name in node
    )
    return [p for p in paths if groups and all(len({str(job[0].get(p)) for job in g}) == len(g) for g in groups)]


def best(experiment: str, jobs: Sequence[Job], metric: str, better: str | None) -> list[bool]:
    """Is a job the best of those that differ from it in their method alone, or not seen to be worse than that one?

    By the test of the claims: the interval of the median of the differences, paired by seed, at 95 %. Nobody is where that tells nobody apart.
    """
    marked = [False] * len(jobs)
    if better is None:
        return marked
    others = [key for key in keys_of(experiment, jobs) if key != "method"]
    alike: dict[tuple[str, ...], list[int]] = {}
    for k, job in enumerate(jobs):
        values = [job[0].get(key) for key in others]
        if None not in values:  # what has no such key is beside the others for reference
            alike.setdefault(tuple(map(str, values)), []).append(k)
    for group in alike.values():
        values = {k: found for k in group if (found := _by_seed(jobs[k], metric))}
        sign = 1 if better == "higher" else -1
        if len(values) < 2:
            continue
        first = max(values, key=lambda k: sign * float(np.median(list(values[k].values()))))
        ties = [k for k in values if k == first or not _worse(values[k], values[first], sign)]
        if len(ties) < len(values):
            for k in ties:
                marked[k] = True
    return marked


def _by_seed(job: Job, metric: str) -> dict[int, float]:
    values = {r.seed: r.metrics.get(metric) for r in job if r.ended and not r.diverged}
    return {seed: float(v) for seed, v in values.items() if isinstance(v, int | float) and math.isfinite(v)}


def _worse(own: Mapping[int, float], top: Mapping[int, float], sign: int) -> bool:
    """Does the interval of the paired differences lie beyond 0?"""
    common = sorted(set(own) & set(top))
    return len(common) > 1 and stats.median_interval([sign * (top[s] - own[s]) for s in common]).low > 0
