"""From a composed Hydra config to a typed, validated `Job` and its key, without importing torch."""

from __future__ import annotations

import itertools
import pickle
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, get_args

from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException
from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from bench.errors import UserError, allowed_list
from bench.run.codehash import code_hash
from bench.run.crash import shown
from bench.run.job import PARTS, Job, key_of
from bench.run.notes import note, task_for
from bench.run.options import options, task_of
from bench.run.paths import CONF
from bench.run.refusal import check_plain, line, short
from bench.run.resolvers import LEFT_OUT, auto_scale, register_resolvers
from bench.run.schema import Settings, settings_of
from bench.run.signature import REQUIRED, signature
from bench.run.targets import check_function, check_target
from bench.types import ADDED, BUILT, DottedName


def typed(group: str, node: Mapping[str, Any]) -> dict[str, Any]:
    """The node's values with the types of its constructor's signature (1 becomes 1.0 for a float), defaults filled in.

    A key that is `Added` stands there only where it is not at its default. One that is `Built` has the same done to the node it holds.
    """
    target, given = node["_target_"], {k: v for k, v in node.items() if k != "_target_"}
    found = signature(target)
    starless = [key for key in given if key in found.supplied] if not found.keys else []
    if starless:
        raise UserError(
            f"{group}.{starless[0]}: {target} has no star in its constructor; keys follow the star: write *, before {starless[0]}"
        )
    check_plain(group, {k: v for k, v in given.items() if k not in found.keys})
    try:
        values = _model(target).model_validate(given).model_dump()
    except ValidationError as error:
        raise UserError(line(group, error, given, found.keys)) from None
    values |= {name: typed(f"{group}.{name}", values[name]) for name in _built(target) if name in values}
    check_plain(group, values)
    left_out = {
        name for name, (kind, default) in found.keys.items() if _marked(kind, ADDED) and values[name] == default
    }
    return {"_target_": target, **{name: value for name, value in values.items() if name not in left_out}}


def _marked(kind: Any, mark: str) -> bool:
    return mark in getattr(kind, "__metadata__", ())


def _built(target: str) -> list[str]:
    """The keys of a target that hold a node with a target of its own."""
    return [name for name, (kind, _) in signature(target).keys.items() if _marked(kind, BUILT)]


