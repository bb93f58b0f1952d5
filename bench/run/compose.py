"""Hydra's own composition, with what it reads remembered in the process: the files, and the parsed `${...}` expressions."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import omegaconf.base
from hydra import initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository
from hydra.core.global_hydra import GlobalHydra
from hydra.plugins.config_source import ConfigResult

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


@contextmanager
def hydra() -> Iterator[None]:
    """hydra.compose works inside, on conf/."""
    register_resolvers()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        assert isinstance(loader, ConfigLoaderImpl)
        loader.repository = RememberingRepository(loader.config_search_path)
        omegaconf.base.parse = _remembered_parse
        try:
            yield
        finally:
            omegaconf.base.parse = _parse
    GlobalHydra.instance().clear()
