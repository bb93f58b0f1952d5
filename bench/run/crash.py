"""What a crash says: the exception, the last line of the person's own file, and the traceback as lines."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path

from bench.run.paths import ROOT

LIBRARIES = {"site-packages", "dist-packages"}

FULL = "CLAIMBENCH_FULL_ERROR"  # the person's own HYDRA_FULL_ERROR=1


def crash_line(error: BaseException) -> str:
    """`RuntimeError: planted (methods/mine.py:12)`"""
    first = str(error).splitlines()[0] if str(error) else ""
    at = own_line(error)
    return f"{type(error).__name__}: {first}{f' ({at})' if at else ''}"


def own_line(error: BaseException) -> str | None:
    """`file:line` of the innermost frame outside of libraries, a person's files before the runner's."""
    frames = [(Path(f.filename), f.lineno) for f in traceback.extract_tb(error.__traceback__)]
    own = [(p, n) for p, n in frames if p.is_file() and not _of_library(p)]
    best = [(p, n) for p, n in own if not p.is_relative_to(ROOT / "bench/run")] or own
    if not best:
        return None
    path, number = best[-1]
    return f"{shown(path)}:{number}"


def from_library(error: BaseException) -> bool:
    """Was it raised by a library's code?"""
    return _of_library(Path(traceback.extract_tb(error.__traceback__)[-1].filename))


def shown(path: str | Path) -> str:
    """A path as error lines name it: from the repository where it lies inside."""
    return str(Path(path).relative_to(ROOT)) if Path(path).is_relative_to(ROOT) else str(path)


def _of_library(path: Path) -> bool:
    """Is it a file of an installed package or of Python itself?"""
    return bool(LIBRARIES & set(path.parts)) or path.is_relative_to(Path(os.__file__).parent)


def traceback_lines(error: BaseException) -> list[str]:
    """The traceback, a line an entry."""
    return "".join(traceback.format_exception(error)).splitlines()


def show_traceback(error: BaseException) -> None:
    """On stderr, if the person asked for it by HYDRA_FULL_ERROR=1."""
    if os.environ.get(FULL):
        print("".join(traceback.format_exception(error)), file=sys.stderr, end="")
