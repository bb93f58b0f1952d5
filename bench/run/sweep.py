"""The command lines that a sweep comes to, and their jobs, composed as Hydra composes them."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import compress
from pathlib import Path
from typing import Any, NoReturn, cast

from hydra import __version__ as hydra_version
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf import __version__ as omegaconf_version
from omegaconf.errors import OmegaConfBaseException

from bench.errors import UserError, in_one_line
from bench.run import memo, multirun, world
from bench.run.arguments import parsed_override
from bench.run.composition import composed, hydra
from bench.run.config import copied, job_of, load, resolved
from bench.run.crash import show_traceback
from bench.run.explain import user_error
from bench.run.gpu import cuda_devices
from bench.run.job import Job
from bench.run.notes import task_for
from bench.run.options import launcher_of
from bench.run.paths import CONF, ROOT
from bench.run.progress import say
from bench.run.signature import signature


@cache
def of_experiment(experiment: str, arguments: tuple[str, ...]) -> list[Job]:
    """The jobs of `python run.py experiment=... <arguments>`, in Hydra's order."""
    roots = [text for text in arguments if text.startswith("results_root=")]
    own = {"results_root": _parsed(roots[-1]).value()} if roots else {}
    plain = tuple(text for text in arguments if text not in roots)
    return [job_of({**content, **own}, choices) for content, choices in _contents(experiment, plain)]


@cache
def _contents(experiment: str, arguments: tuple[str, ...]) -> list[tuple[dict[str, Any], dict[str, str]]]:
    """Plain values and choices of an experiment's jobs; with no argument but the scale they are kept between processes."""
    name, key = f"jobs/{experiment}-{'-'.join(arguments).replace('=', '-')}", _composed_from()
    kept = all(text.startswith("scale=") for text in arguments)
    found = memo.read(name, key) if kept else None
    if found is None:
        chosen = f"experiment={experiment}"
        with hydra():
            scale = [text for text in arguments if text.startswith("scale=")]  # what is swept may depend on it
            lines = _lines(_composed((chosen, *scale))[2], (chosen, *arguments))
            found = [(resolved(cfg, choices, values), choices) for cfg, choices, values in map(_config, lines)]
        if kept:
            memo.keep(name, key, found)
    return found


@cache
def _composed_from() -> str:
    """A digest of what compositions are made of: the configs, the code that composes them, and what it asks of the machine."""
    own = memo.digest_of_files(
        "conf", *(f"bench/run/{name}.py" for name in ("composition", "config", "registry", "resolvers", "sweep"))
    )
    machine = (ROOT, os.environ.get("CLAIMBENCH_DATA"), cuda_devices(), hydra_version, omegaconf_version)
    return hashlib.sha256(f"{own} {machine}".encode()).hexdigest()


def _lines(params: DictConfig | None, arguments: Iterable[str]) -> list[tuple[str, ...]]:
    """The command lines that Hydra's sweeper makes of an experiment's parameters and the arguments."""
    swept = [f"{key!s}={value}" for key, value in (params or {}).items()]
    parsed = [_parsed(text) for text in (*swept, *arguments)]
    (lines,) = BasicSweeper.split_arguments(parsed, max_batch_size=None)
    if not lines:
        empty = next((o for o in parsed if o.is_sweep_override() and not list(o.sweep_string_iterator())), None)
        raise UserError(f"{empty.input_line if empty else 'the sweep'}: matches nothing, so that no job would run")
    return [tuple(line) for line in lines]


