"""From a composed Hydra config to a typed, validated `Job` and its key, without importing torch."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model, field_validator

from bench.codehash import code_hash
from bench.errors import UserError, allowed_list, nearest
from bench.gpu import cuda_devices
from bench.signature import REQUIRED, ROOT, signature
from bench.types import NonNegativeFloat, NonNegativeInt, PositiveInt

SCALES = {"smoke": "seconds, for tests", "mini": "minutes on two CPU cores", "paper": "the paper's own protocol"}
PARTS = ("task", "method", "dataset", "model", "schedule")  # what defines a result; everything else is how it is run
CONF = ROOT / "conf"
LEFT_OUT = "<left out>"


class Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Hardware(Strict):
    """Where and how a run computes. Not part of a result's key; recorded beside it."""

    device: Literal["auto", "cpu", "cuda"]
    precision: Literal["fp32", "bf16"]
    channels_last: bool
    compile: bool
    threads: PositiveInt | None


class Tracker(Strict):
    """The mirror of the numbers outside the results folder."""

    kind: Literal["wandb", "none"]
    mode: Literal["offline", "online"] = "offline"
    project: str = "claimbench"
    entity: str | None = None


class Settings(Strict):
    """The runner's own keys."""

    seeds: list[NonNegativeInt] = Field(min_length=1)
    scale: Literal["auto", "smoke", "mini", "paper"]
    hardware: Hardware
    tracker: Tracker
    data_root: str
    results_root: str
    checkpoint_every: NonNegativeFloat
    force: bool | Literal["stale"]
    verbose: bool

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: list[int]) -> list[int]:
        repeated = sorted({s for s in seeds if seeds.count(s) > 1})
        if repeated:
            raise ValueError(f"distinct seeds only; {repeated[0]} is repeated")
        return seeds


@dataclass(frozen=True)
class Job:
    """What to run: typed parts (each with its `_target_`), their option names, the settings, and the key that names the result."""

    parts: dict[str, dict[str, Any]]
    names: dict[str, str]
    experiment: str | None
    settings: Settings
    key: str
    code: str

    @property
    def folder(self) -> Path:
        """results_root/runs/<task>/<method>-<dataset>-<key12>"""
        name = f"{self.names['method']}-{self.names['dataset']}-{self.key[:12]}"
        return Path(self.settings.results_root) / "runs" / self.names["task"] / name

    def get(self, path: str) -> Any:
        """The name of an option chosen (method, dataset, model, task) or a value by its dotted path (method.lr); None where there is none."""
        return lookup(path, self.names, self.parts)


def lookup(path: str, names: Mapping[str, str], parts: Mapping[str, Any]) -> Any:
    """An option's name, or a value of the typed parts by its dotted path; None where there is none."""
    if path in names:
        return names[path]
    node: Any = parts
    for key in path.split("."):
        node = node.get(key) if isinstance(node, Mapping) else None
    return node


def auto_scale() -> str:
    """paper where a GPU is, mini elsewhere."""
    return "paper" if cuda_devices() else "mini"


def _scaled(smoke: Any, mini: Any, paper: Any, *, _root_: DictConfig) -> Any:
    scale = _root_.scale
    if scale == "auto":
        scale = auto_scale()
    if scale not in SCALES:
        raise UserError(f"scale = '{scale}': allowed: auto, {allowed_list(SCALES)}{nearest(scale, SCALES)}")
    return {"smoke": smoke, "mini": mini, "paper": paper}[scale]


def _only_for(method: str, value: Any, *, _root_: DictConfig) -> Any:
    return value if _root_.choices.method == method else LEFT_OUT


def _digest_of(path: str | None) -> str | None:
    try:
        return None if path is None else hashlib.sha256(Path(path).read_bytes()).hexdigest()[:12]
    except OSError:
        return None  # the data set says what is wrong with the file


def register_resolvers() -> None:
    """`${scaled:smoke,mini,paper}`, the value of the scale at hand; `${only_for:ssvr,0.5}`, a key that only one method of a sweep has;
    `${digest_of:path}`, 12 hex digits of a file's content; `${root:}`, this repository."""
    OmegaConf.register_new_resolver("scaled", _scaled, replace=True)
    OmegaConf.register_new_resolver("only_for", _only_for, replace=True)
    OmegaConf.register_new_resolver("digest_of", _digest_of, replace=True)
    OmegaConf.register_new_resolver("root", lambda: str(ROOT), replace=True)


@cache
def options(group: str) -> dict[str, str]:
    """The options of a config group and the sentence that each file opens with."""
    folder = CONF / group
    found = {}
    for path in sorted(folder.rglob("*.yaml")):
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("# @package")]
        found[str(path.relative_to(folder).with_suffix(""))] = (
            lines[0].lstrip("# ") if lines and lines[0].startswith("#") else ""
        )
    return found


def _line(prefix: str, error: ValidationError, allowed: Mapping[str, Any]) -> str:
    """One line for one error (an unknown key before others): key, value, what is allowed, nearest spelling."""
    first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    where = ".".join(str(part) for part in (prefix, *first["loc"]) if part != "")
    leaf = str(first["loc"][-1]) if first["loc"] else prefix
    if first["type"] == "extra_forbidden":
        names = [name for name in allowed if name != leaf]
        return f"{where} = {first['input']!r}: unknown key; allowed: {allowed_list(names)}{nearest(leaf, names)}"
    if first["type"] == "missing":
        return f"{where}: missing value; set it on the command line ({where}=...) or in its file"
    message = first["msg"].removeprefix("Value error, ")
    hint = (
        nearest(first["input"], [p.strip("' ") for p in message.replace(" or ", ",").split(",")])
        if isinstance(first["input"], str)
        else ""
    )
    return f"{where} = {first['input']!r}: {message[0].lower() + message[1:]}{hint}"


