"""A run on disk: one folder a seed, written so that a kill at any moment loses nothing that was finished.

result.json exists = the run is done. It is written last: temporary file, fsync, rename. metrics.jsonl is flushed line by line.
A lock (flock, released by the kernel when its process dies) keeps two processes from writing one folder.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import math
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from bench.errors import UserError
from bench.run.crash import crash_line, show_traceback, traceback_lines
from bench.run.job import Job

RESULT, METRICS, ENVIRONMENT, ERROR, CHECKPOINT, CONFIG, LOCK = (
    "result.json",
    "metrics.jsonl",
    "env.json",
    "error.json",
    "checkpoint.pt",
    "config.yaml",
    "lock",
)
DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
REQUIRED = ("status", "seed", "key", "task", "method", "dataset", "metrics", "measured", "code")


def plain(value: Any) -> Any:
    """JSON without NaN: a non-finite number becomes null (the run's status says that it diverged)."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def write_atomic(path: Path, write: Callable[[Any], None]) -> None:
    """Replace `path` by what `write(file)` writes: all of it or nothing."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(temporary, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Atomic, indented, without NaN."""
    text = json.dumps(plain(value), indent=2, allow_nan=False) + "\n"
    write_atomic(path, lambda file: file.write(text.encode()))


def set_aside(path: Path) -> Path:
    """Rename a damaged file to `<name>.corrupt-<k>`; nothing is deleted."""
    for k in range(1, 10_000):
        target = path.with_name(f"{path.name}.corrupt-{k}")
        if not target.exists():
            os.replace(path, target)
            return target
    raise UserError(f"{path}: too many damaged copies beside it; remove them")


def read_result(
    folder: Path, key: str | None = None, report: Callable[[str], None] = lambda line: None
) -> dict[str, Any] | None:
    """The finished result in `folder`, or None. A damaged one is moved aside and reported."""
    path = folder / RESULT
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        text = ""
    try:
        result = json.loads(text)
        damaged = (
            not isinstance(result, dict)
            or any(name not in result for name in REQUIRED)
            or key not in (None, result["key"])
        )
    except json.JSONDecodeError:
        damaged = True
    if damaged:
        report(f"{path} is damaged; moved to {set_aside(path).name}, computing it again")
        return None
    return result


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The curve: the complete lines of metrics.jsonl."""
    with contextlib.suppress(FileNotFoundError):
        lines = (folder / METRICS).read_bytes().split(b"\n")[:-1]
        return [json.loads(line) for line in lines if line.strip()]
    return []


def curve_length(folder: Path) -> int:
    """Bytes of metrics.jsonl; 0 without one."""
    path = folder / METRICS
    return path.stat().st_size if path.exists() else 0


def write_config(folder: Path, key: str, names: dict[str, str], parts: dict[str, dict[str, Any]]) -> None:
    """config.yaml of a job's folder."""
    text = OmegaConf.to_yaml(OmegaConf.create({"key": key, "names": names, **parts}))
    write_atomic(folder / CONFIG, lambda file: file.write(text.encode()))


def read_config(folder: Path) -> dict[str, Any]:
    """What `write_config` wrote: {"key": ..., "names": {...}, "parts": {...}}."""
    content = OmegaConf.to_container(OmegaConf.load(folder / CONFIG))
    assert isinstance(content, dict)
    return {"key": content.pop("key"), "names": content.pop("names"), "parts": content}


def prepare(job: Job, seeds: list[int], environment: dict[str, Any]) -> list[int]:
    """Protocol and environment on disk before the first step; a forced run starts from an empty folder. The attempt's number by seed."""
    write_config(job.folder, job.key, job.names, job.parts)
    numbers = []
    for folder in map(job.seed_folder, seeds):
        for name in (RESULT, METRICS, CHECKPOINT) if job.settings.force is True else ():
            (folder / name).unlink(missing_ok=True)
        (folder / ERROR).unlink(missing_ok=True)
        numbers.append(_attempts(folder) + 1)
        write_json(folder / ENVIRONMENT, {"attempt": numbers[-1], "code": job.code, **environment})
    return numbers


def _attempts(folder: Path) -> int:
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return int(json.loads((folder / ENVIRONMENT).read_text())["attempt"])
    return 0


def write_result(
    job: Job, seed: int, status: str, metrics: dict[str, Any], data: dict[str, str], measured: dict[str, Any]
) -> dict[str, Any]:
    """result.json: everything above `measured` is bit for bit the same however often the run was interrupted."""
    result = {
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
        "measured": measured,
    }
    path = job.seed_folder(seed) / RESULT
    write_json(path, result)
    return json.loads(path.read_text())


def write_error(job: Job, seeds: list[int], error: Exception) -> str:
    """error.json with the traceback's lines for each seed; the line for the person, which names it."""
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        line = (
            f"disk full ({error.strerror}); free some space and run the same command again, what was finished is kept"
        )
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


@contextlib.contextmanager
def locked(folder: Path, report: Callable[[str], None]) -> Iterator[None]:
    """Hold the folder's lock; if another process holds it, say so once and wait for it."""
    said = False
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / LOCK, "a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                if not said:
                    report(f"{folder} is being computed by process {file.read().strip() or '?'}; waiting for it")
                said = True
                time.sleep(0.2)
                continue
            if not _still_there(file, folder / LOCK):  # who held it has deleted the run
                continue
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield
            return


def _still_there(file: Any, path: Path) -> bool:
    """Is an open file still the one at its path?"""
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    return False


def held(folder: Path) -> bool:
    """Does a process hold the lock of the run in `folder`?"""
    try:
        with open(folder / LOCK) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


class MetricsFile:
    """metrics.jsonl of one attempt, opened at a byte offset: what lies behind it came after the checkpoint and is dropped."""

    def __init__(self, folder: Path, offset: int = 0) -> None:
        path = folder / METRICS
        path.touch()
        os.truncate(path, offset)
        self._file = open(path, "ab", buffering=0)  # noqa: SIM115 closed by close()

    def append(self, row: dict[str, Any]) -> None:
        """One line, handed to the kernel at once."""
        self._file.write(json.dumps(plain(row), allow_nan=False).encode() + b"\n")

    def offset(self) -> int:
        """Bytes written so far, on disk: a checkpoint never points behind the end of the file."""
        os.fsync(self._file.fileno())
        return self._file.tell()

    def close(self) -> None:
        self._file.close()
