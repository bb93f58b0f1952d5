"""What was worked out before and holds as long as its inputs do, kept under results/.cache. Losing it costs time alone."""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from bench.run.atomic import write_atomic
from bench.run.paths import ROOT

FOLDER = ROOT / "results" / ".cache"


def read(name: str, key: str) -> Any:
    """The value that was kept under a name, None where there is none or it was kept for another key."""
    with contextlib.suppress(OSError, ValueError, AttributeError, KeyError, RecursionError):
        content = json.loads((FOLDER / f"{name}.json").read_bytes())
        return content["value"] if content.get("key") == key else None
    return None


def keep(name: str, key: str, value: Any) -> None:
    """Keep a JSON value under a name; where that cannot be written it is worked out again next time."""
    path = FOLDER / f"{name}.json"
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"key": key, "value": value}, separators=(",", ":"))
        write_atomic(path, lambda file: file.write(text.encode()))


class OfFiles:
    """A function of a file's content, asked again only when its size, a time or its place has changed.

    Args:
        name: of the file under results/.cache that keeps the answers.
        version: of the function; another one forgets what was kept.
        work: the function, of a path; its value is JSON.
    """

    def __init__(self, name: str, version: str, work: Callable[[Path], Any]) -> None:
        self._name, self._version, self._work = name, version, work
        known = read(name, version)
        self._known: dict[str, list[Any]] = known if isinstance(known, dict) else {}
        self._changed = False
        atexit.register(self.save)

    def __call__(self, path: Path) -> Any:
        stamp = stamp_of(path)
        found = self._known.get(str(path))
        if not isinstance(found, list) or found[0] != stamp:
            found = self._known[str(path)] = [stamp, self._work(path)]
            self._changed = True
        return found[1]

    def save(self) -> None:
        """Write what was learnt; done at exit too."""
        if self._changed:
            self._changed = False
            keep(self._name, self._version, self._known)


def stamp_of(path: Path) -> list[int]:
    """What changes with a file: its size, times and place; the time of modification alone can be set back."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


@cache
def digest_of_files(*folders: str) -> str:
    """Over the names and contents of the files below folders (or of files) of this repository."""
    digest = hashlib.sha256()
    for folder in folders:
        base = ROOT / folder
        for path in [base] if base.is_file() else sorted(p for p in base.rglob("*") if p.is_file()):
            if path.suffix != ".pyc":
                digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()
