"""What conf/ offers: the options of each group with their sentences, the task of a data set, what an experiment sweeps. Reads files alone."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from bench.run import yaml_files
from bench.run.paths import CONF

SCALES = {"smoke": "seconds, for tests", "mini": "minutes on two CPU cores", "paper": "the paper's own protocol"}


def read_yaml(path: Path) -> Any:
    """The content of a YAML file of conf, as bench.run.yaml_files.load."""
    return yaml_files.load(path)


@cache
def options(group: str) -> dict[str, str]:
    """The options of a config group and the sentence that each file opens with."""
    folder = CONF / group
    found = {}
    for path in sorted(folder.rglob("*.yaml")):
        lines = [
            line
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines()
            if not line.startswith("# @package")
        ]
        found[str(path.relative_to(folder).with_suffix(""))] = (
            lines[0].lstrip("# ") if lines and lines[0].startswith("#") else ""
        )
    return found


def task_of(dataset: str) -> str | None:
    """The task that a data set's file brings."""
    path = CONF / "dataset" / f"{dataset}.yaml"
    return _brought(path, path.stat().st_mtime_ns)


def launcher_of(hardware: str) -> str | None:
    """The launcher that an option of hardware brings; None where it brings none or is not in conf."""
    path = CONF / "hardware" / f"{hardware}.yaml"
    defaults = (read_yaml(path) or {}).get("defaults") or [] if path.is_file() else []
    entries = [entry for entry in defaults if isinstance(entry, dict)]
    return next((str(name) for e in entries for key, name in e.items() if "/hydra/launcher@" in key), None)


@cache
def _brought(path: Path, changed: int) -> str | None:
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if "/task@_global_.task:" in line:
            return line.split(":")[-1].strip()
    return None


def task_of_experiment(experiment: str) -> str:
    """The task that an experiment chooses, or else that of its data set."""
    content = _experiment(experiment)
    own = [entry["override /task"] for entry in content.get("defaults", []) if "override /task" in entry]
    if own:
        return str(own[0])
    chosen = [entry["override /dataset"] for entry in content.get("defaults", []) if "override /dataset" in entry]
    return task_of((chosen or str(swept(experiment).get("dataset", _default("dataset"))).split(","))[0].strip()) or ""


@cache
def _default(group: str) -> str:
    """The option of a group that conf/config.yaml chooses."""
    content = read_yaml(CONF / "config.yaml")
    return next(str(entry[group]) for entry in content["defaults"] if isinstance(entry, dict) and group in entry)


def swept(experiment: str) -> dict[str, Any]:
    """The keys that an experiment sweeps over, with what its file says of each."""
    return _experiment(experiment).get("hydra", {}).get("sweeper", {}).get("params", {})


@cache
def _experiment(name: str) -> dict[str, Any]:
    return read_yaml(CONF / "experiment" / f"{name}.yaml")
