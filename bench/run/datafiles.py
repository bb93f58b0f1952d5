"""Which files a data set was built from, and their digests: noticed as they are opened or listed, without the author's help."""

from __future__ import annotations

import contextlib
import hashlib
import os
import site
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
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
MEMORY = "/dev/shm/"  # a folder like others
OURS = ("runs", "wandb", "sweeps", "archive", ".cache")  # below results_root
WRITES = os.O_WRONLY | os.O_RDWR
LISTINGS = ("os.listdir", "os.scandir")
EVENTS = {"open", "sqlite3.connect", "subprocess.Popen", *LISTINGS}

_noting: ContextVar[set[str] | None] = ContextVar("noting", default=None)
_recorded: list[
    set[str]
] = []  # where paths go now, whichever thread opens them: a data set may read its files in threads of its own


@contextmanager
def noted() -> Iterator[set[str]]:
    """Paths that are opened for reading inside `recorded()`, inside this, in any thread; of a folder that is listed, its path and a slash."""
    paths: set[str] = set()
    token = _noting.set(paths)
    try:
        yield paths
    finally:
        _noting.reset(token)


def note(paths: Iterable[str]) -> None:
    """These were opened earlier, for what is wanted now."""
    if (noting := _noting.get()) is not None:
        noting.update(paths)


@contextmanager
def recorded(*values: Any) -> Iterator[None]:
    """What is opened inside is part of the data, and `values` that are paths of files, which C code may open by itself.

    Imports are not, whatever they open.
    """
    _listen()
    noting = _noting.get()
    if noting is None:
        yield
        return
    noting.update(_files(values))
    _recorded.append(noting)
    try:
        yield
    finally:
        _recorded[:] = [paths for paths in _recorded if paths is not noting]


def _files(values: Iterable[Any]) -> set[str]:
    """Those that are paths of files."""
    found = set()
    for value in values:
        with contextlib.suppress(ValueError):  # a null byte
            if isinstance(value, str | bytes | os.PathLike) and os.path.isfile(value):
                found.add(os.path.abspath(os.fsdecode(value)))
    return found


@cache
def _listen() -> None:
    """A hook lasts as long as the process: there is one, silent outside of `recorded`."""
    sys.addaudithook(_hook)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not _recorded or event not in EVENTS or (event == "open" and arguments[2] & WRITES):
        return
    if not _importing(sys._getframe(1)):
        found = _opened(event, arguments)
        for paths in _recorded:
            paths.update(found)


def _opened(event: str, arguments: tuple[Any, ...]) -> set[str]:
    """The paths that an event is about."""
    if event == "subprocess.Popen":  # what another program is given to read
        return _files(arguments[1] if isinstance(arguments[1], list | tuple) else ())
    path = "." if arguments[0] is None and event in LISTINGS else arguments[0]
    if not isinstance(path, str | bytes | os.PathLike):
        return set()
    absolute = os.path.abspath(os.fsdecode(path))
    return {os.path.join(absolute, "") if event in LISTINGS else absolute}


def _importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_name == "_find_and_load" and frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def named(paths: Iterable[str], settings: Settings) -> dict[str, Path]:
    """By name, sorted, those of `paths` that are data: files without code, our configs, the system's and results, and the listed folders
    that hold one of them.

    A name is relative to data_root; `wheel:<path below site-packages>`; `~/...` in the user's folder; else absolute. A folder's ends in a slash.
    """
    data_root, results = Path(settings.data_root).absolute(), Path(settings.results_root).absolute()
    found = {}
    for path in (Path(text) for text in paths if not text.endswith("/")):
        inside = path.is_relative_to(data_root)
        if (inside or not _is_other(path, results)) and path.is_file():
            found[str(path.relative_to(data_root)) if inside else _name(path)] = path
    folders = {Path(text) for text in paths if text.endswith("/")} - {data_root, ROOT}
    for path in folders & {folder for file in found.values() for folder in file.parents}:
        name = str(path.relative_to(data_root)) if path.is_relative_to(data_root) else _name(path)
        if not name.startswith("wheel:"):
            found[f"{name}/"] = path
    return dict(sorted(found.items()))


def digests(files: dict[str, Path]) -> dict[str, str]:
    """sha256 by name of what `named` found: of a file's content, of the names that a folder holds."""
    found = {name: _digest_of(name, path) for name, path in files.items()}
    _digest.save()
    return found


def unchanged(data: Mapping[str, str], data_root: Path, needed: Collection[str] = ()) -> bool:
    """Are the files that a result's data name what they were? One that is not here may have changed only if it is `needed`."""
    for name, digest in data.items():
        here = digest_here(name, data_root)
        if here != digest and (here is not None or name in needed):
            return False
    return True


def digest_here(name: str, data_root: Path) -> str | None:
    """The digest of the file or folder that a result's data names so, as it is on this machine; None where it is not."""
    path = path_here(name, data_root)
    return None if path is None else _digest_of(name, path)


def path_here(name: str, data_root: Path) -> Path | None:
    """Where the file or folder that a result's data names so lies on this machine; None where it does not."""
    kind, _, rest = name.partition(":")
    if kind == "wheel":
        places = [Path(packages, rest) for packages in (*site.getsitepackages(), site.getusersitepackages())]
    else:
        places = [Path(name).expanduser() if name.startswith("~/") else data_root / name]
    return next((path for path in places if (path.is_dir() if name.endswith("/") else path.is_file())), None)


def _digest_of(name: str, path: Path) -> str:
    if name.endswith("/"):
        return hashlib.sha256("\0".join(_names(path)).encode(errors="surrogateescape")).hexdigest()
    return _digest(path)


def _names(folder: Path) -> list[str]:
    """What a folder holds, without hidden entries: file browsers leave theirs in whatever they show, and no data set reads them."""
    return sorted(name for name in os.listdir(folder) if not name.startswith("."))


def _is_other(path: Path, results: Path) -> bool:
    own = path.suffix in (".yaml", ".yml") and path.is_relative_to(ROOT)
    code = path.suffix in CODE or path.parent.suffix in PACKAGES
    system = str(path).startswith(SYSTEM) and not str(path).startswith(MEMORY)
    return own or code or system or any(path.is_relative_to(results / name) for name in OURS)


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
