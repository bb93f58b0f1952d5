"""Which runs an experiment consists of, which of them are done, and what the rest will cost. Composes as Hydra does; imports no torch."""

from __future__ import annotations

import fcntl
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

from hydra import compose
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from bench.compose import hydra
from bench.config import CONF, Job, copied, load, options
from bench.errors import UserError
from bench.results import CHECKPOINT, ERROR, LOCK, read_result

STATES = ("done", "stale", "diverged", "running", "stopped", "failed", "missing")


@dataclass(frozen=True)
class Planned:
    """One run: a seed of a job of an experiment at a scale. `result` is result.json where there is one."""

    experiment: str
    scale: str
    job: Job
    seed: int
    state: str
    result: dict[str, Any] | None

    @property
    def folder(self) -> Path:
        return self.job.folder / f"seed{self.seed}"

    @property
    def to_do(self) -> bool:
        """Would `make reproduce-all` run it?"""
        return self.state not in ("done", "diverged")


def experiments(paper: str | None = None) -> list[str]:
    """Names of the experiments (of one paper), in alphabetical order."""
    return [name for name in options("experiment") if paper in (None, name.split("/")[0])]


def jobs(experiment: str, scale: str, overrides: Iterable[str] = ()) -> list[Job]:
    """The jobs that `python run.py experiment=... scale=... <overrides>` runs, in Hydra's order.

    Args:
        overrides: plain ones, as results_root=DIR; what is swept is the experiment's own. Those of Hydra itself change no job.

    Raises:
        UserError, HydraException: as run.py would.
    """
    own = [o for o in overrides if not o.startswith(("hydra.", "hydra/"))]
    return list(_jobs(experiment, (f"experiment={experiment}", f"scale={scale}", *own)))


@cache
def _jobs(experiment: str, fixed: tuple[str, ...]) -> list[Job]:
    with hydra():
        return [_job(line) for line in _lines(_composed(fixed[:1])[2], fixed)]


def _lines(params: DictConfig | None, arguments: Iterable[str]) -> list[tuple[str, ...]]:
    """The command lines that Hydra's sweeper makes of an experiment's parameters and the arguments."""
    swept = [f"{key}={value}" for key, value in (params or {}).items()]
    parsed = [_parsed(text) for text in (*swept, *arguments)]
    (lines,) = BasicSweeper.split_arguments(parsed, max_batch_size=None)
    return [tuple(line) for line in lines]


class CheckSweep(Callback):
    """Hydra callback: a multirun whose job 40 has a wrong value ends before job 1, with one line and exit code 2."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        try:
            for line in _lines(config.hydra.sweeper.params, config.hydra.overrides.task):
                _job(line)
        except (UserError, HydraException, OmegaConfBaseException) as error:
            from bench.cli import explain

            print(f"error: {error if isinstance(error, UserError) else explain(error, sys.argv[1:])}", file=sys.stderr)
            raise SystemExit(2) from None


def _job(line: tuple[str, ...]) -> Job:
    """One composition for each choice of config groups; values are set last, as Hydra sets them."""
    parsed = [_parsed(text) for text in line]
    values = [o for o in parsed if not (CONF / o.key_or_group).is_dir()]
    if any(o.is_add() or o.is_force_add() or o.is_delete() for o in values):
        cfg, choices, _ = _composed(line)
        return load(cfg, choices)
    cfg, choices = _with_method(tuple(text for text, o in zip(line, parsed) if o not in values))
    return load(cfg, choices, {o.key_or_group: o.value() for o in values})


@cache
def _parsed(text: str) -> Override:
    (override,) = OverridesParser.create().parse_overrides([text])
    return override


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
    cfg = copied(cfg)
    with open_dict(cfg):
        cfg.method = OmegaConf.merge(own, *(_content(file).get("method") or {} for file in files[1:]))
    OmegaConf.set_struct(cfg, True)
    return cfg, choices | {"method": method}


@cache
def _content(file: Path) -> DictConfig:
    return OmegaConf.load(file)


@cache
def _composed(line: tuple[str, ...]) -> tuple[DictConfig, dict[str, str], DictConfig]:
    """The config of a command line, the options chosen, and the parameters that its sweeper goes through."""
    cfg = compose("config", list(line), return_hydra_config=True)
    choices, swept = dict(cfg.hydra.runtime.choices), cfg.hydra.sweeper.params
    with open_dict(cfg):
        del cfg["hydra"]
    return cfg, choices, swept


def plan(
    names: Iterable[str],
    scale: str,
    overrides: Iterable[str] = (),
    *,
    report: Callable[[str], None] = lambda line: None,
) -> list[Planned]:
    """Every run of the experiments `names` at one scale, with what is on disk of it."""
    found = []
    for name in names:
        for job in jobs(name, scale, overrides):
            found += [_planned(name, job, seed, report) for seed in job.settings.seeds]
    return found


def _planned(experiment: str, job: Job, seed: int, report: Callable[[str], None]) -> Planned:
    folder = job.folder / f"seed{seed}"
    result = read_result(folder, job.key, report) if folder.exists() else None
    if result is not None:
        state = "stale" if result["code"] != job.code else "diverged" if result["status"] == "diverged" else "done"
    elif not folder.exists():
        state = "missing"
    elif _held(folder / LOCK):
        state = "running"
    else:
        state = "failed" if (folder / ERROR).exists() else "stopped" if (folder / CHECKPOINT).exists() else "missing"
    return Planned(experiment, job.settings.scale, job, seed, state, result)


def _held(lock: Path) -> bool:
    """Does a process hold the lock of this run?"""
    try:
        with open(lock) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


@dataclass(frozen=True)
class Cost:
    """Seconds of the runs that ended, and an estimate for the rest: None where neither a sibling nor timed steps tell."""

    spent: float
    left: float | None


def cost(runs: Iterable[Planned], timed: Mapping[str, float] | None = None) -> Cost:
    """What `runs` of one experiment and scale cost: measured for those that ended; for each other one the median of the runs of the
    same job or else method that ended, or else `timed` (seconds a seed by job key, from a few steps)."""
    runs, timed = list(runs), timed or {}
    seconds: dict[str, list[float]] = {}
    for run in runs:
        if run.result is not None:
            own = run.result["measured"]["wall_seconds"] / run.result["measured"]["seeds_in_batch"]
            for name in (run.job.key, run.job.names["method"]):
                seconds.setdefault(name, []).append(own)
    spent = sum(sum(values) for name, values in seconds.items() if len(name) == 64)
    left = 0.0
    for run in runs:
        if run.to_do:
            siblings = seconds.get(run.job.key) or seconds.get(run.job.names["method"])
            own = median(siblings) if siblings else timed.get(run.job.key)
            if own is None:
                return Cost(spent, None)
            left += own
    return Cost(spent, left)


def counts(runs: Iterable[Planned]) -> dict[str, int]:
    """Number of runs in each state."""
    found = Counter(run.state for run in runs)
    return {state: found[state] for state in STATES}
