"""Every file of conf/ is checked as Hydra opens it, and what Hydra would build is checked before it builds it.

What is read stays in the process until the file changes (what it is composed to as well: bench.run.composed_once), and so do the parsed
`${...}` expressions. Hydra's sweeper would compose each job once more to check it, which bench.run.sweep.CheckSweep has done.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from copy import copy
from functools import cache, wraps
from pathlib import Path
from typing import Any

import omegaconf.base
from hydra._internal import config_loader_impl
from hydra._internal import defaults_list as defaults_list_module
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository
from hydra._internal.defaults_list import DefaultsList, create_defaults_list
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.plugins.config_source import ConfigResult
from hydra.plugins.sweeper import Sweeper
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from bench.errors import UserError, in_one_line
from bench.run import composed_once
from bench.run.crash import shown
from bench.run.memo import stamp_of
from bench.run.notes import task_for
from bench.run.options import task_of
from bench.run.paths import CONF
from bench.run.targets import check_hydra
from bench.run.yaml_files import load

PACKAGE = re.compile(r"^\s*#\s*@package\b[ \t]*(\S*)")


@cache
def guard_hydra() -> None:
    """For this process: Hydra reads files and composes configs with our checks before its own."""
    load_config, load_configuration = ConfigRepository.load_config, ConfigLoaderImpl.load_configuration
    known: dict[tuple[str, str], tuple[list[int], bytes]] = {}

    @wraps(load_config)
    def remembered(self: ConfigRepository, config_path: str) -> ConfigResult | None:
        source = self._find_object_source(config_path=config_path, object_type=ObjectType.CONFIG)
        if source is None:
            for each in (each for each in self.sources if each.scheme() == "file"):
                composed_once.note_file(Path(each.path, each._normalize_file_name(config_path)), None)
        if source is None or source.scheme() not in ("file", "pkg"):
            return load_config(self, config_path)
        path = Path(source.path, source._normalize_file_name(config_path)) if source.scheme() == "file" else None
        key, stamp = (source.full_path(), config_path), stamp_of(path) if path else []
        if key not in known or known[key][0] != stamp:
            found = checked_file(self, config_path, path) if path else load_config(self, config_path)
            known[key] = stamp, pickle.dumps(found)
        if path:
            composed_once.note_file(path, stamp)
        return pickle.loads(known[key][1])  # a copy: compositions merge into it

    def checked_file(self: ConfigRepository, config_path: str, path: Path) -> ConfigResult | None:
        if load(path) is None:
            raise UserError(f"{shown(path)}: the file is empty; a mapping of keys to values was expected")
        _check_package(path, config_path, path.read_text(encoding="utf-8-sig"))
        try:
            return load_config(self, config_path)
        except (HydraException, OmegaConfBaseException, ValueError, TypeError, AttributeError, RecursionError) as error:
            raise UserError(f"{shown(path)}: {in_one_line(error)}") from error

    @wraps(load_configuration)
    def checked_configuration(self: ConfigLoaderImpl, *arguments: Any, **more: Any) -> DictConfig:
        with composed_once.composing():
            cfg = load_configuration(self, *arguments, **more)
        if "hydra" in cfg:
            check_hydra(OmegaConf.to_container(cfg.hydra, resolve=False))
        return cfg

    @wraps(create_defaults_list)
    def with_fitting_task(
        repo: Any, config_name: str | None, overrides_list: list[Override], **more: Any
    ) -> DefaultsList:
        found = create_defaults_list(repo, config_name, overrides_list, **more)
        other = _other_task(found.overrides.known_choices)
        if other is None:
            return found
        added = OverridesParser.create().parse_overrides([f"task={other}"])
        return create_defaults_list(repo, config_name, [*overrides_list, *added], **more)

    omegaconf.base.parse = cache(omegaconf.base.parse)
    ConfigRepository.load_config = remembered  # type: ignore[method-assign]
    # Hydra gives a copy other sources, and changes nothing in those that it has.
    ConfigRepository.__deepcopy__ = lambda self, memo: copy(self)  # type: ignore[attr-defined]
    ConfigLoaderImpl.load_configuration = checked_configuration  # type: ignore[method-assign]
    config_loader_impl.create_defaults_list = composed_once.defaults_once(with_fitting_task)
    merge = composed_once.content_once(ConfigLoaderImpl._compose_config_from_defaults_list)
    ConfigLoaderImpl._compose_config_from_defaults_list = merge  # type: ignore[method-assign]
    defaults_list_module._create_interpolation_map = composed_once.needed_map
    Sweeper.validate_batch_is_legal = lambda self, batch: None  # type: ignore[method-assign]


def _other_task(chosen: Mapping[str, str | None]) -> str | None:
    """The task of a method that does not serve the one that the data set brings, but another that takes the same data; else None."""
    method, dataset, task = (chosen.get(group) for group in ("method", "dataset", "task"))
    files = [CONF / group / f"{name}.yaml" for group, name in (("method", method), ("dataset", dataset))]
    if task is None or not all(file.is_file() for file in files) or task != task_of(str(dataset)):
        return None
    tasks = (load(files[0]) or {}).get("tasks")
    return None if not isinstance(tasks, list) or task in tasks else task_for(tasks, str(dataset))


def _check_package(path: Path, config_path: str, text: str) -> None:
    """An experiment speaks of the whole config, an option of its own group."""
    group, _, inner = config_path.partition("/")
    if not inner or group == "hydra":
        return
    found = next((match for row in text[:512].splitlines() if (match := PACKAGE.match(row))), None)
    package = found.group(1) if found else ""
    if group == "experiment" and package != "_global_":
        raise UserError(f"{shown(path)}:1: the first line of an experiment must be '# @package _global_'")
    if package not in ("", "_global_", "_group_", group):
        raise UserError(f"{shown(path)}:1: '@package {package}' puts its keys where nothing reads them; leave it out")
