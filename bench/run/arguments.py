"""The command line before Hydra reads it: what Hydra would crash on, misread or pass over in silence is one line."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, NoReturn

from hydra._internal.utils import get_args_parser
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, QuotedString, Sweep
from hydra.errors import HydraException

from bench.errors import UserError, allowed_list, in_one_line, nearest
from bench.run.options import options, read_yaml, swept
from bench.run.paths import CONF
from bench.run.refusal import short
from bench.run.targets import check_hydra

DEPTH, DIGITS, JOBS = 30, 1000, 100_000  # the deepest nesting, the longest number, the largest sweep
FLAGS = ("run", "multirun", "cfg", "info", "shell_completion")  # one at a time
GRAMMAR = "write key=value, lists as [a,b], and quote what the shell would split"


def checked(arguments: Sequence[str]) -> list[str]:
    """The command line for Hydra: overrides before flags where they were mixed, `seeds=0,1` of a sweep as `seeds=[0],[1]`.

    Raises:
        UserError: what is wrong with it.
    """
    chosen, ordered = _flags(arguments)
    if chosen.shell_completion:
        return ordered
    parsed = [parsed_override(text) for text in chosen.overrides]
    for override in parsed:
        _check_key(override)
        _check_option(override)
    sweep = chosen.multirun or _sweeps(parsed)
    if sweep:
        _check_sweep(parsed)
    renamed = {o.input_line: _in_sweep(o, _swept_groups(parsed)) for o in parsed} if sweep else {}
    return [renamed.get(text, text) for text in ordered]


def _flags(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Hydra's own parser, of flags and overrides in any order."""
    parser = get_args_parser()
    parser.error = _refuse  # type: ignore[method-assign]
    for text in arguments:  # versions of argparse say different things of it
        if text.startswith("-") and f"-{text}" in parser._option_string_actions:
            _refuse(f"-{text} has two dashes: {text}")
    chosen = parser.parse_intermixed_args(list(arguments))
    if sum(bool(getattr(chosen, flag)) for flag in FLAGS) > 1:
        raise UserError("only one of --run, --multirun, --cfg, --info and --shell-completion at a time")
    if chosen.resolve and not (chosen.cfg or chosen.help):
        raise UserError("--resolve: only with --cfg")
    rest = list(arguments)
    for text in chosen.overrides:
        rest.remove(text)
    return chosen, [*chosen.overrides, *(text for text in rest if text != "--")]


def _refuse(message: str) -> NoReturn:
    raise UserError(f"{in_one_line(message)}; `python run.py --help` shows uses")


def parsed_override(text: str, loader: ConfigLoader | None = None) -> Override:
    """An override as Hydra reads it; with a loader, which knows the options, one that can go through those that a glob(...) matches.

    Raises:
        UserError: Hydra's parser does not read it, or would not survive it.
    """
    shown = short(text)
    if not text.strip():
        raise UserError(f"an argument that is empty ({shown}); {GRAMMAR}")
    if "\0" in text or any("\ud800" <= c <= "\udfff" for c in text):
        raise UserError(f"{shown}: a null byte, or bytes that are not UTF-8")
    if re.search(rf"\d{{{DIGITS}}}", text.replace("_", "")):
        raise UserError(f"{shown}: a number of more than {DIGITS} digits")
    depth = deepest = 0
    for c in text:
        depth += (c in "[{(") - (c in "]})")
        deepest = max(deepest, depth)
    if deepest > DEPTH:
        raise UserError(f"{shown}: brackets nested more than {DEPTH} deep")
    try:
        return OverridesParser.create(loader).parse_overrides([text])[0]
    except (HydraException, ValueError, RecursionError, TypeError, AttributeError, ArithmeticError) as error:
        reason = in_one_line(str(error).splitlines()[0]) if str(error) else type(error).__name__
        at = "" if text in reason else f"{shown}: "
        home = "; write $HOME or the full path for ~" if "=~" in text else ""
        raise UserError(f"{at}{reason.removeprefix('LexerNoViableAltException: ')}; {GRAMMAR}{home}") from None


def _check_key(override: Override) -> None:
    """Hydra's settings may not name code; a key is a path of names."""
    key = override.key_or_group
    if not key:
        raise UserError(f"{override.input_line}: no key before the equals sign; {GRAMMAR}")
    if key == "hydra" or key.startswith("hydra."):
        value = None if override.is_sweep_override() else override.value()
        if key.startswith("hydra.callbacks"):
            raise UserError(f"{override.input_line}: callbacks are code; only those of conf/config.yaml run")
        node: Any = _plain(value)
        for part in reversed(key.split(".")[1:]):
            node = {part: node}
        check_hydra(node)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return value.text if isinstance(value, QuotedString) else value


