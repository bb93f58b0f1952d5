"""Which files a data set was built from, and their digests: noticed as they are opened, without the author's help."""

from __future__ import annotations

import hashlib
import os
import site
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

from bench.run.memo import OfFiles
from bench.run.paths import ROOT
from bench.run.schema import Settings

CODE = {".py", ".pyc", ".so", ".pyd", ".rst"}  # and what describes it
PACKAGES = {".dist-info", ".egg-info"}  # folders that describe packages, where libraries look for plugins
SYSTEM = ("/proc/", "/sys/", "/dev/")
WRITES = os.O_WRONLY | os.O_RDWR

_noting: ContextVar[set[str] | None] = ContextVar("noting", default=None)  # of this thread and no other
_recording: ContextVar[bool] = ContextVar("recording", default=False)


@contextmanager
def noted() -> Iterator[set[str]]:
    """Paths that are opened for reading inside `recorded()`, inside this."""
    paths: set[str] = set()
    token = _noting.set(paths)
    try:
        yield paths
    finally:
        _noting.reset(token)


@contextmanager
def recorded() -> Iterator[None]:
    """What is opened inside is part of the data. Imports are not, whatever they open; nor is what C code opens by itself."""
    _listen()
    token = _recording.set(True)
    try:
        yield
    finally:
        _recording.reset(token)


@cache
def _listen() -> None:
    """A hook lasts as long as the process: there is one, silent outside of `recorded`."""
    sys.addaudithook(_hook)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "open" or not _recording.get():
        return
    path, _, flags = arguments
    paths = _noting.get()
    if paths is None or flags & WRITES or not isinstance(path, str | bytes | os.PathLike):
        return
    if not _importing(sys._getframe(1)):
        paths.add(os.path.abspath(os.fsdecode(path)))


def _importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_name == "_find_and_load" and frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def digests(paths: set[str], settings: Settings) -> dict[str, str]:
    """sha256 by name of those `paths` that are data, sorted by name: files, without code, our configs, the system's and results.

    A name is relative to data_root; `wheel:<path below site-packages>`; `~/...` in the user's folder; else absolute.
    """
    data_root, results = Path(settings.data_root).absolute(), Path(settings.results_root).absolute()
    found = {}
    for path in map(Path, paths):
        if path.is_relative_to(data_root):
            name = str(path.relative_to(data_root))
        elif _is_other(path, results):
            continue
        else:
            name = _name(path)
        if path.is_file():
            found[name] = _digest(path)
    _digest.save()
    return dict(sorted(found.items()))


def digest_here(name: str, data_root: Path) -> str | None:
    """The digest of the file that a result's data names so, as it is on this machine; None where it is not."""
    kind, _, rest = name.partition(":")
    if kind == "wheel":
        places = [Path(packages, rest) for packages in (*site.getsitepackages(), site.getusersitepackages())]
    else:
        places = [Path(name).expanduser() if name.startswith("~/") else data_root / name]
    return next((_digest(path) for path in places if path.is_file()), None)


def _is_other(path: Path, results: Path) -> bool:
    own = path.suffix in (".yaml", ".yml") and path.is_relative_to(ROOT)
    code = path.suffix in CODE or path.parent.suffix in PACKAGES
    return own or code or str(path).startswith(SYSTEM) or path.is_relative_to(results)


def _name(path: Path) -> str:
    for packages in (*site.getsitepackages(), site.getusersitepackages()):
        if path.is_relative_to(packages):
            return f"wheel:{path.relative_to(packages)}"
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


_digest = OfFiles("data", "1", _sha256)  # nothing is hashed twice