def nodes_in(group: str, node: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """A typed part and those that it holds, each with its path: `method`, `method.optimizer`."""
    yield group, node
    for name in _built(node["_target_"]):
        if isinstance(node.get(name), Mapping):
            yield from nodes_in(f"{group}.{name}", node[name])


def _checked(group: str, node: Mapping[str, Any], task: str, extensions: Sequence[str]) -> dict[str, Any]:
    """A node whose targets, its own and those of the nodes that it holds, may be named; a method that it holds must serve the task too."""
    check_target(group, node.get("_target_"), extensions)
    node = dict(node)
    for name in _built(node["_target_"]):
        if name in node:
            at, held = f"{group}.{name}", node[name]
            if not isinstance(held, Mapping):
                raise UserError(f"{at} = {short(held)}: holds a method's keys; choose it by method@{at}={held}")
            held = dict(held)
            tasks = held.pop("tasks", [task])
            if task not in tasks:
                raise UserError(f"{at}: a method for {allowed_list(tasks)}; task '{task}' needs one that serves it")
            node[name] = _checked(at, held, task, extensions)
    return node


def functions(node: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(key, name) of each function that a typed node names, alone or in a list."""
    found = []
    for key, (kind, _) in signature(node["_target_"]).keys.items():
        if DottedName in _parts(kind):
            value = node.get(key)
            found += [(key, name) for name in (value if isinstance(value, list) else [value]) if isinstance(name, str)]
    return found


def _parts(kind: Any) -> list[Any]:
    """A type and the types that it is made of; DottedName stays whole."""
    if kind == DottedName:
        return [kind]
    return [kind, *(part for each in get_args(kind) for part in _parts(each))]


def code_names(parts: Mapping[str, Mapping[str, Any]]) -> frozenset[str]:
    """What the typed parts name of code: targets and functions."""
    nodes = [node for part in parts.items() for _, node in nodes_in(*part)]
    return frozenset(
        itertools.chain.from_iterable([str(node["_target_"]), *(name for _, name in functions(node))] for node in nodes)
    )


CLOSED = ConfigDict(strict=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False)


@cache
def _model(target: str) -> type[BaseModel]:
    """The model that a target's values must fit."""
    keys = signature(target).keys.items()
    fields: dict[str, Any] = {name: (kind, ... if default is REQUIRED else default) for name, (kind, default) in keys}
    return create_model(target, __config__=CLOSED, **fields)


def _check_fit(names: Mapping[str, str], tasks: Any) -> None:
    """A method says which tasks it serves, a data set brings its task: they must meet."""
    known, task = options("task"), names["task"]
    brought = task_of(names["dataset"])
    if brought not in (None, task) and brought not in note(task).takes:
        raise UserError(
            f"task = '{task}': data set '{names['dataset']}' brings its own, '{brought}'; choose another data set instead"
        )
    if not isinstance(tasks, list) or not tasks or set(tasks) - set(known):
        raise UserError(
            f"method.tasks = {tasks!r}: a list of tasks that '{names['method']}' serves; allowed: {allowed_list(known)}"
        )
    if task not in tasks:
        fitting = [name for name in options("dataset") if task_for(tasks, name)]
        raise UserError(
            f"method '{names['method']}' {note(tasks[0]).method}; data set '{names['dataset']}' {note(task).data}. "
            f"Data sets that fit: {allowed_list(fitting) or 'none yet'}"
        )


def _check_processes(task: str, settings: Settings) -> None:
    """UserError where a task that cannot use several processes is to run on them."""
    if settings.hardware.processes != "one" and note(task).processes == "one":
        fitting = [name for name in options("task") if note(name).processes != "one"]
        raise UserError(
            f"hardware = 'ddp': task '{task}' runs in one process; tasks that run in several: {allowed_list(fitting)}"
        )


def copied(cfg: DictConfig) -> DictConfig:
    """A deep copy, in a fifth of the time that cfg.copy() takes."""
    return pickle.loads(pickle.dumps(cfg))


def resolved(cfg: DictConfig, choices: Mapping[str, str], values: Mapping[str, Any]) -> dict[str, Any]:
    """Plain values; `${choices.method}` and its like are the names of the options chosen."""
    register_resolvers()  # again in a launcher's worker process
    cfg = copied(cfg)
    for path, value in values.items():
        OmegaConf.update(cfg, path, value, merge=False)
    with open_dict(cfg):
        cfg.choices = {group: choices.get(group) for group in (*PARTS, "experiment")}
    try:
        content: Any = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
        return {key: value for key, value in content.items() if key not in ("choices", "per_method", "per_dataset")}
    except MissingMandatoryValue as error:
        raise UserError(
            f"{error.full_key or error}: missing value; set it on the command line or in its file"
        ) from None
    except OmegaConfBaseException as error:
        told = error.__cause__ or error.__context__
        while told is not None and not isinstance(told, UserError):
            told = told.__cause__ or told.__context__
        if told is not None:
            raise told from None
        raise UserError(f"{_row_of(error, choices)}{error.full_key}: {str(error).splitlines()[0]}") from None
    except RecursionError:
        raise UserError("an interpolation ${...} that leads back to itself") from None


def _row_of(error: OmegaConfBaseException, choices: Mapping[str, str]) -> str:
    """`conf/method/mine.yaml:3: ` where the interpolation that failed stands in the file of an option, else nothing."""
    part, _, key = str(error.full_key).partition(".")
    text = rf"^\s*{re.escape(key.rpartition('.')[2] or part)}\s*:.*\$\{{"
    options_of = {group: choices.get(group) for group in (part, "experiment") if choices.get(group)}
    for file in [*(CONF / group / f"{name}.yaml" for group, name in options_of.items()), CONF / "config.yaml"]:
        rows = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
        found = next((number for number, row in enumerate(rows, 1) if re.match(text, row)), None)
        if found and any(
            word in rows[found - 1] for word in re.findall(r"'([^']+)'|type (\w+)", str(error)) for word in word if word
        ):
            return f"{shown(file)}:{found}: "
    return ""


def _present(node: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in node.items() if value != LEFT_OUT}


def load(cfg: DictConfig, choices: Mapping[str, str], values: Mapping[str, Any] | None = None) -> Job:
    """Validate a composed config; scale auto becomes mini or paper.

    Args:
        cfg: left as it is.
        choices: maps each config group to the option chosen (Hydra's runtime.choices).
        values: by dotted path, set last and unresolved, as Hydra sets those of the command line.

    Raises:
        UserError: one line naming the key, the value, what is allowed and the nearest valid spelling.
    """
    return job_of(resolved(cfg, choices, values or {}), choices)


def job_of(content: Mapping[str, Any], choices: Mapping[str, str]) -> Job:
    """The job of a config's plain values, as `resolved` gives them.

    Raises:
        UserError: as load.
    """
    nodes = {part: _present(content[part]) for part in PARTS if content.get(part) is not None}
    verify = nodes.get("dataset", {}).pop("verify", True)
    if content.get("dataset") == {"verify": verify}:  # the runner's key alone: no data set was chosen
        del nodes["dataset"]
    for part in ("method", "dataset", "task"):
        if part not in nodes:
            raise UserError(f"{part}: missing value; allowed: {allowed_list(options(part))}")
    unnamed = [part for part in nodes if choices.get(part) is None]
    if unnamed:
        raise UserError(
            f"choices: no option of {allowed_list(unnamed)}; pass Hydra's runtime.choices, or let bench.run.compose.compose make the job"
        )
    names = {part: str(choices[part]) for part in nodes}
    inner = [part for part, name in names.items() if "/" in name]
    if inner:
        raise UserError(
            f"{inner[0]} = '{names[inner[0]]}': an option's file lies in conf/{inner[0]} itself, not in a folder below"
        )
    _check_fit(names, nodes["method"].pop("tasks", None))
    settings = settings_of({k: v for k, v in content.items() if k not in PARTS})
    _check_processes(names["task"], settings)
    nodes = {part: _checked(part, node, names["task"], settings.extensions) for part, node in nodes.items()}
    parts = {part: typed(part, node) for part, node in nodes.items()}
    for at, node in (one for part in parts.items() for one in nodes_in(*part)):
        for key, name in functions(node):
            check_function(f"{at}.{key}", name, settings.extensions)
    if not isinstance(verify, bool):
        raise UserError(f"dataset.verify = {verify!r}: true, or false to take a known set's files as they are")
    if not verify:  # another identity, and no key of the data set's function
        parts["dataset"]["verify"] = False
    if settings.scale == "auto":
        settings = settings.model_copy(update={"scale": auto_scale()})
    experiment = choices.get("experiment")
    return Job(
        parts=parts,
        names=names,
        experiment=None if experiment in (None, "null") else str(experiment),
        settings=settings,
        asked=key_of(parts),
        code=code_hash(code_names(parts)),
    )
