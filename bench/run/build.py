"""Build the object that a typed config node names; a data set also ahead of the session that will ask for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from hydra.utils import get_object

from bench.errors import UserError
from bench.run.datafiles import note, noted, recorded

READ = ("dataset", "model")  # the groups whose files are part of the data
OURS = ("_target_", "verify")  # keys that are no argument


@dataclass
class Ahead:
    """The first data set that is asked for: with what arguments, what was built, the files opened for it. Then whoever asks first gets it."""

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
    token = _ahead.set(Ahead())
    try:
        found = _ahead.get()
        assert found is not None
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


def build(group: str, node: Mapping[str, Any], *supplied: Any, **more: Any) -> Any:
    """`_target_(*supplied, **node)`. A constructor's ValueError becomes a UserError that names the config group.

    The files that a data set or a model opens are recorded.
    """
    if group != "dataset":
        return _made(group, node, supplied, more)
    kept, asked = _ahead.get(), (dict(node), supplied, more)
    if kept is not None and _same(kept.asked, asked):
        made, kept.asked, kept.made = kept.made, None, None
        note(kept.opened)
        return made
    if kept is None or not _only.get():
        return _made(group, node, supplied, more)
    with noted() as opened:
        try:
            kept.made = _made(group, node, supplied, more)
        finally:
            kept.opened = frozenset(opened)
    kept.asked = asked
    raise DataSetBuilt


def _same(one: Any, other: Any) -> bool:
    try:
        return bool(one == other)
    except (RuntimeError, ValueError):  # of arrays: neither true nor false
        return False


def _made(group: str, node: Mapping[str, Any], supplied: tuple[Any, ...], more: Mapping[str, Any]) -> Any:
    arguments = {name: value for name, value in node.items() if name not in OURS}
    try:
        with recorded(*arguments.values()) if group in READ else nullcontext():
            return get_object(str(node["_target_"]))(*supplied, **more, **arguments)
    except ValueError as error:
        raise UserError(f"{group}: {error}") from error
