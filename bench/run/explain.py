"""One line for an error of Hydra's or OmegaConf's composition: what was wrong, what is allowed, the nearest spelling."""

from __future__ import annotations

import re
from collections.abc import Sequence

from omegaconf import DictConfig, OmegaConf

from bench.errors import UserError, allowed_list, nearest
from bench.run.composition import composed, hydra
from bench.run.options import options
from bench.run.paths import CONF


def user_error(error: Exception, arguments: Sequence[str]) -> UserError:
    """What to tell the person who wrote `arguments`."""
    if isinstance(error, UserError):
        return error
    return error.__cause__ if isinstance(error.__cause__, UserError) else UserError(_line(error, arguments))


def _line(error: Exception, arguments: Sequence[str]) -> str:
    text = str(error)
    missing = re.search(r"Could not find '([^']+)'|In '[^']*': Could not find '([^']+)'", text)
    if missing:
        group, _, option = (missing.group(1) or missing.group(2)).rpartition("/")
        return _unknown_option(group, option)
    unknown = re.search(r"Could not (?:override|append to config|delete from config)\.? ?'([^']+)'", text) or re.search(
        r"full_key: (\S+)", text
    )
    if unknown:
        return _unknown_key(unknown.group(1).strip("'"), arguments)
    if "Ambiguous value" in text:
        return text.splitlines()[0] + "; to sweep over it add -m, for a list write [a,b]"
    if "See https://hydra.cc" in text:
        return text.splitlines()[0] + "; write key=value, lists as [a,b], and quote what the shell would split"
    return " ".join(line.strip() for line in text.splitlines()[:2])


def _unknown_option(group: str, option: str) -> str:
    group, _, inner = group.partition("/")  # experiment/ssvr + cifar is the option ssvr/cifar of experiment
    option = f"{inner}/{option}" if inner else option
    names = options(group)
    return f"{group} = '{option}': unknown; allowed: {allowed_list(names)}{nearest(option, names)}"


def _unknown_key(key: str, arguments: Sequence[str]) -> str:
    value = next((a.split("=", 1)[1] for a in arguments if a.lstrip("+~").split("=")[0] == key and "=" in a), None)
    at = f"{key} = {value!r}" if value is not None else key
    parent, _, leaf = key.rpartition(".")
    names = _keys_of(parent, arguments)
    if not parent:
        names += [path.name for path in CONF.iterdir() if path.is_dir() and path.name != "hydra"]
    return f"{at}: unknown key; allowed: {allowed_list(set(names))}{nearest(leaf, names)}"


def _keys_of(parent: str, arguments: Sequence[str]) -> list[str]:
    """The keys below `parent` in the config that the group choices among the arguments compose to."""
    choices = [a for a in arguments if "=" in a and (CONF / a.split("=")[0].split("@")[0]).is_dir() and "," not in a]
    try:
        with hydra():
            cfg = composed(choices)[0]
            node = OmegaConf.select(cfg, parent) if parent else cfg
    except Exception:
        return []
    return [str(k) for k in node if k not in ("_target_", "tasks")] if isinstance(node, DictConfig) else []
