"""Every experiment, one or several at a time, each in a process of its own: resumable, keeps going, a report at every point."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from rich.table import Table

from bench.judge.archive import VERDICT_TABLE
from bench.judge.claims import Judged
from bench.judge.plan import STATES, Planned, cost, counts
from bench.run.gpu import cuda_devices
from bench.run.paths import ROOT

GRACE = 60.0  # seconds that a stopped experiment's processes get to write their checkpoints
POLL = 0.05  # seconds between looks at the experiments under way


@dataclass
class Experiments:
    """Runs experiments; a stop signal is handed to those under way, which checkpoint, and no other one is started."""

    arguments: Sequence[str]
    scale: str
    stopped: int | None = None
    failures: dict[str, int] = field(default_factory=dict)
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

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
                os.killpg(child.pid, number)

    def start(self, experiment: str) -> None:
        """One more experiment."""
        command = [
            sys.executable,
            str(ROOT / "run.py"),
            f"experiment={experiment}",
            f"scale={self.scale}",
            "force=stale",
        ]
        self.running[experiment] = subprocess.Popen([*command, *self.arguments], start_new_session=True)

    def wait(self) -> None:
        """Until one of those under way has ended; what it ends with is kept in `failures` unless that is 0."""
        while not (ended := [name for name, child in self.running.items() if child.poll() is not None]):
            time.sleep(POLL)
        for name in ended:
            child = self.running.pop(name)
            if self.stopped is not None:
                _wait_for_group(child.pid)
            elif child.returncode != 0:
                self.failures[name] = child.returncode


def _wait_for_group(group: int) -> None:
    """Until no process of the group is left: a launcher's workers outlive their parent while they write checkpoints."""
    end = time.monotonic() + GRACE
    while time.monotonic() < end:
        try:
            os.killpg(group, 0)
        except (ProcessLookupError, PermissionError):
            return
        time.sleep(0.1)


def plan_table(runs: Iterable[Planned], timed: Mapping[str, float]) -> Table:
    """A row an experiment and scale: runs by state, measured time, and what the rest will cost."""
    unit = ("GPU hours", 3600.0) if cuda_devices() else ("CPU minutes", 60.0)
    groups: dict[tuple[str, str], list[Planned]] = {}
    for run in runs:
        groups.setdefault((run.scale, run.experiment), []).append(run)
    shown = [s for s in STATES if any(counts(g)[s] for g in groups.values())]
    table = Table(pad_edge=False)
    for name in ("scale", "experiment", "runs", *shown, f"spent ({unit[0]})", f"left ({unit[0]})"):
        table.add_column(name, justify="left" if name in ("scale", "experiment") else "right")
    totals: dict[str, list[float | None]] = {}
    for (scale, name), group in groups.items():
        number, found = counts(group), cost(group, timed)
        figures = [found.spent, found.left]
        totals.setdefault(scale, []).append(found.left)
        table.add_row(
            scale, name, str(len(group)), *(str(number[s] or "") for s in shown), *(_time(f, unit[1]) for f in figures)
        )
    for scale, left in totals.items():
        known = sum(v for v in left if v is not None)
        more = f" and {left.count(None)} unknown" if None in left else ""
        table.caption = f"{table.caption or ''}{scale}: {known / unit[1]:.1f} {unit[0]} left{more}. "
    return table


def _time(seconds: float | None, unit: float) -> str:
    return "?" if seconds is None else f"{seconds / unit:.1f}"


def results_root(overrides: Iterable[str]) -> Path:
    """Where results lie: the override of results_root, or the project's folder."""
    return Path(
        next((o.partition("=")[2] for o in overrides if o.startswith("results_root=")), ROOT / "results")
    ).absolute()


def committed_verdicts() -> dict[tuple[str, str, str], str]:
    """Verdicts of the last commit's results, by paper, claim and scale; of the folder's where there is no git."""
    command = ["git", "-C", str(ROOT), "show", f"HEAD:results/{VERDICT_TABLE}"]
    shown = subprocess.run(command, capture_output=True, text=True, check=False)
    path = ROOT / "results" / VERDICT_TABLE
    text = shown.stdout if shown.returncode == 0 else path.read_text() if path.exists() else ""
    return {(r["paper"], r["claim"], r["scale"]): r["verdict"] for r in csv.DictReader(io.StringIO(text))}


def regressions(before: Mapping[tuple[str, str, str], str], judged: Iterable[Judged]) -> list[str]:
    """A line for each claim that was reproduced and no longer is."""
    return [
        f"{j.paper}/{j.name} at {j.scale} scale: was reproduced, now {j.verdict.verdict} ({j.verdict.reason})"
        for j in judged
        if before.get((j.paper, j.name, j.scale)) == "reproduced" and j.verdict.verdict != "reproduced"
    ]


def reproduce(
    planned: Iterable[Planned],
    scale: str,
    arguments: Sequence[str],
    after_each: Callable[[], Any],
    report: Callable[[str], None],
    at_a_time: int = 1,
) -> Experiments:
    """Run what is to do, `at_a_time` experiments at once; `after_each` writes the report. A run that crashes stops no other."""
    todo = Counter(run.experiment for run in planned if run.to_do)
    waiting = list(enumerate(todo.items(), 1))
    with Experiments(arguments, scale) as experiments:
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