class CheckSweep(Callback):
    """Hydra callback: a multirun whose job 40 has a wrong value ends before job 1, with one line and exit code 2."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Compose and validate every job; SystemExit(2) after one line where one does not fit."""
        try:
            _check_parallel(config)
            lines = _lines(config.hydra.sweeper.params, config.hydra.overrides.task)
            jobs = [_job_of(lines, number) for number in range(len(lines))]
            to_do = [not multirun.is_over(job) for job in jobs]
            say(
                all(job.settings.verbose for job in jobs) and not world.rank(),
                f"{len(jobs)} jobs, {sum(to_do)} to compute",
            )
            constructed(list(compress(jobs, to_do)))
        except Exception as error:
            _refuse(error)
        overrides = [{o.get_key_element().lstrip("+~"): o.value() for o in map(_parsed, line)} for line in lines]
        multirun.begin(jobs, overrides, to_do, _workers(config))

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """SystemExit(2) where an experiment sweeps, and only one job of it would run; where one job was to run on a cluster, or at a time
        with others."""
        if config.hydra.sweeper.params:
            chosen = config.hydra.runtime.choices.get("experiment")
            _refuse(
                UserError(
                    f"experiment = '{chosen}': sweeps over {', '.join(config.hydra.sweeper.params)}, and one job of it would run; "
                    f"add -m, or `mode: MULTIRUN` below `hydra:` in conf/experiment/{chosen}.yaml"
                )
            )
        if config.parallel not in (None, 1) and multirun.JOB not in os.environ:
            _refuse(
                UserError(
                    f"parallel = {config.parallel}: takes the jobs of a sweep, and this is a single run; add -m, "
                    "and seeds=[0],[1] for a job a seed"
                )
            )
        if _ours(config.hydra.launcher) and "cpus" in config.hydra.launcher:  # of a cluster
            _refuse(UserError(f"{launcher_named(config)}: takes the jobs of a sweep, and this is a single run; add -m"))


def launcher_named(config: DictConfig) -> str:
    """The launcher by the key that chose it, for an error line: `hardware = 'slurm'`, or `hydra/launcher = 'slurm'`."""
    choices = config.hydra.runtime.choices
    typed = any(text.lstrip("+~").startswith("hydra/launcher=") for text in config.hydra.overrides.hydra)
    brought = not typed and launcher_of(choices["hardware"]) == choices["hydra/launcher"]
    key = "hardware" if brought else "hydra/launcher"
    return f"{key} = '{choices[key]}'"


def _ours(launcher: DictConfig) -> bool:
    """Is it a launcher of hydra_plugins/claimbench?"""
    return str(launcher.get("_target_")).startswith("hydra_plugins.claimbench.")


def _check_parallel(config: DictConfig) -> None:
    """`parallel` is of the launcher of this machine; an experiment's null leaves it to whichever there is.

    Raises:
        UserError: a number of jobs that another launcher would not read.
    """
    launcher = config.hydra.launcher
    if config.parallel not in (None, 1) and str(launcher.get("parallel")) != str(config.parallel):
        own = next((key for key in ("parallel", "n_jobs", "array_parallelism") if key in launcher), None)
        instead = f"hydra.launcher.{own} says how many at a time there" if own else "it runs one job after another"
        raise UserError(f"parallel = {config.parallel}: not of {launcher_named(config)}; {instead}")


def _refuse(error: Exception) -> NoReturn:
    """One line and exit code 2: Hydra makes warnings of a callback's exceptions."""
    world.stand_back(2)
    show_traceback(error)
    print(f"error: {world.signed(in_one_line(user_error(error, sys.argv[1:])))}", file=sys.stderr)
    raise SystemExit(2) from None


def _job_of(lines: Sequence[tuple[str, ...]], number: int) -> Job:
    """A job of a sweep; an error line speaks of the job's own groups, and names the job where others differ."""
    line = lines[number]
    try:
        return _job(line)
    except (UserError, HydraException, OmegaConfBaseException) as error:
        told = str(user_error(error, line))
        if len(lines) == 1:
            raise UserError(told) from error
        shared = Counter(text for other in lines for text in set(other))
        own = " ".join(text for text in line if shared[text] < len(lines))
        raise UserError(f"{told}{_who_has(told, lines)} (job {number + 1} of {len(lines)}: {own})") from error