def typed(group: str, node: Mapping[str, Any]) -> dict[str, Any]:
    """The node's values with the types of its constructor's signature (1 becomes 1.0 for a float), defaults filled in."""
    target = node.get("_target_")
    if not isinstance(target, str):
        raise UserError(
            f"{group}._target_: missing value; it names the class or function to build ('package.module.Name')"
        )
    try:
        values = _model(target).model_validate({k: v for k, v in node.items() if k != "_target_"})
    except ValidationError as error:
        raise UserError(_line(group, error, signature(target).keys)) from None
    return {"_target_": target, **values.model_dump()}


@cache
def _model(target: str) -> type[BaseModel]:
    """The model that a target's values must fit."""
    keys = signature(target).keys.items()
    fields = {name: (kind, ... if default is REQUIRED else default) for name, (kind, default) in keys}
    return create_model(target, __config__=ConfigDict(strict=True, extra="forbid", protected_namespaces=()), **fields)


def _settings(values: dict[str, Any]) -> Settings:
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        bad = error.errors()[0]["loc"]
        owner = {"hardware": Hardware, "tracker": Tracker}.get(str(bad[0])) if len(bad) > 1 else Settings
        raise UserError(_line("", error, (owner or Settings).model_fields)) from None
    if settings.hardware.device == "cuda" and not cuda_devices():
        raise UserError("hardware.device = 'cuda': no CUDA device is visible here; use hardware=cpu or hardware=auto")
    return settings


def _check_fit(names: Mapping[str, str], tasks: Any) -> None:
    """A method says which tasks it serves, a data set brings its task: they must meet."""
    from bench.tasks import TASKS

    task = names["task"]
    if not isinstance(tasks, list) or not tasks or set(tasks) - set(TASKS):
        raise UserError(
            f"method.tasks = {tasks!r}: a list of tasks that '{names['method']}' serves; allowed: {allowed_list(TASKS)}"
        )
    if task not in tasks:
        fitting = [name for name in options("dataset") if _task_of(name) in tasks]
        raise UserError(
            f"method '{names['method']}' {TASKS[tasks[0]].method}; data set '{names['dataset']}' {TASKS[task].data}. "
            f"Data sets that fit: {allowed_list(fitting) or 'none yet'}"
        )


def _task_of(dataset: str) -> str | None:
    for line in (CONF / "dataset" / f"{dataset}.yaml").read_text(encoding="utf-8").splitlines():
        if "/task@_global_.task:" in line:
            return line.split(":")[-1].strip()
    return None


def task_of_experiment(experiment: str) -> str:
    """The task of the data set that an experiment chooses."""
    content = _experiment(experiment)
    chosen = [entry["override /dataset"] for entry in content.get("defaults", []) if "override /dataset" in entry]
    return _task_of((chosen or str(swept(experiment).get("dataset", "digits")).split(","))[0].strip()) or ""


def swept(experiment: str) -> dict[str, Any]:
    """The keys that an experiment sweeps over, with what its file says of each."""
    return _experiment(experiment).get("hydra", {}).get("sweeper", {}).get("params", {})


@cache
def _experiment(name: str) -> dict[str, Any]:
    return yaml.safe_load((CONF / "experiment" / f"{name}.yaml").read_text(encoding="utf-8"))


def copied(cfg: DictConfig) -> DictConfig:
    """A deep copy, in a fifth of the time that cfg.copy() takes."""
    return pickle.loads(pickle.dumps(cfg))


def _resolved(cfg: DictConfig, choices: Mapping[str, str], values: Mapping[str, Any]) -> dict[str, Any]:
    """Plain values; `${choices.method}` and its like are the names of the options chosen."""
    cfg = copied(cfg)
    for path, value in values.items():
        OmegaConf.update(cfg, path, value, merge=False)
    with open_dict(cfg):
        cfg.choices = {group: choices.get(group) for group in (*PARTS, "experiment")}
    try:
        return OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        raise UserError(
            f"{error.full_key or error}: missing value; set it on the command line or in its file"
        ) from None
    except OmegaConfBaseException as error:
        if isinstance(error.__cause__, UserError):
            raise error.__cause__ from None
        raise UserError(f"{error.full_key}: {str(error).splitlines()[0]}") from None


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
    register_resolvers()  # again in a launcher's worker process
    resolved = _resolved(cfg, choices, values or {})
    resolved.pop("choices"), resolved.pop("per_method", None)
    nodes = {part: _present(resolved.pop(part)) for part in PARTS if resolved.get(part) is not None}
    settings = _settings({k: v for k, v in resolved.items() if k not in PARTS})
    for part in ("method", "dataset", "task"):
        if part not in nodes:
            raise UserError(f"{part}: missing value; allowed: {allowed_list(options(part))}")
    names = {part: str(choices[part]) for part in nodes}
    _check_fit(names, nodes["method"].pop("tasks", None))
    parts = {part: typed(part, node) for part, node in nodes.items()}
    text = json.dumps(parts, sort_keys=True, allow_nan=False)
    if settings.scale == "auto":
        settings = settings.model_copy(update={"scale": auto_scale()})
    experiment = choices.get("experiment")
    return Job(
        parts=parts,
        names=names,
        experiment=None if experiment in (None, "null") else str(experiment),
        settings=settings,
        key=hashlib.sha256(text.encode()).hexdigest(),
        code=code_hash(frozenset(str(node["_target_"]) for node in parts.values())),
    )
