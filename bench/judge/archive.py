"""results/archive/<paper>.jsonl.xz: every run of a paper's experiments, done or not. Verdicts, tables and figures are functions of it.

Lines of JSON, compressed: what it is; the environments that runs were computed in; the jobs; the runs. A curve keeps what the paper's
claims, figures and tables read of it (bench.judge.readers). The same records give the same lines.
"""

from __future__ import annotations

import json
import lzma
import math
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.errors import UserError
from bench.run.atomic import read_json, write_atomic
from bench.run.job import lookup
from bench.run.result import is_metric

FOLDER = "archive"  # below results_root
FORMAT = 1
DIGITS = 8  # significant digits of a curve; final metrics keep all of theirs
Report = Callable[[str], None]
JOB = ("key", "task", "method", "dataset", "model", "config")
OF_RUNS = (b'"run":', b'"experiments":')  # each stands in the line of a run, and in no other
STATUSES = ("", "finished", "diverged")
RUN = ("seed", "state", "status", "code", "precision", "seconds", "speed", "metrics", "curve")


def complain(line: str) -> None:
    """A line on stderr about a file that is damaged and left out."""
    print(line, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Record:
    """One seed of one job. `experiments` are "name@scale"; `config` the typed parts; `metrics` empty unless the run ended.

    `state` is what the plan says of it; `status`, "finished" or "diverged", is kept when the state becomes stale. `environment` is what it
    was computed with (env.json without what differs between runs of one machine), `speed` what bench.run.speed said of the machine then.
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
    environment: dict[str, Any] = field(default_factory=dict)
    speed: float | None = None

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


def paper_of(experiment: str) -> str:
    """The paper that an experiment belongs to: ssvr of ssvr/cifar10, or of ssvr/cifar10@mini."""
    return experiment.partition("/")[0]


def archive_path(root: Path, paper: str) -> Path:
    """The archive of a paper below results_root."""
    return root / FOLDER / f"{paper}.jsonl.xz"


def archived_papers(root: Path) -> list[str]:
    """The papers that have an archive."""
    return sorted(path.name.removesuffix(".jsonl.xz") for path in (root / FOLDER).glob("*.jsonl.xz"))


# ---- writing


def text_of(records: Iterable[Record]) -> str:
    """The archive's lines, before compression."""
    environments: dict[str, int] = {}
    jobs: dict[str, int] = {}
    head, body = [_json({"format": FORMAT})], []
    for record in records:
        environment = _json(record.environment) if record.environment else ""
        if environment and environment not in environments:
            environments[environment] = len(environments)
            head.append(f'{{"environment":{environment}}}')
        if record.key not in jobs:
            jobs[record.key] = len(jobs)
            body.append(_json({"job": {name: getattr(record, name) for name in JOB}}))
        run = {name: getattr(record, name) for name in RUN if getattr(record, name) not in ("", None, {}, [])}
        where = {"job": jobs[record.key], "experiments": list(record.experiments)}
        body.append(_json({"run": where | run | ({"environment": environments[environment]} if environment else {})}))
    return "\n".join([*head, *body]) + "\n"


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


def write_archive(path: Path, text: str) -> None:
    """Atomic; a file that holds these lines already stays as it is, whoever compressed it."""
    if decompressed(path) == text.encode():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, lambda file: file.write(lzma.compress(text.encode(), preset=6)))


# ---- reading


def read_archive(path: Path, report: Report = complain) -> list[Record]:
    """The records of one archive; none where the file is not there. A damaged record is reported and left out.

    Raises:
        UserError: the file is not one of ours or is cut short, or a line of it that several runs need is damaged.
    """
    if not path.exists():
        return []
    content = decompressed(path)
    if content is None:
        raise UserError(f"{path}: damaged; restore the file from git, or delete it and run `make report`")
    try:
        return list(_parsed(content, lambda line: report(f"{path}: {line}")))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: not an archive of runs ({error}); delete it and run `make report`") from None


def read_all(root: Path, report: Report = complain) -> list[Record]:
    """The records of every paper that has an archive."""
    return [record for paper in archived_papers(root) for record in read_archive(archive_path(root, paper), report)]


def decompressed(path: Path) -> bytes | None:
    """The lines of an archive; None where there is none or it is damaged."""
    try:
        return lzma.decompress(path.read_bytes())
    except (FileNotFoundError, IsADirectoryError, lzma.LZMAError, EOFError):
        return None


def _parsed(content: bytes, report: Report) -> Iterator[Record]:
    environments: list[dict[str, Any]] = []
    jobs: list[dict[str, Any]] = []
    seen: set[tuple[str, int]] = set()
    lines = content.split(b"\n")
    if lines.pop() != b"" or not lines:
        raise ValueError("cut short")
    for number, text in enumerate(lines, 1):
        if number == 1:
            if read_json(text).get("format") != FORMAT:
                raise ValueError("unknown format")
        elif not any(mark in text for mark in OF_RUNS):  # what several runs need is whole, or nothing is
            line = read_json(text)
            _part(line.get("environment"), environments) if "environment" in line else _part(line["job"], jobs)
        else:
            try:
                record = _record(read_json(text)["run"], jobs, environments)
                if (record.key, record.seed) in seen:
                    raise ValueError(f"seed {record.seed} of {record.key[:12]} stands in it twice")
            except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
                report(f"line {number}: left out, {_called(text, jobs)} is damaged ({error})")
                continue
            seen.add((record.key, record.seed))
            yield record


def _part(content: Any, parts: list[dict[str, Any]]) -> None:
    if not isinstance(content, dict):
        raise TypeError("no job or environment where one should be")
    parts.append(content)


def _called(text: bytes, jobs: list[dict[str, Any]]) -> str:
    """What a damaged line tells of its run: `egab on nyse_o, key 1f0e..., seed 3`."""
    job, seed = re.search(rb'"job":(\d{1,9})[,}]', text), re.search(rb'"seed":(\d{1,30})[,}]', text)
    what = "a run"
    if job and int(job[1]) < len(jobs):
        of = jobs[int(job[1])]
        what = f"{of.get('method')} on {of.get('dataset')}, {str(of.get('key'))[:12]}"
    return what + (f", seed {int(seed[1])}" if seed else "")


def _record(run: dict[str, Any], jobs: list[dict[str, Any]], environments: list[dict[str, Any]]) -> Record:
    empty: dict[str, Any] = {"status": "", "code": "", "precision": "", "seconds": None, "metrics": {}, "curve": []}
    where = {"experiments": tuple(run.pop("experiments")), **jobs[run.pop("job")]}
    place = run.pop("environment", None)
    record = Record(**{**empty, **run}, **where, environment={} if place is None else environments[place])
    if not (
        isinstance(record.curve, list)
        and all(isinstance(row, dict) for row in record.curve)
        and isinstance(record.metrics, dict)
        and is_metric(record.metrics)
        and isinstance(record.config, dict)
        and type(record.seed) is int
        and record.seed >= 0
        and record.status in STATUSES
        and isinstance(record.state, str)
        and all(isinstance(name, str) for name in (*record.experiments, record.key, record.code, record.precision))
        and all(n is None or (isinstance(n, int | float) and math.isfinite(n)) for n in (record.seconds, record.speed))
    ):
        raise TypeError("no seed, status, config, metrics and curve of the right kind")
    return record
