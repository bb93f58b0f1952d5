"""A run on disk: one folder a seed, written so that a kill at any moment loses nothing that was finished.

result.json exists = the run is done. It is written last: temporary file, fsync, rename. metrics.jsonl is written line by line. Where a
result is there already, an attempt writes beside it: env.json.new and metrics.jsonl.new, at its end result.json.new; from then on the
new result stands, and the three are renamed, now or by whoever holds the folder next.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf

from bench.errors import UserError
from bench.run.atomic import DISK_FULL, Damaged, plain, read_json, set_aside, write_atomic, write_json
from bench.run.crash import crash_line, show_traceback, traceback_lines
from bench.run.files import (
    CHECKPOINT,
    CONFIG,
    ENVIRONMENT,
    ERROR,
    FILES,
    METRICS,
    NEW,
    REPLACED,
    RESULT,
    TEMPORARY,
    beside,
)
from bench.run.job import PARTS, Job, full_key, key_of
from bench.run.result import FORMAT, is_metric, load_result, parsed, text_of

ABANDONED = 3600.0  # seconds after which nobody writes a job's temporary file any more
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def write_config(
    folder: Path, key: str, names: Mapping[str, str], parts: Mapping[str, Any], data: Mapping[str, str]
) -> None:
    """config.yaml of a job's folder; `data` is written where there are any."""
    own = {"data": dict(data)} if data else {}
    text = OmegaConf.to_yaml(OmegaConf.create({"key": key, "names": dict(names), **own, **parts}))
    write_atomic(folder / CONFIG, lambda file: file.write(text.encode()))


def read_config(folder: Path) -> dict[str, Any]:
    """What `write_config` wrote: {"key": ..., "names": {...}, "parts": {...}, "data": {...}}.

    Raises:
        OSError, ValueError, yaml.YAMLError: config.yaml is missing, cut short or not one of ours.
    """
    try:
        content = yaml.load((folder / CONFIG).read_text(encoding="utf-8"), Loader=_Loader)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if not isinstance(content, dict) or not isinstance(content.get("names"), dict) or "key" not in content:
        raise ValueError("no key and names in it")
    names = {str(part): str(name) for part, name in content["names"].items()}
    parts = {part: content[part] for part in PARTS if isinstance(content.get(part), dict)}
    if not {"task", "method", "dataset"} <= set(names) & set(parts):
        raise ValueError("no task, method and dataset in it")
    data = content.get("data", {})
    if not isinstance(data, dict) or full_key(key_of(parts), data) != content["key"]:
        raise ValueError("its key is not that of what stands in it")
    return {"key": content["key"], "names": names, "parts": parts, "data": data}


def settle(job: Job, report: Callable[[str], None]) -> None:
    """Put right what killed processes left in the folders of a job's seeds, which the caller holds: temporary files are removed, a new result
    that is whole is put in place, the checkpoint of an attempt that has ended goes, a damaged config.yaml is moved aside and written again.

    Raises:
        UserError: a folder stands in the place of a file.
    """
    for seed in job.settings.seeds:
        folder = job.seed_folder(seed)
        names = _own_files(folder, 0.0)
        if RESULT + NEW in names:
            _settle_new(folder, report)
        if CHECKPOINT in names:
            _drop_old_checkpoint(folder)
    if CONFIG in _own_files(job.folder, ABANDONED):
        try:
            same = read_config(job.folder) == {
                "key": job.key,
                "names": job.names,
                "parts": _as_read(job.parts),
                "data": dict(job.data),
            }
        except (OSError, ValueError, yaml.YAMLError):
            same = False
        if not same:
            moved = set_aside(job.folder / CONFIG)
            report(f"{job.folder / CONFIG} is damaged; moved to {moved.name}, writing it again")
            write_config(job.folder, job.key, job.names, job.parts, job.data)


def _own_files(folder: Path, age: float) -> set[str]:
    """Names of a folder's files that the runner writes, without temporary ones: those are removed if nothing was written for `age` seconds."""
    found = set()
    with os.scandir(folder) as entries:
        for entry in entries:
            if TEMPORARY.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                if time.time() - entry.stat().st_mtime >= age:
                    os.unlink(entry.path)
            elif entry.name in FILES or entry.name == CONFIG:
                if entry.is_dir():
                    raise UserError(f"{entry.path}: a folder stands where the runner writes a file; move it away")
                found.add(entry.name)
    return found


