"""Hydra's compositions of one choice of options share their work in a process: the list of defaults, and what its files come to.

A command composes its config twice, and a sweep once for each job. What differs between those is mostly values, which Hydra sets on a copy
of what is kept here. It is kept as long as each file that it was made of is as it was.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.defaults_list import DefaultsList, _create_interpolation_map, _dfs_walk
from hydra.core.default_element import InputDefault, ResultDefault
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from bench.run.memo import stamp_of


class _Defaults(list[ResultDefault]):
    """A list of defaults that is kept, and what its files come to, pickled, once they have been merged."""

    content: bytes | None = None


Stamps = dict[Path, list[int] | None]  # of the files that a composition has looked for; None: one is not there
_under_way: list[Stamps] = []
_known: dict[tuple[object, ...], tuple[Stamps, DefaultsList]] = {}


@contextmanager
def composing() -> Iterator[None]:
    """What is noted inside is one composition's."""
    _under_way.append({})
    try:
        yield
    finally:
        _under_way.pop()


def note_file(path: Path, stamp: list[int] | None) -> None:
    """The composition under way has read a file; without a stamp: it is not there."""
    if _under_way:
        _under_way[-1][path] = stamp


def defaults_once(create: Callable[..., DefaultsList]) -> Callable[..., DefaultsList]:
    """Hydra's create_defaults_list, asked once for each choice of options."""

    @wraps(create)
    def known(repo: Any, config_name: str | None, overrides_list: list[Override], **more: Any) -> DefaultsList:
        values, chosen = _apart(repo, overrides_list)
        sources = tuple((source.scheme(), source.path) for source in repo.get_sources())
        key = (config_name, more.get("prepend_hydra"), sources, *chosen)
        if key in _known and all(_stamp(path) == stamp for path, stamp in _known[key][0].items()):
            return replace(_known[key][1], config_overrides=values)
        found = create(repo, config_name, overrides_list, **more)
        if _under_way and None not in chosen and not _leaves_out(found):
            found.defaults = _Defaults(found.defaults)
            _known[key] = _under_way[-1], found
        return found

    return known


def content_once(compose: Callable[..., DictConfig]) -> Callable[..., DictConfig]:
    """Hydra's merging of the files of a list of defaults, done once for each that is kept."""

    @wraps(compose)
    def known(self: ConfigLoaderImpl, defaults: list[ResultDefault], repo: Any) -> DictConfig:
        if isinstance(defaults, _Defaults) and defaults.content is not None:
            return pickle.loads(defaults.content)
        found = compose(self, defaults=defaults, repo=repo)
        if isinstance(defaults, _Defaults):
            defaults.content = pickle.dumps(found)
        return found

    return known


def needed_map(overrides: Any, defaults_list: list[InputDefault], self_added: bool) -> DictConfig:
    """Hydra's map of the choices for `${...}` in a list of defaults, empty where none is there to read it."""
    if any(not default.is_self() and default.is_interpolation() for default in defaults_list):
        return _create_interpolation_map(overrides, defaults_list, self_added)
    return DictConfig({})


def _apart(repo: Any, overrides: list[Override]) -> tuple[list[Override], list[str | None]]:
    """Overrides of values, and the texts of those that choose options, told apart as Hydra does."""
    values, chosen = [], []
    for override in overrides:
        if override.is_sweep_override():
            continue
        if isinstance(override.value(), dict) or not repo.group_exists(override.key_or_group):
            values.append(override)
        else:
            chosen.append(override.input_line)
    return values, chosen


def _leaves_out(found: DefaultsList) -> bool:
    """Is an option still to be chosen, which a sweep passes over and a run refuses?"""
    missing: list[bool] = []
    _dfs_walk(found.defaults_tree, lambda tree, node: missing.append(not node.is_self() and node.is_missing()))
    return any(missing)


def _stamp(path: Path) -> list[int] | None:
    try:
        return stamp_of(path)
    except OSError:
        return None
