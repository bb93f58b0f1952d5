"""Every experiment, one or several at a time, each in a process of its own: resumable, keeps going, a report as they end."""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import math
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any

from bench.judge.plan import Planned
from bench.judge.started import group_of, prepare, start, stop
from bench.run.config import code_names
from bench.run.paths import ROOT

GRACE = 60.0  # seconds that a stopped experiment's processes get to write their checkpoints


@dataclass
class Experiments:
    """Runs experiments; a stop signal is handed to those under way, which checkpoint, and no other one is started."""

    arguments: Sequence[str]
    scale: str
    further: Mapping[str, Sequence[str]] = field(default_factory=dict)
    stopped: int | None = None
    failures: dict[str, int] = field(default_factory=dict)
    running: dict[str, BaseProcess] = field(default_factory=dict)

    def __enter__(self) -> Experiments:
        self._before = {n: signal.signal(n, self._stop) for n in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.stopped = number
        for child in list(self.running.values()):
            with contextlib.suppress(ProcessLookupError):
                stop(child, number)

    def start(self, experiment: str) -> None:
        """One more experiment."""
        line = [str(ROOT / "run.py"), f"experiment={experiment}", f"scale={self.scale}", "force=stale"]
        self.running[experiment] = start([*line, *self.further.get(experiment, ()), *self.arguments])

    def wait(self) -> None:
        """Until one of those under way has ended; what it ends with is kept in `failures` unless that is 0."""
        ended = connection.wait([child.sentinel for child in self.running.values()])
        for name in [name for name, child in self.running.items() if child.sentinel in ended]:
            child = self.running.pop(name)
            child.join()
            if self.stopped is not None:
                _wait_for_group(group_of(child))
            elif child.exitcode:
                self.failures[name] = child.exitcode


@dataclass
class Sparingly:
    """Does `work` when it is called, unless more than `share` of the time would go into it; then it is `late`."""

    work: Callable[[], Any]
    share: float = 0.02
    late: bool = False
    _next: float = -math.inf

    def __call__(self) -> None:
        begun = time.monotonic()
        self.late = begun < self._next
        if not self.late:
            try:
                self.work()
            finally:
                self._next = begun + (time.monotonic() - begun) / self.share


def _wait_for_group(group: int) -> None:
    """Until no process of the group is left: a launcher's workers outlive their parent while they write checkpoints."""
    end = time.monotonic() + GRACE
    while time.monotonic() < end:
        try:
            os.killpg(group, 0)
        except (ProcessLookupError, PermissionError):
            return
        time.sleep(0.1)


def committed_verdicts(papers: Iterable[str]) -> dict[tuple[str, str, str], str]:
    """Verdicts of the last commit's results, by paper, claim and scale; of the folder's where there is no git. A row may serve several scales."""
    found: dict[tuple[str, str, str], str] = {}
    for paper in papers:
        path = f"results/verdicts/{paper}.csv"
        command = ["git", "-C", str(ROOT), "show", f"HEAD:{path}"]
        shown = subprocess.run(command, capture_output=True, text=True, check=False)
        text = shown.stdout if shown.returncode == 0 else (ROOT / path).read_text() if (ROOT / path).exists() else ""
        for r in csv.DictReader(io.StringIO(text)):
            found |= {(r["paper"], r["claim"], scale): r["verdict"] for scale in r["scale"].split()}
    return found


def regressions(before: Mapping[tuple[str, str, str], str], rows: Iterable[Mapping[str, str]]) -> list[str]:
    """A line for each claim that was reproduced and no longer is. `rows` are those of verdicts/<paper>.csv."""
    return [
        f"{r['paper']}/{r['claim']} at {r['scale']} scale: was reproduced, now {r['verdict']} ({r['reason']})"
        for r in rows
        if r["verdict"] != "reproduced"
        and any(before.get((r["paper"], r["claim"], scale)) == "reproduced" for scale in r["scale"].split())
    ]


def reproduce(
    planned: Iterable[Planned],
    scale: str,
    arguments: Sequence[str],
    after_each: Callable[[], Any],
    report: Callable[[str], None],
    at_a_time: int = 1,
    further: Mapping[str, Sequence[str]] | None = None,
) -> Experiments:
    """Run what is to do, `at_a_time` experiments at once; `after_each` writes the report. A run that crashes stops no other.

    Args:
        further: arguments of single experiments, before `arguments`.
    """
    to_do = [run for run in planned if run.to_do]
    todo = Counter(run.experiment for run in to_do)
    prepare(itertools.chain.from_iterable({code_names(run.job.parts) for run in to_do}))
    waiting = list(enumerate(todo.items(), 1))
    with Experiments(arguments, scale, further or {}) as experiments:
        while experiments.running or (waiting and experiments.stopped is None):
            while waiting and len(experiments.running) < at_a_time and experiments.stopped is None:
                k, (name, runs) = waiting.pop(0)
                report(f"[{k}/{len(todo)}] {name} at {scale} scale: {runs} runs to do")
                experiments.start(name)
            experiments.wait()
            try:
                after_each()
            except Exception as error:  # code or a paper's file under edit, a full disk: no reason to stop computing
                report(f"warning: no report this time ({error.__class__.__name__}: {error})")
    return experiments
