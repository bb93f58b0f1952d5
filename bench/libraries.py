"""Libraries of the extra `dp`, imported when they are first asked for.

They look for packages called torchvision and datasets and import them when they are found. Nothing that is used of them needs either, and here
both disturb: a torchvision whose compiled operators do not match torch fails at import, and `datasets` is this repository's folder. So
neither is seen while they are imported.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from types import ModuleType

from bench.errors import UserError

HIDDEN = ("torchvision", "datasets")
INSTALL = "pip install '.[dp]'"


def diffusers() -> ModuleType:
    """The module diffusers: U-Nets, autoencoders and samplers. Raises UserError: it is not installed."""
    return _library("diffusers", "UNet2DModel", "UNet2DConditionModel", "AutoencoderKL", "DDIMScheduler")


def peft() -> ModuleType:
    """The module peft: low-rank adapters. Raises UserError: it is not installed."""
    return _library("peft", "LoraConfig")


def opacus_accountants() -> ModuleType:
    """The module opacus.accountants: PRV and RDP accountants. Raises UserError: it is not installed."""
    return _library("opacus.accountants", "PRVAccountant")


def dp_accounting() -> ModuleType:
    """The module dp_accounting: PLD and RDP accountants. Raises UserError: it is not installed."""
    return _library("dp_accounting", "PoissonSampledDpEvent")


@cache
def _library(name: str, *used: str) -> ModuleType:
    """A module, with the attributes that it would only load when they are `used`."""
    with _hidden():
        try:
            module = import_module(name)
            for attribute in used:
                getattr(module, attribute)
        except ModuleNotFoundError as error:
            missing = (error.name or name).partition(".")[0]
            raise UserError(f"this run needs the extra dp ({missing} is not installed): {INSTALL}") from None
    return module


@contextlib.contextmanager
def _hidden() -> Iterator[None]:
    """Packages that nobody finds, and those that are imported already afterwards again in their place."""
    before = {name: sys.modules[name] for name in HIDDEN if name in sys.modules}
    sys.modules.update(dict.fromkeys(HIDDEN))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in HIDDEN:
            del sys.modules[name]
        sys.modules.update(before)