def _check_option(override: Override) -> None:
    """The value of a config group is the name of one option."""
    group = override.key_or_group
    if not (CONF / group).is_dir() or override.is_delete():
        return
    value = override.value()
    if isinstance(value, Glob):
        return
    for one in _elements(override) if isinstance(value, Sweep) else [value]:
        if not isinstance(one, str | QuotedString) or not str(_plain(one)):
            if group == "experiment":
                raise UserError(f"experiment = {_word(one)}: the name of an experiment; leave it out to run none")
            names = options(group)
            hint = f"allowed: {allowed_list(names, None if one is None else _word(one))}{nearest(_word(one), names)}"
            raise UserError(f"{group} = {_word(one)}: the name of one option; {hint}")


def _word(value: Any) -> str:
    plain = _plain(value)
    return "null" if plain is None else short(plain)


def _elements(override: Override) -> list[Any]:
    """What a sweep goes through, at most JOBS + 1 of it."""
    try:
        return list(islice(override.sweep_iterator(), JOBS + 1))
    except (HydraException, ValueError, TypeError, ArithmeticError) as error:
        raise UserError(f"{override.input_line}: {in_one_line(error)}") from None


def _sweeps(parsed: Sequence[Override]) -> bool:
    """Does the line sweep without -m: hydra.mode=MULTIRUN, or an experiment that says so?"""
    values = {o.key_or_group: o.value() for o in parsed if not o.is_delete() and not o.is_sweep_override()}
    if "hydra.mode" in values:
        return str(values["hydra.mode"]) == "MULTIRUN"
    file = CONF / "experiment" / f"{values.get('experiment')}.yaml"
    hydra = (read_yaml(file) or {}).get("hydra") if file.is_file() else None
    return isinstance(hydra, Mapping) and hydra.get("mode") == "MULTIRUN"


def _check_sweep(parsed: Sequence[Override]) -> None:
    """As many jobs as a person may have meant; an experiment's sweep is its own."""
    counts = []
    for override in parsed:
        if override.is_sweep_override() and not isinstance(override.value(), Glob):
            found = _elements(override)
            if not found:
                raise UserError(f"{override.input_line}: no value to sweep over")
            counts.append(len(found))
        if override.key_or_group == "experiment" and override.is_sweep_override():
            _check_experiments(override)
    if math.prod(counts) > JOBS:
        raise UserError(f"a sweep of more than {JOBS} jobs; leave out values")


def _check_experiments(override: Override) -> None:
    value = override.value()
    names = [] if isinstance(value, Glob) else [str(_plain(one)) for one in _elements(override)]
    own = [name for name in names if (CONF / "experiment" / f"{name}.yaml").is_file() and swept(name)]
    if own or isinstance(value, Glob):
        which = f"'{own[0]}' is a sweep of its own" if own else "experiments are sweeps of their own"
        raise UserError(
            f"{override.input_line}: {which}, and would shrink to one job here; run one experiment at a time, "
            "or all of a paper: make reproduce-all PAPER=..."
        )


def _swept_groups(parsed: Sequence[Override]) -> set[str]:
    """Config groups of which the jobs have different options; the task may follow the method and the data set."""
    experiments = [str(o.value()) for o in parsed if o.key_or_group == "experiment" and not o.is_sweep_override()]
    own = [key for name in experiments if (CONF / "experiment" / f"{name}.yaml").is_file() for key in swept(name)]
    found = {key for key in [*own, *(o.key_or_group for o in parsed if o.is_sweep_override())] if (CONF / key).is_dir()}
    return found | ({"task"} if found & {"method", "dataset"} else set())


def _in_sweep(override: Override, groups: set[str]) -> str:
    """`seeds=0,1` as `seeds=[0],[1]`, jobs of one seed each; `method.lr=1` of a sweep over methods as `method.lr=choice(1)`, which Hydra
    sets in each job and not, before, in the default method, which may lack the key; so `method@method.optimizer=ssvr`."""
    text = str(override.input_line)
    key, _, value = text.partition("=")
    plain = not (override.is_sweep_override() or override.is_add() or override.is_force_add() or override.is_delete())
    inside = key.rpartition("@")[2]  # of a group, its package
    if plain and value.strip() and "." in inside and inside.split(".")[0] in groups:
        return f"{key}=choice({value})"
    if override.key_or_group != "seeds" or not override.is_sweep_override() or isinstance(override.value(), Glob):
        return text
    found = _elements(override)
    if not all(isinstance(one, int) and not isinstance(one, bool) for one in found):
        return text
    return f"{key}={','.join(f'[{one}]' for one in found)}"
