"""A data set that is built ahead of the session that will ask for it, and handed to that session."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from bench.run.datafiles import note, noted


@dataclass
class Ahead:
    """The first data set that was asked for: with what arguments, what was built, the files opened for it."""

    asked: tuple[Any, ...] | None = None
    made: Any = None
    opened: frozenset[str] = frozenset()


class DataSetBuilt(BaseException):
    """The data set is there, and nothing else was asked for: no task takes it for an error of its own."""


_ahead: ContextVar[Ahead | None] = ContextVar("ahead", default=None)
_only: ContextVar[bool] = ContextVar("only", default=False)


@contextmanager
def ahead() -> Iterator[Ahead]:
    """Inside, a data set that was built within `only_data` is handed to the first that asks for just that one."""
    found = Ahead()
    token = _ahead.set(found)
    try:
        yield found
    finally:
        _ahead.reset(token)


@contextmanager
def only_data() -> Iterator[None]:
    """Inside `ahead()`: what asks for a data set is ended by DataSetBuilt once it is built."""
    token = _only.set(True)
    try:
        yield
    finally:
        _only.reset(token)


def handed(asked: tuple[Any, ...], make: Callable[[], Any]) -> Any:
    """The data set that these arguments ask for: the one built ahead, else made now."""
    kept = _ahead.get()
    if kept is not None and _same(kept.asked, asked):
        made, kept.asked, kept.made = kept.made, None, None
        note(kept.opened)
        return made
    if kept is None or not _only.get():
        return make()
    with noted() as opened:
        try:
            kept.made = make()
        finally:
            kept.opened = frozenset(opened)
    kept.asked = asked
    raise DataSetBuilt


def _same(one: Any, other: Any) -> bool:
    try:
        return bool(one == other)
    except (RuntimeError, ValueError):  # of arrays: neither true nor false
        return False
