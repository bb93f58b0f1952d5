"""Command lines of run.py in processes that start at once: a server of this program has imported the libraries, and forks for each of them.

It keeps no code of ours: an experiment runs the code that lies on disk when it starts, as its result's code hash says.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from types import ModuleType

from bench.run.codehash import files_of
from bench.run.paths import ROOT
from bench.run.worker import run_line

LIBRARIES = (
    "torch",
    "torch._dynamo",  # what the first optimizer imports
    "scipy.stats",
    "pandas",
    "sklearn.datasets",
    "antlr4",
    "pydantic",
    "rich.table",
    "hydra._internal.hydra",
    "hydra._internal.utils",
    "hydra.core.plugins",
)
EXTRA = "bench.judge.extra"  # imports those of the extra `dp`
CONTEXT = ForkServerContext() if sys.platform == "linux" else SpawnContext()


def prepare(names: Iterable[str]) -> None:
    """Before the first start: what code these names ("package.module.Name") reach, so that its libraries are there.

    The modules of the extra `dp` take seconds each, and are imported where bench/libraries.py is reached.
    """
    if sys.platform == "linux":
        reached = files_of({name.rpartition(".")[0] for name in names})
        CONTEXT.set_forkserver_preload([*LIBRARIES, *([EXTRA] if ROOT / "bench/libraries.py" in reached else [])])


def start(line: Sequence[str]) -> BaseProcess:
    """`python <line>` under way, in this folder, as the first process of a group of its own; what it prints goes where ours goes."""
    process = CONTEXT.Process(target=_run, args=(list(line),))
    with _no_main():
        process.start()
    return process


def group_of(process: BaseProcess) -> int:
    """The number of a started process's group."""
    assert process.pid is not None
    return process.pid


def stop(process: BaseProcess, number: int) -> None:
    """Send a signal to it and its group, which it may not have made yet. Raises ProcessLookupError: it has ended."""
    try:
        os.killpg(group_of(process), number)
    except ProcessLookupError:
        os.kill(group_of(process), number)


@contextlib.contextmanager
def _no_main() -> Iterator[None]:
    """Children of multiprocessing run their parent's program first, which these have no use for."""
    program = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = program


def _run(line: list[str]) -> None:
    """In the child; it ends as an interpreter does."""
    os.setsid()
    code = run_line(line, {}, os.getcwd())
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.exit(code)
