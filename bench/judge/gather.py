"""From run folders to a paper's archive: what the plan says of each run, and of those that ended what the paper reads."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.judge.archive import (
    DIGITS,
    Record,
    Report,
    archive_path,
    complain,
    paper_of,
    read_archive,
    text_of,
    write_archive,
)
from bench.judge.papers import Paper
from bench.judge.plan import Planned
from bench.judge.readers import Reader, kept, readers
from bench.run import memo
from bench.run.atomic import Damaged
from bench.run.curve import read_metrics
from bench.run.files import RESULT
from bench.run.options import options
from bench.run.store import read_environment

VARIES = ("attempt", "code", "git_commit", "git_dirty", "hardware", "speed")  # between runs of one machine


class Gathered:
    """Which results the archive of a paper already holds, so that their curves are not read again."""

    def __init__(self, root: Path, paper: str, wanted: str) -> None:
        self._name = f"gathered/{hashlib.sha256(str(root).encode()).hexdigest()[:12]}-{paper}"
        self._path, self._wanted = archive_path(root, paper), wanted
        self._known: dict[str, Any] = memo.read(self._name, self._key()) or {}
        self._now: dict[str, Any] = {}

    def _key(self) -> str:
        content = self._path.read_bytes() if self._path.exists() else b""
        return hashlib.sha256(f"{self._wanted}\0{memo.digest_of_files('bench/judge')}\0".encode() + content).hexdigest()

    def holds(self, run: Planned, serves: Iterable[str]) -> bool:
        """Has the run's result not changed since it was put into the archive as it is now, for the same experiments?"""
        stamp = None
        with contextlib.suppress(OSError):
            status = (run.folder / RESULT).stat()
            stamp = [status.st_size, status.st_mtime_ns, sorted(serves)]
        self._now[str(run.folder)] = stamp
        return stamp is not None and self._known.get(str(run.folder)) == stamp

    def save(self) -> None:
        """After the archive was written."""
        memo.keep(self._name, self._key(), self._known | self._now)


def refresh(root: Path, name: str, paper: Paper, planned: Iterable[Planned], report: Report = complain) -> list[Record]:
    """Bring the archive of a paper up to date with the plan's runs: those of other experiments and scales stay as they are,
    those of experiments that are no more go.

    A run whose curve is damaged is reported, and is taken to have no result.
    """
    planned = [run for run in planned if paper_of(run.experiment) == name]
    path = archive_path(root, name)
    old = read_archive(path, report)
    covered = {f"{run.experiment}@{run.scale}" for run in planned}
    wanted = {experiment: readers(paper, experiment) for experiment in options("experiment")}
    gathered = Gathered(root, name, json.dumps(paper.model_dump()))
    fresh = {(r.key, r.seed): r for r in collect(planned, old, wanted, gathered, report)}
    records = []
    for record in old:
        others = tuple(name for name in record.experiments if name not in covered and name.partition("@")[0] in wanted)
        new = fresh.pop((record.key, record.seed), None)
        if new is not None:
            records.append(replace(new, experiments=tuple(sorted({*others, *new.experiments}))))
        elif others:
            records.append(replace(record, experiments=others))
    records = sorted([*records, *fresh.values()], key=lambda r: r.experiments)  # stable: the plan's order within
    write_archive(path, text_of(records))
    gathered.save()
    return records


def collect(
    planned: Iterable[Planned],
    old: Iterable[Record] = (),
    wanted: dict[str, list[Reader]] | None = None,
    gathered: Gathered | None = None,
    report: Report = complain,
) -> list[Record]:
    """A record for every planned run, in the plan's order: from its folder, else the one that `old` has of it, else without numbers.

    Args:
        wanted: what is read of the curves of each experiment; None: everything.
    """
    before = {(record.key, record.seed): record for record in old}
    serving: dict[tuple[str, int], list[Planned]] = {}
    for run in planned:
        serving.setdefault((run.job.key, run.seed), []).append(run)
    found = []
    for where, runs in serving.items():
        record = _record(runs, before.get(where), wanted, gathered, report)
        found.append(replace(record, experiments=tuple(sorted({f"{run.experiment}@{run.scale}" for run in runs}))))
    return found


def _record(
    runs: list[Planned],
    old: Record | None,
    wanted: dict[str, list[Reader]] | None,
    gathered: Gathered | None,
    report: Report,
) -> Record:
    run = runs[0]
    job, result = run.job, run.result
    serves = {r.experiment for r in runs} | {e.partition("@")[0] for e in (old.experiments if old else ())}
    known = old if old is not None and old.ended else None
    unchanged = known is not None and result is not None and gathered is not None and gathered.holds(run, serves)
    read = None if result is None or unchanged else _read(run, result, report)
    if known is not None and read is None:
        current = "diverged" if known.diverged else "done"
        return replace(known, state=current if known.code == job.code else "stale")
    if result is None or read is None:
        return _blank(run)
    environment, curve = read
    if wanted is not None:
        curve = kept(curve, [reader for experiment in sorted(serves & set(wanted)) for reader in wanted[experiment]])
    return replace(
        _blank(run),
        state=run.state,
        status=result["status"],
        code=result["code"],
        precision=result["precision"],
        seconds=round(result["measured"]["wall_seconds"] / result["measured"]["seeds_in_batch"], 3),
        metrics=result["metrics"],
        curve=curve,
        environment={k: v for k, v in environment.items() if k not in VARIES},
        speed=environment.get("speed"),
    )


def _blank(run: Planned) -> Record:
    """A run without numbers."""
    job, names = run.job, run.job.names
    return Record(
        experiments=(),
        task=names["task"],
        method=names["method"],
        dataset=names["dataset"],
        model=names.get("model", ""),
        key=job.key,
        seed=run.seed,
        state="missing" if run.result is not None else run.state,
        status="",
        code="",
        precision="",
        seconds=None,
        config={part: {k: v for k, v in node.items() if k != "_target_"} for part, node in job.parts.items()},
        metrics={},
        curve=[],
    )


def _read(run: Planned, result: dict[str, Any], report: Report) -> tuple[dict[str, Any], list[dict[str, Any]]] | None:
    """The environment and curve of a run that ended; None, and a line, where its curve is damaged."""
    try:
        curve = [_rounded(row) for row in read_metrics(run.folder, result.get("curve"))]
    except (OSError, Damaged) as error:
        report(f"{run.folder}: left out, {error}; the same command computes it again")
        return None
    try:
        return read_environment(run.folder), curve
    except (OSError, Damaged) as error:
        report(f"{run.folder}: {error}; its machine is not known")
        return {}, curve


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    return {k: float(f"{v:.{DIGITS}g}") if isinstance(v, float) else v for k, v in row.items()}
