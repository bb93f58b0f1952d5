"""One line for an error of Hydra's or OmegaConf's composition: what was wrong, what is allowed, the nearest spelling."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from omegaconf import DictConfig, OmegaConf

from bench.errors import UserError, allowed_list, in_one_line, nearest
from bench.run.composition import composed, hydra
from bench.run.crash import shown
from bench.run.job import PARTS
from bench.run.options import options
from bench.run.paths import CONF

GROUPS = [
    p.name for p in CONF.iterdir() if p.is_dir() and p.name not in ("hydra", "paper", "task")
]  # on a command line
MISSING = re.compile(r"(?:In '(?P<file>[^']*)': )?Could not (?:find|load) '(?P<option>[^']+)'")
GRAMMAR = "write key=value, lists as [a,b], and quote what the shell would split"


def user_error(error: Exception, arguments: Sequence[str]) -> UserError:
    """What to tell the person who wrote `arguments`."""
    if isinstance(error, UserError):
        return error
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, UserError):
            return cause
        cause = cause.__cause__
    return UserError(_line(error, arguments))


def _line(error: Exception, arguments: Sequence[str]) -> str:
    text = str(error)
    missing = MISSING.search(text)
    if missing:
        return _unknown_option(missing["option"], missing["file"], text, arguments)
    unknown = re.search(r"Could not (?:override|append to config|delete from config)\.? ?'([^']+)'", text) or re.search(
        r"full_key: (\S+)", text
    )
    if unknown:
        return _unknown_key(unknown.group(1).strip("'"), arguments)
    if "Ambiguous value" in text:
        return text.splitlines()[0] + "; to sweep over it add -m, for a list write [a,b]"
    if "See https://hydra.cc" in text:
        return f"{text.splitlines()[0]}; {GRAMMAR}"
    first = " ".join(line.strip() for line in text.splitlines()[:2])
    if text.startswith("Error merging override") and error.__cause__:
        first = f"{first}: {str(error.__cause__).splitlines()[0]}"
    file = re.search(r"'((?:[\w-]+/)*[\w-]+)'", text)
    if file and (CONF / f"{file.group(1)}.yaml").is_file():  # Hydra names a file by its group and option
        return f"{shown(CONF / f'{file.group(1)}.yaml')}: {first}"
    return first or f"no config: {type(error).__name__} (HYDRA_FULL_ERROR=1 shows where)"


def _unknown_option(named: str, file: str | None, text: str, arguments: Sequence[str]) -> str:
    group, _, option = named.rpartition("/")
    if group.startswith("hydra/"):
        names: Iterable[str] = re.findall(r"^\t(\S+)$", text.partition("Available options")[2], re.MULTILINE)
        if not names:
            names = _plugins(group)
    else:
        group, _, inner = group.partition("/")  # experiment/ssvr + cifar is the option ssvr/cifar of experiment
        option = f"{inner}/{option}" if inner else option
        names = options(group)
    allowed = f"; allowed: {allowed_list(names, option)}{nearest(option, names)}" if names else ""
    typed = any(option in text.partition("=")[2] for text in arguments if text.lstrip("+").startswith(f"{group}="))
    at = "" if typed else _place(option, file, arguments)
    return f"{at}{group or 'defaults'} = '{option}': unknown{allowed}"


def _plugins(group: str) -> list[str]:
    """The options of one of Hydra's own groups that are installed."""
    from hydra.core.config_store import ConfigStore

    node = ConfigStore.instance().repo
    for part in group.split("/"):
        node = node.get(part, {})
    return [name.removesuffix(".yaml") for name in node]


def _place(word: str, file: str | None, arguments: Sequence[str]) -> str:
    """`conf/method/mine.yaml:3: `, the first row that has the word, in the experiment or in the file that Hydra names."""
    experiments = [text.replace("=", "/") for text in arguments if text.startswith("experiment=")]
    for name in (*experiments, *([file] if file else [])):
        path = CONF / f"{name}.yaml"
        rows = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
        found = next((number for number, row in enumerate(rows, 1) if word in row), None)
        if found:
            return f"{shown(path)}:{found}: "
    return ""


def _unknown_key(key: str, arguments: Sequence[str]) -> str:
    value = next((a.split("=", 1)[1] for a in arguments if a.lstrip("+~").split("=")[0] == key and "=" in a), None)
    at = f"{key} = {value!r}" if value is not None else key
    parent, _, leaf = key.rpartition(".")
    names = set(_keys_of(parent, arguments))
    if not parent:
        names |= set(GROUPS)
        inside = [f"{group}.{leaf}" for group in PARTS if leaf in _keys_of(group, arguments)]
        if inside:
            return in_one_line(f"{at}: unknown key; did you mean {' or '.join(inside)}?")
    allowed = f"; allowed: {allowed_list(names, leaf)}{nearest(leaf, names)}" if names else ""
    return in_one_line(f"{at}: unknown key{allowed}")


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
