"""How jobs are told apart: by the options and config values in which they differ, never by a hash."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.judge.groups import NAMES
from bench.judge.own import OwnJob
from bench.run.job import PARTS


def swept(jobs: Sequence[OwnJob]) -> list[str]:
    """What tells jobs apart: the groups of which they have other options, and the dotted keys of values that jobs of the same options do not
    share. What only comes with an option (another method's hyper-parameters) is not among them."""
    groups = [part for part in dict.fromkeys((*NAMES, *PARTS)) if len({job.names.get(part) for job in jobs}) > 1]
    alike: dict[tuple[str | None, ...], list[OwnJob]] = {}
    for job in jobs:
        alike.setdefault(tuple(job.names.get(part) for part in groups), []).append(job)
    keys: dict[str, None] = {}
    for part in PARTS:
        for same in alike.values():
            names = dict.fromkeys(name for job in same for name in job.config.get(part, {}))
            for name in names:
                keys |= dict.fromkeys(_apart(f"{part}.{name}", [job.config.get(part, {}).get(name) for job in same]))
    return [*groups, *keys]


def _apart(path: str, values: Sequence[object]) -> list[str]:
    """The path if the values differ; of the keys of one class (an optimizer's, held by a method) those that do."""
    if all(value == values[0] for value in values):
        return []
    held = [value for value in values if isinstance(value, Mapping) and "_target_" in value]
    if len(held) < len(values) or len({value["_target_"] for value in held}) > 1:
        return [path]
    names = dict.fromkeys(name for value in held for name in value)
    return [one for name in names for one in _apart(f"{path}.{name}", [value.get(name) for value in held])]


def value_text(value: object) -> str:
    """A config value as one types it."""
    if isinstance(value, list):
        return f"[{','.join(map(value_text, value))}]"
    if isinstance(value, Mapping) and "_target_" in value:
        keys = ", ".join(f"{name}={value_text(one)}" for name, one in value.items() if name != "_target_")
        return f"{str(value['_target_']).rpartition('.')[2]}({keys})"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


def given(job: OwnJob, path: str) -> str:
    """The text of an option or value; nothing where the job has no such key."""
    part, _, key = path.partition(".")
    known: Mapping[str, Any] = job.parts.get(part, {}) if key else job.names
    *inner, last = (key or part).split(".")
    for name in inner:
        known = known.get(name, {})
    return value_text(job.get(path)) if last in known else ""


def headings(paths: Sequence[str]) -> list[str]:
    """The last part of each dotted path, or all of it where two end alike."""
    last = [path.rpartition(".")[2] for path in paths]
    return [path if last.count(name) > 1 else name for path, name in zip(paths, last)]


def name_of(job: OwnJob, paths: Sequence[str]) -> str:
    """`ssvr, lr 0.001`"""
    texts = []
    for path, heading in zip(paths, headings(paths)):
        if value := given(job, path):
            texts.append(f"{heading} {value}" if "." in path else value)
    return ", ".join(texts)
