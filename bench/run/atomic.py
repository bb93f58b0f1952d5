"""Files that are written whole or not at all, and damaged ones put aside."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.errors import UserError, in_one_line

DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Damaged(ValueError):
    """A file that is not what was written: which one, and in what."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} is damaged: {reason}")
        self.path, self.reason = path, reason


def cannot_write(error: OSError, path: Path | str) -> str:
    """The line for a person, which names the file that failed, else `path`."""
    failed = Path(error.filename or path)
    full = "; free some space and run the same command again" if error.errno in DISK_FULL else ""
    if isinstance(error, FileExistsError | NotADirectoryError):
        in_the_way = (p for p in (*reversed(failed.parents), failed) if not p.is_dir())
        failed, reason = next(in_the_way, failed), "a file or a broken link stands where a folder is needed"
    else:
        reason = error.strerror or in_one_line(error)  # an error raised with a text alone has no strerror
    return f"cannot write {failed}: {reason}{full}"


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
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Atomic, indented, without NaN."""
    text = json.dumps(plain(value), indent=2, allow_nan=False) + "\n"
    write_atomic(path, lambda file: file.write(text.encode()))


def read_json(content: bytes) -> Any:
    """The value of a JSON text without NaN and Infinity.

    Raises:
        ValueError: it is none, or nested too deep.
    """
    try:
        return json.loads(content, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deep") from None


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def set_aside(path: Path) -> Path:
    """Rename a damaged file to `<name>.corrupt-<k>`; nothing is deleted."""
    for k in range(1, 10_000):
        target = path.with_name(f"{path.name}.corrupt-{k}")
        if not target.exists():
            os.replace(path, target)
            return target
    raise UserError(f"{path}: too many damaged copies beside it; remove them")
