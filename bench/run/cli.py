"""The command line around Hydra: --help with a sentence for each option, one-line errors, exit codes 0, 1, 2, 130, 143."""

from __future__ import annotations

import functools
import os
import re
import sys
from collections.abc import Callable

from bench.errors import UserError, allowed_list, nearest

GROUPS = {
    "method": "Methods",
    "dataset": "Data sets",
    "model": "Models",
    "schedule": "Schedules",
    "hardware": "Hardware",
    "tracker": "Trackers",
}

_problems: list[Exception] = []


def help_text() -> str:
    """What `python run.py --help` prints."""
    from bench.run.options import SCALES, options

    parts = [
        "Run a method on a data set:        python run.py method=ssvr dataset=cifar10 seeds=[0,1]",
        "Run a table or figure of a paper:  python run.py experiment=ssvr/digits",
        "Sweep:                             python run.py -m method=ssvr,signsgd method.lr=1e-3,1e-4",
        "Print the config without running:  python run.py method=ssvr --cfg job",
    ]
    for group, title in GROUPS.items():
        parts.append(_section(f"{title} ({group}=...)", options(group)))
    parts.append(_section("Experiments (experiment=...)", options("experiment")))
    parts.append(_section("Scales (scale=..., default: paper with a GPU, else mini)", SCALES))
    parts.append(
        "Other keys: seeds=[0,1], data_root=DIR (or CLAIMBENCH_DATA), results_root=DIR, force=true|stale, verbose=false, checkpoint_every=SECONDS."
    )
    return "\n\n".join(["\n".join(parts[:4]), *parts[4:]])


def _section(title: str, entries: dict[str, str]) -> str:
    width = max((len(name) for name in entries), default=0) + 2
    return "\n".join([f"{title}:", *(f"  {name:<{width}}{sentence}" for name, sentence in entries.items())])


def explain(error: Exception, arguments: list[str]) -> str:
    """One line for an error of Hydra's or OmegaConf's composition."""
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
    from bench.run.options import options

    group, _, inner = group.partition("/")  # experiment/ssvr + cifar is the option ssvr/cifar of experiment
    option = f"{inner}/{option}" if inner else option
    names = options(group)
    return f"{group} = '{option}': unknown; allowed: {allowed_list(names)}{nearest(option, names)}"


def _unknown_key(key: str, arguments: list[str]) -> str:
    from bench.run.paths import CONF

    value = next((a.split("=", 1)[1] for a in arguments if a.lstrip("+~").split("=")[0] == key and "=" in a), None)
    at = f"{key} = {value!r}" if value is not None else key
    parent, _, leaf = key.rpartition(".")
    names = _keys_of(parent, arguments)
    if not parent:
        names += [path.name for path in CONF.iterdir() if path.is_dir() and path.name != "hydra"]
    return f"{at}: unknown key; allowed: {allowed_list(set(names))}{nearest(leaf, names)}"


def _keys_of(parent: str, arguments: list[str]) -> list[str]:
    """The keys below `parent` in the config that the group choices among the arguments compose to."""
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from omegaconf import DictConfig, OmegaConf

    from bench.run.paths import CONF

    choices = [a for a in arguments if "=" in a and (CONF / a.split("=")[0].split("@")[0]).is_dir() and "," not in a]
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            node = OmegaConf.select(compose("config", choices), parent) if parent else compose("config", choices)
    except Exception:
        return []
    return [str(k) for k in node if k not in ("_target_", "tasks")] if isinstance(node, DictConfig) else []


def guarded(work: Callable[[], object]) -> None:
    """Run one job of a sweep. What goes wrong is kept for the end, so that Hydra goes on to the next job.

    In a launcher's worker process the exception is raised instead: it is the launcher's way to tell the parent.
    """
    from bench.run.runner import RunsFailed

    try:
        work()
    except (UserError, RunsFailed) as error:
        if os.environ.get("CLAIMBENCH_MAIN") != str(os.getpid()):
            raise
        _problems.append(error)


def one_line(program: Callable[[], int]) -> Callable[[], int]:
    """For the scripts beside run.py: bad input ends with one line and exit code 2."""

    @functools.wraps(program)
    def guarded_program() -> int:
        from hydra.errors import HydraException
        from omegaconf.errors import OmegaConfBaseException

        try:
            return program()
        except UserError as error:
            line = str(error)
        except (HydraException, OmegaConfBaseException) as error:
            line = str(error.__cause__) if isinstance(error.__cause__, UserError) else explain(error, sys.argv[1:])
        except OSError as error:
            line = f"{error.filename}: {error.strerror}"
        print(f"error: {line}", file=sys.stderr)
        return 2

    return guarded_program


def run(hydra_main: Callable[[], None]) -> int:
    """Run the program; returns its exit code."""
    arguments = sys.argv[1:]
    if {"-h", "--help"} & set(arguments):
        print(help_text())
        return 0
    os.environ["CLAIMBENCH_MAIN"] = str(os.getpid())
    os.environ["HYDRA_FULL_ERROR"] = "1"  # exceptions reach us instead of being printed as tracebacks
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from bench.run.resolvers import register_resolvers
    from bench.run.runner import RunsFailed

    register_resolvers()
    try:
        hydra_main()
    except (HydraException, OmegaConfBaseException) as error:
        cause = error.__cause__
        _problems.append(cause if isinstance(cause, UserError) else UserError(explain(error, arguments)))
    except KeyboardInterrupt:  # outside a run, or while a launcher's workers write their checkpoints
        print("stopped; run the same command again to go on", file=sys.stderr)
        return 130
    except OSError as error:  # what happens inside a run is caught there
        _problems.append(UserError(f"results_root: cannot write {error.filename}: {error.strerror}"))
    except (UserError, RunsFailed) as error:  # from a worker process
        _problems.append(error)
    for problem in _problems:
        print(f"error: {problem}" if isinstance(problem, UserError) else f"failed: {problem}", file=sys.stderr)
    if not _problems:
        return 0
    return 1 if any(isinstance(problem, RunsFailed) for problem in _problems) else 2
