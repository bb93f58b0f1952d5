"""Hydra's own composition of a command line, outside and inside Hydra's main."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, open_dict

from bench.run.confguard import guard_hydra
from bench.run.paths import CONF
from bench.run.resolvers import register_resolvers


@contextmanager
def hydra() -> Iterator[None]:
    """hydra.compose works inside, on conf/; Hydra's state of the process is afterwards what it was."""
    register_resolvers()
    guard_hydra()
    before = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            yield
    finally:
        GlobalHydra.instance().hydra = before


def composed(line: Sequence[str]) -> tuple[DictConfig, dict[str, str], DictConfig]:
    """Inside `hydra()` or Hydra's main: the config of a command line, the options chosen, and the parameters that its sweeper goes through."""
    cfg = compose("config", list(line), return_hydra_config=True)
    choices, swept = dict(cfg.hydra.runtime.choices), cfg.hydra.sweeper.params
    with open_dict(cfg):
        del cfg["hydra"]
    return cfg, choices, swept


def launchers() -> list[str]:
    """The options of hydra/launcher: ours, Hydra's own and those of the plugins that are installed."""
    with hydra():
        return sorted(GlobalHydra.instance().config_loader().get_group_options("hydra/launcher"))
