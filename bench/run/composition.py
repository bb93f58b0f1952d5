"""Hydra's own composition, with what it reads remembered in the process: the files, and the parsed `${...}` expressions."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache

import omegaconf.base
from hydra import compose, initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository
from hydra.core.global_hydra import GlobalHydra
from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig, open_dict

from bench.run.confguard import guard_hydra
from bench.run.paths import CONF
from bench.run.resolvers import register_resolvers

_parse = omegaconf.base.parse
_remembered_parse = cache(_parse)
_files: dict[tuple[str, ...], bytes] = {}


class RememberingRepository(ConfigRepository):
    """Reads each file once; every composition gets a copy of its own, as it merges into it."""

    def load_config(self, config_path: str) -> ConfigResult | None:
        key = (config_path, *(source.path for source in self.sources))
        if key not in _files:
            _files[key] = pickle.dumps(super().load_config(config_path))
        return pickle.loads(_files[key])


def forget_files() -> None:
    """Read every file anew from now on."""
    _files.clear()


@contextmanager
def hydra() -> Iterator[None]:
    """hydra.compose works inside, on conf/; Hydra's state of the process is afterwards what it was."""
    register_resolvers()
    guard_hydra()
    before = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            loader = GlobalHydra.instance().config_loader()
            assert isinstance(loader, ConfigLoaderImpl)
            loader.repository = RememberingRepository(loader.config_search_path)
            omegaconf.base.parse = _remembered_parse
            try:
                yield
            finally:
                omegaconf.base.parse = _parse
    finally:
        GlobalHydra.instance().hydra = before


def composed(line: Sequence[str]) -> tuple[DictConfig, dict[str, str], DictConfig]:
    """Inside `hydra()` or Hydra's main: the config of a command line, the options chosen, and the parameters that its sweeper goes through."""
    cfg = compose("config", list(line), return_hydra_config=True)
    choices, swept = dict(cfg.hydra.runtime.choices), cfg.hydra.sweeper.params
    with open_dict(cfg):
        del cfg["hydra"]
    return cfg, choices, swept
