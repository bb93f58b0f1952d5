"""What each task says of itself, read without its loop: the sentence of error lines, and the metrics that reports speak of.

A task is a file conf/task/<name>.yaml whose `_target_` lies in a package with a module `note`, which holds NOTE and imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import Any, Literal

from bench.errors import UserError, allowed_list, nearest
from bench.run.options import options, read_yaml, task_of
from bench.run.paths import CONF
from bench.run.targets import check_target


@dataclass(frozen=True)
class Metric:
    """How reports speak of a number: its label, and which direction is better (None: neither)."""

    label: str
    better: Literal["higher", "lower"] | None = None


@dataclass(frozen=True)
class TaskNote:
    """How error lines and reports speak of a task: what its methods do, what its data sets are, what it measures (main metrics first).

    length: the task's keys that say how long a run is; runs compared at an equal budget may differ in them.
    takes: other tasks whose data sets it takes too, with a method that does not serve theirs.
    measured: the keys that say when it is measured; so they may in these, where the last measurement counts and not the best.
    reached: config keys by columns of the curve: the values that a row can have there (a list), or the last of a count (a number).
    container: "package.module.Name" of what its data sets return; empty: anything that fits its protocol.
    batch_tolerance: how far a metric of a seed that is computed alone may be from that of the same seed computed together with others,
        relative to it (to 0.001 where it is smaller than that); 0: the same bit for bit.
    batch_reason: why so far.
    processes: what it does with several processes of one job: slices, it lets the runner share out its minibatches; own, it talks to the other
        processes itself; one, it cannot use them.
    words: what reports say in place of a config key and its value: by key, as {"copies": "{} copies of the data"}, or by key=value, as
        {"fresh=True": "fresh samples"}.
    """

    method: str
    data: str
    metrics: Mapping[str, Metric]
    length: tuple[str, ...] = ()
    measured: tuple[str, ...] = field(default=(), kw_only=True)
    reached: Mapping[str, str] = field(default_factory=dict)
    container: str = ""
    batch_tolerance: float = 0.0
    batch_reason: str = "seeds are computed one after another"
    takes: tuple[str, ...] = field(default=(), kw_only=True)
    processes: Literal["one", "slices", "own"] = field(default="one", kw_only=True)
    words: Mapping[str, str] = field(default_factory=dict, kw_only=True)


COST = {"gradient_evaluations": Metric("gradient evaluations", "lower")}


@cache
def note(task: str) -> TaskNote:
    """The note of a task of conf/task.

    Raises:
        UserError: no such task, or its package has no note.
    """
    names = options("task")
    if task not in names:
        raise UserError(f"task = '{task}': unknown; allowed: {allowed_list(names, task)}{nearest(task, names)}")
    content: Any = read_yaml(CONF / "task" / f"{task}.yaml")
    target = (content or {}).get("_target_")
    check_target("task", target, read_yaml(CONF / "config.yaml").get("extensions") or ())
    package = str(target).rpartition(".")[0].rpartition(".")[0]
    try:
        found = import_module(f"{package}.note").NOTE
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"conf/task/{task}.yaml: {package or '?'}.note holds no NOTE ({error})") from None
    return found


def tasks_of_data(dataset: str) -> list[str]:
    """The tasks that a data set can be of: the one that its file brings, and those that take that one's data sets too."""
    brought = task_of(dataset)
    return [] if brought is None else [brought, *(name for name in options("task") if brought in note(name).takes)]


def task_for(method_tasks: Sequence[str], dataset: str) -> str | None:
    """The task of a method and a data set: the first of the data set's that the method serves; None: there is none."""
    return next((task for task in tasks_of_data(dataset) if task in method_tasks), None)
