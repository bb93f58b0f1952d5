"""torchvision, as a reader and downloader of data sets."""

from __future__ import annotations

import contextlib
import re
import socket
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from pickle import UnpicklingError
from types import ModuleType
from typing import Any

from bench.errors import UserError

_LIBRARIES: list[Any] = []  # keeps operator definitions alive


def torchvision() -> ModuleType:
    """The torchvision module, also where its compiled operators do not match the installed torch: data sets need none of them.

    Such a build fails at import, when it describes an operator that was not loaded. Declaring the operator lets it go on.
    """
    for _ in range(20):
        try:
            return import_module("torchvision")
        except RuntimeError as error:
            absent = re.search(r"operator torchvision::(\w+) does not exist", str(error))
            if absent is None:
                raise
            _declare(absent.group(1))
    raise RuntimeError("torchvision does not match the installed torch")


def _declare(operator: str) -> None:
    import torch

    library = torch.library.Library("torchvision", "FRAGMENT")
    library.define(f"{operator}() -> ()")
    _LIBRARIES.append(library)
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]


@contextlib.contextmanager
def _impatient(seconds: float = 10.0) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def download(fetch: Callable[[], Any], name: str, looked: list[Path], archive: str) -> Any:
    """`fetch()`, or one line that says where the data was looked for and the two ways to get it."""
    try:
        with _impatient(), contextlib.redirect_stdout(sys.stderr):
            return fetch()
    except (
        OSError,
        EOFError,
        RuntimeError,
        UnpicklingError,
    ) as error:  # offline, or a file of an old layout is damaged
        places = " and ".join(str(path) for path in looked)
        raise UserError(
            f"data set '{name}' not found: looked in {places}, and the download failed ({error.__class__.__name__}). "
            f"Either run once with a network, so that torchvision downloads it, or unpack {archive} there (another folder: data_root=DIR or CLAIMBENCH_DATA)"
        ) from None
