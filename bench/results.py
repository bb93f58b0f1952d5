"""Results as pandas data frames, of your own runs and of the papers':

    from bench import results

    frame = results.load("results")
    frame.groupby("method")["test_accuracy"].median()
    curves = results.curves("results", method="ssvr")

Runs on disk come first; what they lack is taken from the committed archive, as in a fresh clone. Nothing on disk is changed.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from bench.errors import UserError, nearest
from bench.judge.archive import Record, read_all
from bench.judge.own import read_jobs
from bench.run.curve import read_metrics

RUN = ("task", "method", "dataset", "model", "seed", "scale", "status", "source", "key", "seconds", "precision", "code")
RUN = (*RUN, "folder", "finished")
FRONT = ("task", "method", "dataset", "model", "seed", "scale", "source", "key")  # of a curve's rows
MOST = 12  # values in an error line


@dataclass(frozen=True)
class _Found:
    """A run that ended, and where it was found; `finished` is when its result was written, `told` what that says of the curve."""

    record: Record
    source: str
    scale: str
    folder: Path | None = None
    finished: datetime | None = None
    told: dict[str, Any] | None = None

    def values(self) -> dict[str, Any]:
        """The columns that every run has."""
        mine = {name: getattr(self.record, name) for name in RUN if hasattr(self.record, name)}
        more = {"source": self.source, "scale": self.scale, "finished": self.finished}
        return mine | more | {"folder": None if self.folder is None else str(self.folder)}

    def curve(self) -> list[dict[str, Any]]:
        """Its rows; none, and a warning, where the file is damaged."""
        try:
            return self.record.curve if self.folder is None else read_metrics(self.folder, self.told)
        except (OSError, ValueError) as error:
            _warn(f"{self.folder}: left out, its curve cannot be read ({error})")
            return []


def load(
    root: str | Path = "results",
    where: Mapping[str, Any] | None = None,
    *,
    differing: bool = False,
    **equal: Any,
) -> pd.DataFrame:
    """A row a run that ended.

    Columns: task, method, dataset, model, seed, scale, status (finished or diverged), source (runs or archive), key, seconds, precision,
    code, folder and time of the result; every config value by its dotted path (method.lr; lists as tuples); every final metric that is one
    number (NaN where a run diverged or its task does not measure it).

    Args:
        root: results_root.
        where: values, or lists of values, by column or dotted path: {"method.lr": [1e-3, 1e-4]}.
        differing: leave out config values that are the same in all rows.
        equal: as `where`, for names that are words: method="ssvr", seed=[0, 1].

    Raises:
        UserError: nothing ended below `root`, or nothing that the filters select.
    """
    found = _selected(Path(root), {**(where or {}), **equal})
    configs = [_flat(f.record.config) for f in found]
    kept = _differing(configs) if differing else list(dict.fromkeys(path for config in configs for path in config))
    metrics = [
        {_apart(k, RUN): v for k, v in f.record.metrics.items() if not isinstance(v, dict | list)} for f in found
    ]
    names = list(dict.fromkeys(name for own in metrics for name in own))
    rows = [f.values() | {p: c.get(p) for p in kept} | own for f, c, own in zip(found, configs, metrics)]
    frame = pd.DataFrame(rows, columns=[*RUN, *kept, *names])
    frame["finished"] = pd.to_datetime(frame["finished"], utc=True)
    return _numbers(frame, ["seconds", *names])


def curves(root: str | Path = "results", where: Mapping[str, Any] | None = None, **equal: Any) -> pd.DataFrame:
    """The curves in long form: a row a row of metrics.jsonl, behind its run's task, method, dataset, model, seed, scale, source and key and
    the config values in which the runs differ. Of archived runs there is what the papers' claims, tables and figures read.

    Args:
        root, where, equal: as of `load`.

    Raises:
        UserError: as `load`.
    """
    found = _selected(Path(root), {**(where or {}), **equal})
    configs = [_flat(f.record.config) for f in found]
    kept = _differing(configs)
    rows = []
    for f, config in zip(found, configs):
        values = f.values()
        front = {name: values[name] for name in FRONT} | {path: config.get(path) for path in kept}
        rows += [front | {_apart(k, FRONT): v for k, v in row.items()} for row in f.curve()]
    if not rows:
        raise UserError(f"{root}: the runs selected have no curves")
    frame = pd.DataFrame(rows)
    return _numbers(frame, [name for name in frame.columns if name not in {*FRONT, *kept}])


def archive_records(root: Path) -> list[Record]:
    """Every run of the committed archives below results_root."""
    return read_all(root, _warn)


def _warn(line: str) -> None:
    warnings.warn(line, stacklevel=2)


def _selected(root: Path, where: Mapping[str, Any]) -> list[_Found]:
    """The runs that the filters select, in the order of task, method, data set, key and seed."""
    if not root.is_dir():
        raise UserError(
            f"{root}: no such folder; results lie where results_root of your runs says, by default in results"
        )
    found = {(f.record.key, f.record.seed): f for f in _archived(root)}
    found |= {(f.record.key, f.record.seed): f for f in _on_disk(root)}
    if not found:
        raise UserError(
            f"{root}: no run that ended; python run.py method=ssvr dataset=digits results_root={root} makes one"
        )
    runs = sorted(
        found.values(), key=lambda f: (f.record.task, f.record.method, f.record.dataset, f.record.key, f.record.seed)
    )
    for name, value in where.items():
        kept = [f for f in runs if _matches(f, name, _choices(value))]
        if not kept:
            raise UserError(_nothing(root, name, value, runs))
        runs = kept
    return runs


def _choices(value: Any) -> list[Any]:
    return [_plain(v) for v in (value if isinstance(value, list | set | range) else [value])]


def _value(found: _Found, name: str) -> Any:
    return _plain(found.values().get(name) if name in RUN else found.record.get(name))


def _matches(found: _Found, name: str, choices: list[Any]) -> bool:
    """Is the run's value one of these? A run that serves several scales ("mini, paper") is of each."""
    return _value(found, name) in choices or (name == "scale" and not set(choices).isdisjoint(found.scale.split(", ")))


