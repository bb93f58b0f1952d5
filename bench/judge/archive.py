"""results/runs.csv: every run of every experiment, done or not, one row each. Verdicts, tables and figures are functions of this file alone."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.errors import UserError
from bench.judge.plan import Planned
from bench.run.job import lookup
from bench.run.store import read_metrics, write_atomic

COLUMNS = (
    "experiments",
    "task",
    "method",
    "dataset",
    "model",
    "key",
    "seed",
    "state",
    "status",
    "code",
    "precision",
    "seconds",
    "config",
    "metrics",
    "curve",
)
RUNS, VERDICT_TABLE = "runs.csv", "verdicts.csv"
DIGITS = 8  # significant digits of a curve; final metrics keep all of theirs


@dataclass(frozen=True)
class Record:
    """One seed of one job. `experiments` are "name@scale"; `config` the typed parts; `metrics` empty unless the run ended.

    `state` is what the plan says of it; `status`, "finished" or "diverged", is kept when the state becomes stale.
    """

    experiments: tuple[str, ...]
    task: str
    method: str
    dataset: str
    model: str
    key: str
    seed: int
    state: str
    status: str
    code: str
    precision: str
    seconds: float | None
    config: dict[str, Any]
    metrics: dict[str, Any]
    curve: list[dict[str, Any]]

    @property
    def ended(self) -> bool:
        """Has it a result (of this code or of other code, finite or diverged)?"""
        return bool(self.status)

    @property
    def diverged(self) -> bool:
        """Did a loss or parameter become NaN or infinite?"""
        return self.status == "diverged"

    def get(self, path: str) -> Any:
        """An option's name (method, dataset, model, task) or a config value by its dotted path; None where there is none."""
        names = {"method": self.method, "dataset": self.dataset, "model": self.model, "task": self.task}
        return lookup(path, names, self.config)


def by_experiment(records: Iterable[Record]) -> dict[str, list[Record]]:
    """The records of each "name@scale"; one that serves several stands under each."""
    found: dict[str, list[Record]] = {}
    for record in records:
        for name in record.experiments:
            found.setdefault(name, []).append(record)
    return found


def collect(planned: Iterable[Planned], old: Iterable[Record]) -> list[Record]:
    """A row for every planned run, in the plan's order: from its folder, else the row that `old` has of it, else without numbers."""
    before = {(record.key, record.seed): record for record in old}
    rows: dict[tuple[str, int], Record] = {}
    for run in planned:
        where, name = (run.job.key, run.seed), f"{run.experiment}@{run.scale}"
        if where in rows:
            rows[where] = replace(rows[where], experiments=tuple(sorted({*rows[where].experiments, name})))
        else:
            rows[where] = replace(_record(run, before.get(where)), experiments=(name,))
    return list(rows.values())


def _record(run: Planned, old: Record | None) -> Record:
    job, names = run.job, run.job.names
    if run.result is None and old is not None and old.ended:
        current = "diverged" if old.diverged else "done"
        return replace(old, state=current if old.code == job.code else "stale")
    result = run.result or {"status": "", "metrics": {}, "code": "", "precision": "", "measured": {}}
    seconds = result["measured"].get("wall_seconds")
    return Record(
        experiments=(),
        task=names["task"],
        method=names["method"],
        dataset=names["dataset"],
        model=names.get("model", ""),
        key=job.key,
        seed=run.seed,
        state=run.state,
        status=result["status"],
        code=result["code"],
        precision=result["precision"],
        seconds=None if seconds is None else round(seconds / result["measured"]["seeds_in_batch"], 3),
        config={part: {k: v for k, v in node.items() if k != "_target_"} for part, node in job.parts.items()},
        metrics=result["metrics"],
        curve=[_rounded(row) for row in read_metrics(run.folder)] if run.result is not None else [],
    )


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    return {k: float(f"{v:.{DIGITS}g}") if isinstance(v, float) else v for k, v in row.items()}


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


def write_records(path: Path, records: Iterable[Record]) -> None:
    """Atomic; the same records give the same bytes."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    written: set[str] = set()  # keys whose config stands in an earlier row
    for r in records:
        values = [getattr(r, name) for name in COLUMNS]
        values[0] = " ".join(r.experiments)
        values[11] = "" if r.seconds is None else r.seconds
        config = "" if r.key in written else _json(r.config)
        written.add(r.key)
        values[12:] = [config, _json(r.metrics) if r.ended else "", _json(r.curve) if r.curve else ""]
        writer.writerow(values)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, lambda file: file.write(text.getvalue().encode()))


def read_records(path: Path) -> list[Record]:
    """The rows of runs.csv; none where the file is not there.

    Raises:
        UserError: the file is not one of ours or is cut short.
    """
    if not path.exists():
        return []
    csv.field_size_limit(2**30)
    records: list[Record] = []
    configs: dict[str, Any] = {}
    with open(path, newline="", encoding="utf-8") as file:
        rows = csv.reader(file)
        if tuple(next(rows, ())) != COLUMNS:
            raise UserError(f"{path}: not a table of runs; delete it and run `make report`")
        for number, row in enumerate(rows, 2):
            try:
                values = dict(zip(COLUMNS, row, strict=True))
                records.append(_parsed(values, configs))
            except (ValueError, KeyError):
                raise UserError(
                    f"{path}: line {number} is damaged; restore the file from git and run `make report`"
                ) from None
    return records


def _parsed(values: dict[str, Any], configs: dict[str, Any]) -> Record:
    if values["config"]:
        configs[values["key"]] = json.loads(values["config"])
    values["experiments"] = tuple(values["experiments"].split())
    values["seed"] = int(values["seed"])
    values["seconds"] = float(values["seconds"]) if values["seconds"] else None
    values["config"] = configs[values["key"]]
    values["metrics"] = json.loads(values["metrics"] or "{}")
    values["curve"] = json.loads(values["curve"] or "[]")
    return Record(**values)
