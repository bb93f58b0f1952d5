"""Which code a config may name: our packages, torch's optimizers and modules, and modules that the person allows. Nothing is imported to find out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from bench.errors import UserError
from bench.run.signature import origin, source_file, takes_one

OWN = ("bench", "datasets", "methods", "torch.nn", "torch.optim")
HYDRA = ("hydra", "hydra_plugins", "bench.run")  # launchers, sweepers, and our callback
LOGGING = ("logging", "colorlog", "hydra")
NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*", re.ASCII)


def check_target(group: str, target: Any, extensions: Iterable[str] = (), suffix: str = "._target_") -> None:
    """Refuse a `_target_` that lies, itself or where it was imported from, in no allowed module; error lines name the key group + suffix.

    Raises:
        UserError: naming the module that would have to be allowed.
    """
    if not isinstance(target, str) or not target:
        raise UserError(
            f"{group}{suffix}: missing value; it names the class or function to build ('package.module.Name')"
        )
    if not NAME.fullmatch(target):
        raise UserError(f"{group}{suffix} = '{target}': no name of a class or function ('package.module.Name')")
    allowed = (*OWN, *extensions)
    for name in dict.fromkeys((target, origin(target))):
        if not _inside(name, allowed):
            taken = f" (from {name})" if name != target else ""
            raise UserError(
                f"{group}{suffix} = '{target}'{taken}: not in {', '.join(allowed)}; "
                f"to allow it add its module to `extensions` of conf/config.yaml: extensions: [{name.split('.')[0]}]"
            )
    if source_file(target.rpartition(".")[0]) is None:
        raise UserError(f"{group}{suffix} = '{target}': no such class or function; write package.module.Name")


def check_function(key: str, name: str, extensions: Iterable[str] = ()) -> None:
    """Refuse the name of a function that may not be named, is not there, or cannot be called with one argument.

    Raises:
        UserError: "key = 'package.module.name': ...".
    """
    check_target(key, name, extensions, suffix="")
    try:
        fits = takes_one(name)
    except UserError as error:
        raise UserError(f"{key} = '{name}': {error}") from None
    if fits is False:
        raise UserError(f"{key} = '{name}': a function of one argument is wanted, and this takes others")


def check_hydra(node: Any, key: str = "hydra") -> None:
    """Hydra's own settings build Hydra's own plugins and standard log handlers, and nothing else."""
    if isinstance(node, Mapping):
        for name, value in node.items():
            at = f"{key}.{name}"
            logs = ".job_logging." in at or ".hydra_logging." in at
            if name == "_target_" and not (isinstance(value, str) and _inside(value, HYDRA)):
                raise UserError(f"{at} = '{value}': Hydra's own plugins alone; methods and data sets have `_target_`")
            if logs and name in ("()", "class") and not (isinstance(value, str) and _inside(value, LOGGING)):
                raise UserError(f"{at} = '{value}': a handler of Python's logging alone")
            check_hydra(value, at)
    elif isinstance(node, list):
        for number, value in enumerate(node):
            check_hydra(value, f"{key}.{number}")


def _inside(name: str, modules: Iterable[str]) -> bool:
    return any(name.startswith(f"{module}.") for module in modules)