def _nothing(root: Path, name: str, value: Any, runs: list[_Found]) -> str:
    names = {*RUN, *(path for f in runs for path in _flat(f.record.config))}
    if name not in names and all(_value(f, name) is None for f in runs):
        return f"{name}: runs are selected by {', '.join(RUN)} and by config values as method.lr{nearest(name, names)}"
    known = sorted({str(_value(f, name)) for f in runs})
    more = f" and {len(known) - MOST} more" if len(known) > MOST else ""
    return f"{root}: no run has {name} = {value!r}; there are: {', '.join(known[:MOST])}{more}{nearest(value, known)}"


def _archived(root: Path) -> Iterator[_Found]:
    for record in archive_records(root):
        if record.ended:
            scales = sorted({name.partition("@")[2] for name in record.experiments})
            yield _Found(record, "archive", ", ".join(scales))


def _on_disk(root: Path) -> Iterator[_Found]:
    for job in read_jobs(root, _warn):
        for run, record in zip(job.runs, job.records()):
            if run.result is not None:
                written = datetime.fromtimestamp(run.changed, UTC)
                yield _Found(
                    record, "runs", str(run.result.get("scale", "")), run.folder, written, run.result.get("curve")
                )


def _flat(config: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """{"method.lr": 0.001}"""
    return {f"{part}.{key}": _plain(value) for part, node in config.items() for key, value in node.items()}


def _plain(value: Any) -> Any:
    """What can stand in a column and be grouped by: lists as tuples, mappings as JSON."""
    if isinstance(value, list | tuple):
        return tuple(map(_plain, value))
    return json.dumps(value, sort_keys=True) if isinstance(value, dict) else value


def _differing(configs: Iterable[dict[str, Any]]) -> list[str]:
    """The paths whose values are not the same in all of the configs; one that some lack is not."""
    configs = list(configs)
    paths = dict.fromkeys(path for config in configs for path in config)
    return [p for p in paths if any(p not in c or c[p] != configs[0].get(p) for c in configs)]


def _apart(name: str, taken: Iterable[str]) -> str:
    """A metric's name; one that a run's own column bears gets a prefix."""
    return f"metric.{name}" if name in taken else name


def _numbers(frame: pd.DataFrame, names: Iterable[str]) -> pd.DataFrame:
    """Columns of numbers and nulls as numbers: null is NaN."""
    for name in names:
        if frame[name].dtype == object and all(v is None or isinstance(v, int | float) for v in frame[name]):
            frame[name] = frame[name].astype(float)
    return frame