def _settle_new(folder: Path, report: Callable[[str], None]) -> None:
    path = folder / (RESULT + NEW)
    try:
        load_result(folder, path=path)
    except Damaged as damaged:
        report(f"{path} is damaged ({damaged.reason}); moved to {set_aside(path).name}")
    else:
        put_in_place(folder)


def _drop_old_checkpoint(folder: Path) -> None:
    """One from before the result is of the attempt that the result ended; a later one is of an attempt to replace it."""
    with contextlib.suppress(FileNotFoundError):
        if (folder / CHECKPOINT).stat().st_mtime_ns < (folder / RESULT).stat().st_mtime_ns:
            (folder / CHECKPOINT).unlink()


def put_in_place(folder: Path) -> None:
    """The whole new result replaces the old one; a kill between two of the renames is settled by the next process."""
    for name in REPLACED:
        with contextlib.suppress(FileNotFoundError):
            os.replace(folder / (name + NEW), folder / name)


def _as_read(parts: Mapping[str, Any]) -> Any:
    return json.loads(json.dumps(parts))


def prepare(job: Job, seeds: list[int], environment: dict[str, Any]) -> list[int]:
    """Protocol and environment on disk before the first step, beside those of a result that is there. The attempt's number by seed."""
    write_config(job.folder, job.key, job.names, job.parts, job.data)
    numbers = []
    for folder in map(job.seed_folder, seeds):
        end = beside(folder)
        for name in (ERROR, *(name + NEW for name in REPLACED if not end)):
            (folder / name).unlink(missing_ok=True)
        numbers.append(_attempts(folder) + 1)
        write_json(folder / (ENVIRONMENT + end), {"attempt": numbers[-1], "code": job.code, **environment})
    return numbers


def _attempts(folder: Path) -> int:
    found = [0]
    for name in (ENVIRONMENT, ENVIRONMENT + NEW):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            found.append(int(read_json((folder / name).read_bytes())["attempt"]))
    return max(found)


def read_environment(folder: Path) -> dict[str, Any]:
    """env.json; empty where it is missing.

    Raises:
        Damaged: it is not what was written.
    """
    path = folder / ENVIRONMENT
    try:
        content = read_json(path.read_bytes())
    except FileNotFoundError:
        return {}
    except IsADirectoryError:
        raise Damaged(path, "a folder") from None
    except ValueError as error:
        raise Damaged(path, str(error).splitlines()[0]) from None
    if not isinstance(content, dict) or not isinstance(content.get("speed"), int | float | None):
        raise Damaged(path, "no environment in it")
    return content


def write_result(
    job: Job,
    seed: int,
    status: str,
    metrics: dict[str, Any],
    data: dict[str, str],
    curve: dict[str, Any],
    measured: dict[str, Any],
) -> dict[str, Any]:
    """result.json: everything above `measured` is bit for bit the same however often the run was interrupted.

    Raises:
        UserError: a metric is none.
    """
    for name, value in metrics.items():
        if not is_metric(plain(value)):
            raise UserError(f"{job.title}: metric {name} = {value!r}: a number, null, or a list or mapping of such")
    result = {
        "format": FORMAT,
        "status": status,
        "task": job.names["task"],
        "method": job.names["method"],
        "dataset": job.names["dataset"],
        "seed": seed,
        "scale": job.settings.scale,
        "key": job.key,
        "code": job.code,
        "precision": job.settings.hardware.precision,
        "metrics": metrics,
        "data": data,
        "curve": curve,
        "measured": measured,
    }
    folder, text = job.seed_folder(seed), text_of(result)
    end = NEW if (folder / (METRICS + NEW)).exists() else ""
    write_atomic(folder / (RESULT + end), lambda file: file.write(text))
    if end:
        put_in_place(folder)
    return parsed(text)


def write_error(job: Job, seeds: list[int], error: BaseException) -> str:
    """error.json with the traceback's lines for each seed; the line for the person, which names it."""
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        line = f"disk full ({error.filename}: {error.strerror}); free some space and run the same command again, what was finished is kept"
    else:
        line = crash_line(error)
    show_traceback(error)
    written = None
    for seed in seeds:
        with contextlib.suppress(OSError):
            path = job.seed_folder(seed) / ERROR
            write_json(path, {"seed": seed, "error": line, "traceback": traceback_lines(error)})
            written = written or path
    return f"{line}; see {written}" if written else line
