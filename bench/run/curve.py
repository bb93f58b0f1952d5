"""metrics.jsonl: written row by row, and known again by its bytes, rows and digest."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.run.atomic import Damaged, plain, read_json
from bench.run.files import METRICS


class MetricsFile:
    """The curve of one attempt, continued at a byte offset: what lies behind it came after the checkpoint and is dropped.

    The file is open while a row is written and no longer, however many seeds advance together.
    """

    def __init__(self, path: Path, offset: int = 0) -> None:
        with open(path, "ab") as file:
            file.truncate(offset)
        content = path.read_bytes()
        self._path, self._digest, self._bytes, self._rows = path, hashlib.sha256(content), offset, content.count(b"\n")

    def append(self, row: dict[str, Any]) -> None:
        """One line, handed to the kernel at once."""
        line = json.dumps(plain(row), allow_nan=False).encode() + b"\n"
        with open(self._path, "ab") as file:
            file.write(line)
        self._digest.update(line)
        self._bytes, self._rows = self._bytes + len(line), self._rows + 1

    def mark(self) -> dict[str, Any]:
        """What was written so far, on disk: a checkpoint never points behind the end of the file."""
        with open(self._path, "ab") as file:
            os.fsync(file.fileno())
        return {"bytes": self._bytes, "rows": self._rows, "sha256": self._digest.hexdigest()}


def begins(path: Path, mark: Mapping[str, Any]) -> bool:
    """Does the curve at `path` begin with what `mark` was made of?"""
    with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
        return is_marked(file.read(mark["bytes"]), mark)
    return mark["bytes"] == 0


def read_metrics(folder: Path, told: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """The curve: the complete lines of metrics.jsonl.

    Args:
        told: what result.json says of it; None: nothing.

    Raises:
        Damaged: a line is no row, or the curve is not the one told of.
    """
    path = folder / METRICS
    return rows_in(_content(path, told), path)


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The complete lines of a curve that is being written; Damaged as `read_metrics`."""
    return rows_in(_content(path, None), path)


def rows_in(content: bytes, path: Path) -> list[dict[str, Any]]:
    """The complete lines of a curve's content, which is that of `path`; Damaged as `read_metrics`."""
    rows = []
    for number, line in enumerate(content.split(b"\n")[:-1], 1):
        if line.strip():
            try:
                row = read_json(line)
            except ValueError as error:
                raise Damaged(path, f"line {number}: {str(error).splitlines()[0]}") from None
            if not isinstance(row, dict):
                raise Damaged(path, f"line {number}: no row of a curve")
            rows.append(row)
    return rows


def check_curve(folder: Path, told: Mapping[str, Any] | None) -> None:
    """Damaged, unless the curve is the one told of; where nothing is told, unless it can be read."""
    if told is None:
        read_metrics(folder)
    else:
        _content(folder / METRICS, told)


def check_length(folder: Path, told: Mapping[str, Any] | None) -> None:
    """Damaged, if the curve is not as long as told: what can be asked of thousands of runs without reading them."""
    if told is not None:
        with contextlib.suppress(FileNotFoundError):
            found = os.stat(folder / METRICS).st_size
            if found != told["bytes"]:
                raise Damaged(folder / METRICS, f"{found} bytes instead of {told['bytes']}")
            return
        raise Damaged(folder / METRICS, "missing")


def _content(path: Path, told: Mapping[str, Any] | None) -> bytes:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        if told is None:
            return b""
        raise Damaged(path, "missing") from None
    except IsADirectoryError:
        raise Damaged(path, "a folder") from None
    if told is not None and not is_marked(content, told):
        rows = content.count(b"\n")
        said = f"{rows} rows instead of {told['rows']}" if rows != told["rows"] else "other bytes than were written"
        raise Damaged(path, said)
    return content


def is_marked(content: bytes, mark: Mapping[str, Any]) -> bool:
    """Is this the curve that `mark` was made of?"""
    return len(content) == mark["bytes"] and hashlib.sha256(content).hexdigest() == mark["sha256"]