def _who_has(told: str, lines: Sequence[tuple[str, ...]]) -> str:
    """Of an unknown key: the options of this sweep that have it."""
    unknown = re.match(r"(\w+)\.(\w+) = .*: unknown key", told)
    if not unknown:
        return ""
    group, key = unknown.groups()
    have = {}
    for line in lines:
        cfg, choices, _ = _config(tuple(text for text in line if not text.lstrip("+").startswith(f"{group}.{key}=")))
        have[choices.get(group)] = key in signature(cfg[group]["_target_"]).keys
    names = [str(name) for name, has in have.items() if has]
    return f"; of this sweep's only {', '.join(names)} has it" if names else ""


def constructed(jobs: Sequence[Job]) -> None:
    """Build each method that needs nothing but parameters, so that what its constructor refuses is said before a job runs.

    Raises:
        UserError: the constructor's line.
    """
    if not jobs:
        return
    from bench.run.trial import try_method  # imports torch

    nodes = {json.dumps(job.parts["method"], sort_keys=True): job.parts["method"] for job in jobs}
    for node in nodes.values():
        try_method(node)


def _workers(config: DictConfig) -> int:
    """Jobs at a time: ours call it parallel, joblib n_jobs and submitit array_parallelism; one in Hydra's own launcher."""
    launcher = config.hydra.launcher
    if _ours(launcher):
        return multirun.at_a_time(launcher.parallel, config.hardware.device)
    count = launcher.get("n_jobs") or launcher.get("array_parallelism") or 1
    return count if count > 0 else multirun.cores()


def _job(line: tuple[str, ...]) -> Job:
    return load(*_config(line))


def _config(line: tuple[str, ...]) -> tuple[DictConfig, dict[str, str], dict[str, Any]]:
    """What `load` needs. One composition for each choice of config groups; values are set last, as Hydra sets them."""
    parsed = [_parsed(text) for text in line]
    values = [o for o in parsed if not (CONF / o.key_or_group).is_dir()]
    if any(o.is_add() or o.is_force_add() or o.is_delete() for o in values):
        cfg, choices, _ = _composed(line)
        return cfg, choices, {}
    cfg, choices = _with_method(tuple(text for text, o in zip(line, parsed) if o not in values))
    return cfg, choices, {o.key_or_group: o.value() for o in values}


@cache
def _parsed(text: str) -> Override:
    loader = GlobalHydra.instance().config_loader() if GlobalHydra.instance().is_initialized() else None
    return parsed_override(text, loader)


@cache
def _with_method(line: tuple[str, ...]) -> tuple[DictConfig, dict[str, str]]:
    """The config of a choice of options. All methods of a sweep share one composition: the file of a method, and after it what the
    experiment says of methods, are all that their node is made of."""
    chosen = dict(text.split("=", 1) for text in line if "=" in text)
    method, experiment = chosen.get("method"), chosen.get("experiment")
    files = [CONF / "method" / f"{method}.yaml", *([CONF / "experiment" / f"{experiment}.yaml"] if experiment else [])]
    if method is None or not all(file.is_file() for file in files) or "defaults" in (own := _content(files[0])):
        return _composed(line)[:2]
    cfg, choices, _ = _composed(tuple(text for text in line if text != f"method={method}"))
    if task_for(own.get("tasks") or (), choices["dataset"]) not in (None, choices["task"]):  # it brings another task
        return _composed(line)[:2]
    cfg = copied(cfg)
    with open_dict(cfg):
        cfg.method = OmegaConf.merge(own, *(_content(file).get("method") or {} for file in files[1:]))
    OmegaConf.set_struct(cfg, True)
    return cfg, choices | {"method": method}


@cache
def _content(file: Path) -> DictConfig:
    return cast(DictConfig, OmegaConf.load(file))


@cache
def _composed(line: tuple[str, ...]) -> tuple[DictConfig, dict[str, str], DictConfig]:
    """`composed`, once a command line."""
    return composed(line)
