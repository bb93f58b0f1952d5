"""Runs that travel: finished runs as one file, and back into a results folder elsewhere, where `make report` takes them in.

A file holds lines of JSON, compressed: what it is; a job, then its runs with result, environment and whole curve; the next job. What comes in
is checked first: nothing is written unless every run's key follows from its config, and code and data are those of this project.
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bench.errors import UserError
from bench.run.atomic import Damaged, read_json, write_atomic, write_json
from bench.run.curve import check_curve, is_marked, rows_in
from bench.run.datafiles import digest_here
from bench.run.files import CONFIG, ENVIRONMENT, METRICS, NEW, RESULT
from bench.run.job import folder_name, full_key, key_of
from bench.run.locks import locked
from bench.run.options import options
from bench.run.result import load_result, parsed, read_result, text_of
from bench.run.store import put_in_place, read_config, write_config

FORMAT = {"claimbench_runs": 1}
NAMED = ("task", "method", "dataset")  # what the name of a job's folder is made of


@dataclass(frozen=True)
class Job:
    """A job as it travels: option names, typed parts, digests of the files that are part of its key."""

    names: dict[str, str]
    parts: dict[str, dict[str, Any]]
    data: dict[str, str]

    @property
    def key(self) -> str:
        return full_key(key_of(self.parts), self.data)

    @property
    def folder(self) -> Path:
        """Below results_root, as bench.run.job.Job's."""
        return Path("runs", self.names["task"], folder_name(self.names, key_of(self.parts), self.data))


def export(root: Path, chosen: Callable[[dict[str, Any]], bool], file: Path, report: Callable[[str], None]) -> int:
    """Write the finished runs below results_root whose result is chosen to one file; how many there were. A damaged one is reported and left out.

    Raises:
        UserError: there are none.
    """
    lines, count = [json.dumps(FORMAT)], 0
    for folder in sorted(path.parent for path in (root / "runs").glob(f"*/*/{CONFIG}")):
        found = [(f, r) for f in sorted(folder.glob("seed*")) if (r := _sound(f, report)) is not None and chosen(r)]
        if found:
            lines.append(json.dumps({"job": _readable(folder / CONFIG, lambda path: read_config(path.parent))}))
        for seed, result in found:
            curve = (seed / METRICS).read_text(encoding="utf-8")
            environment = _readable(seed / ENVIRONMENT, lambda path: read_json(path.read_bytes()))
            lines.append(json.dumps({"run": {"result": result, "environment": environment, "curve": curve}}))
        count += len(found)
    if not count:
        raise UserError(f"{root / 'runs'}: no finished run that was asked for")
    write_atomic(file, lambda out: out.write(lzma.compress("\n".join([*lines, ""]).encode())))
    return count


def _sound(seed: Path, report: Callable[[str], None]) -> dict[str, Any] | None:
    try:
        result = load_result(seed)
        if result is not None:
            check_curve(seed, result.get("curve"))
        return result
    except Damaged as damaged:
        report(f"{damaged}; left out")
        return None


def _readable(path: Path, read: Callable[[Path], Any]) -> Any:
    """What `read` makes of a file of a run; a damaged one is a UserError."""
    try:
        return read(path)
    except (ValueError, yaml.YAMLError, OSError):
        raise UserError(f"{path}: damaged; nothing was exported") from None


def bring_in(root: Path, file: Path, data_root: Path, report: Callable[[str], None]) -> tuple[int, int]:
    """Put the runs of a file below results_root: (how many came, how many were there already, of today's code).

    Raises:
        UserError: the file is damaged, or a run of it is not what this project would have computed; nothing was written.
    """
    runs = list(_checked(file, _read(file), data_root))
    came = 0
    for job, run in runs:
        folder = root / job.folder / f"seed{run['result']['seed']}"
        with locked(folder.parent, [run["result"]["seed"]], report):
            there = read_result(folder, job.key, report)
            if there is not None and there["code"] != run["result"]["code"]:
                report(f"{folder}: replaced, what was there was computed by other code")
            elif there is not None:
                if there["metrics"] != run["result"]["metrics"]:
                    report(f"{folder}: kept as it is; the run of {file.name} has other numbers")
                continue
            write_config(root / job.folder, job.key, job.names, job.parts, job.data)
            _write(folder, run)
            came += 1
    return came, len(runs) - came


def _write(folder: Path, run: dict[str, Any]) -> None:
    """Beside what is there, then in its place."""
    curve, result = run["curve"].encode(), text_of(run["result"])
    write_json(folder / (ENVIRONMENT + NEW), {**run["environment"], "imported": True})
    write_atomic(folder / (METRICS + NEW), lambda out: out.write(curve))
    write_atomic(folder / (RESULT + NEW), lambda out: out.write(result))
    put_in_place(folder)


def _read(file: Path) -> Iterator[dict[str, Any]]:
    try:
        lines = [read_json(line) for line in lzma.decompress(file.read_bytes()).splitlines()]
    except FileNotFoundError:
        raise UserError(f"{file}: no such file") from None
    except (OSError, lzma.LZMAError, EOFError, ValueError):
        raise UserError(f"{file}: damaged, or not written by `scripts/archive.py export`") from None
    if not lines or lines[0] != FORMAT:
        raise UserError(f"{file}: not written by `scripts/archive.py export`")
    yield from lines[1:]


def _checked(file: Path, lines: Iterable[dict[str, Any]], data_root: Path) -> Iterator[tuple[Job, dict[str, Any]]]:
    """The runs, each with its job.

    Raises:
        UserError: the first one that does not fit, in one line.
    """
    job: Job | None = None
    for number, line in enumerate(lines, 2):
        try:
            if "job" in line:
                job = _job(line["job"])
            else:
                assert job is not None
                yield job, _run(line["run"], job, data_root)
        except UserError as error:
            raise UserError(f"{file}: line {number}: {error}; nothing was imported") from None
        except (AssertionError, KeyError, TypeError, AttributeError, ValueError):
            raise UserError(f"{file}: line {number} is damaged; nothing was imported") from None


def _job(content: dict[str, Any]) -> Job:
    job = Job(content["names"], content["parts"], content.get("data", {}))
    for group in NAMED:
        if job.names[group] not in options(group):
            raise UserError(f"{group} '{job.names[group]}' is not known here")
    if job.key != content["key"]:
        raise UserError(f"the key {content['key'][:12]} is not that of the config")
    return job


def _run(run: dict[str, Any], job: Job, data_root: Path) -> dict[str, Any]:
    result = run["result"]
    where = f"{job.folder.name}, seed {result['seed']}"
    if result["key"] != job.key or not isinstance(result["seed"], int) or isinstance(result["seed"], bool):
        raise UserError(f"{where}: the key of the result is not that of its config")
    if result["code"] != job.code:
        raise UserError(
            f"{where}: computed by other code ({result['code']}, here {job.code}); check out the same commit"
        )
    if not job.data.items() <= (result.get("data") or {}).items():
        raise UserError(f"{where}: the key of the result is not that of its data")
    for name, digest in (result.get("data") or {}).items():
        own = digest_here(name, data_root)
        if own is not None and own != digest:
            raise UserError(f"{where}: computed from another {name} ({digest[:12]}, here {own[:12]})")
    curve = run["curve"].encode()
    rows_in(curve, job.folder)
    if parsed(text_of(result)) != result or not isinstance(run["environment"], dict):
        raise ValueError
    if "curve" in result and not is_marked(curve, result["curve"]):
        raise ValueError
    if any(result[part] != job.names[part] for part in NAMED):
        raise ValueError
    return run
