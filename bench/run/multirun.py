"""What the jobs of a multirun know of each other, in whichever processes a launcher runs them.

The parent writes a file that says what differs between the jobs, and names it in the environment; each job that ends adds a line
to a second one. Both lie under results_root/sweeps and are gone when the sweep has ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from bench.run import world
from bench.run.atomic import write_atomic
from bench.run.claim import settled
from bench.run.gpu import cuda_devices
from bench.run.identity import located
from bench.run.job import Job
from bench.run.progress import shown

VARIABLE = "CLAIMBENCH_SWEEP"  # the file's path
JOB = "CLAIMBENCH_JOB"  # the number of a job that has a command line of its own
_jobs: list[Job] = []
_due: list[bool] = []
_swept: list[dict[str, Any]] = []


@dataclass(frozen=True)
class Place:
    """A job's place in its sweep: number from 0, of how many, what it differs in from the others, and about how long the rest takes (seconds)."""

    number: int = 0
    total: int = 1
    swept: Mapping[str, Any] = field(default_factory=dict)
    left: float | None = None

    def line(self, job: Job) -> str:
        """`job 3 of 12: ssvr on digits, lr 0.001 (about 4 min left)`"""
        parts = [job.title, *(f"{name} {shown(value)}" for name, value in self.swept.items())]
        left = "" if self.left is None else f" (about {in_words(self.left)} left)"
        return f"job {self.number + 1} of {self.total}: {', '.join(parts)}{left}"


def in_words(seconds: float) -> str:
    """`40 s`, `4 min` or `2.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


@contextlib.contextmanager
def under_way() -> Iterator[Sequence[Job]]:
    """In the parent: the jobs of the multirun that starts inside, none in a single run; what they shared is removed at the end."""
    _jobs.clear()
    try:
        yield _jobs
    finally:
        path = os.environ.pop(VARIABLE, None) if _jobs else None
        for file in (Path(path), _ended(Path(path))) if path else ():
            with contextlib.suppress(OSError):
                file.unlink(missing_ok=True)


def begin(jobs: Sequence[Job], lines: Sequence[Mapping[str, Any]], to_do: Sequence[bool], workers: int) -> None:
    """Tell the jobs of each other before the first one starts.

    Args:
        lines: the overrides of each job, key to value.
        to_do: for each job whether anything of it will be computed.
        workers: jobs at a time.
    """
    _jobs[:], _due[:], _swept[:] = jobs, to_do, swept(jobs, lines)
    path = Path(jobs[0].settings.results_root).absolute() / "sweeps" / f"{os.getpid()}.json"
    content = {"swept": _swept, "to_do": _due, "workers": workers}
    os.environ.pop(VARIABLE, None)
    if world.rank():  # the first process speaks of places
        return
    with contextlib.suppress(OSError):  # the sweep itself says so when it cannot write there
        path.parent.mkdir(parents=True, exist_ok=True)
        _ended(path).unlink(missing_ok=True)
        write_atomic(path, lambda file: file.write(json.dumps(content).encode()))
        os.environ[VARIABLE] = str(path)


def places() -> list[tuple[Job, Place, bool]]:
    """In the parent: each job of the multirun under way, its place, and whether anything of it will be computed."""
    return [
        (job, Place(number, len(_jobs), own), due) for number, (job, own, due) in enumerate(zip(_jobs, _swept, _due))
    ]


def swept(jobs: Sequence[Job], lines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What differs between the jobs beside their method and data set: a short name and the value that each job has."""
    keys = list(dict.fromkeys(key for line in lines for key in line))
    differing = [
        key
        for key in keys
        if key not in ("method", "dataset") and len({json.dumps(line.get(key), default=str) for line in lines}) > 1
    ]
    leaves = [key.rpartition(".")[2] for key in differing]
    names = {key: leaf if leaves.count(leaf) == 1 else key for key, leaf in zip(differing, leaves)}
    found = []
    for job, line in zip(jobs, lines):
        values = {key: line[key] if (typed := job.get(key)) is None else typed for key in differing if key in line}
        found.append({names[key]: value for key, value in values.items()})
    return found


def place() -> Place | None:
    """Where the job that Hydra runs in this process stands; None outside of a multirun."""
    if not HydraConfig.initialized() or VARIABLE not in os.environ:
        return None
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        number = HydraConfig.get().job.num
    elif JOB in os.environ:
        number = int(os.environ[JOB])
    else:
        return None
    path = Path(os.environ[VARIABLE])
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        ended = [json.loads(line) for line in _lines(_ended(path))]
    except (OSError, ValueError):
        return None
    over = {entry["number"] for entry in ended}
    to_do = sum(due and k not in over for k, due in enumerate(content["to_do"]))
    seconds = [entry["seconds"] for entry in ended if entry["seconds"] is not None]
    left = mean(seconds) * to_do / max(1, min(content["workers"], to_do)) if seconds else None
    return Place(number, len(content["swept"]), content["swept"][number], left)


def note_end(place: Place, seconds: float | None) -> None:
    """A job has ended; `seconds` of one that was computed, None for one whose results were there."""
    entry = json.dumps({"number": place.number, "seconds": seconds}) + "\n"
    with contextlib.suppress(OSError, KeyError), open(_ended(Path(os.environ[VARIABLE])), "ab", buffering=0) as file:
        file.write(entry.encode())


def at_a_time(parallel: int | None, device: str) -> int:
    """Jobs at a time on this machine: `parallel`, or one a core; one where a GPU computes."""
    if parallel is not None:
        return parallel
    return 1 if device != "cpu" and cuda_devices() else cores()


def cores() -> int:
    """Cores that this process may use: under SLURM, taskset or in a container often fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def cores_each(workers: int) -> int:
    """Threads of a process, where so many compute at a time."""
    return max(1, cores() // workers)


def threads_each(workers: int) -> int:
    """The same, unless the person has set OMP_NUM_THREADS."""
    own = os.environ.get("OMP_NUM_THREADS", "")
    return int(own) if own.isdecimal() and int(own) else cores_each(workers)


def is_over(job: Job) -> bool:
    """Are all seeds of a job there, so that nothing of it will be computed?"""
    return settled(located(job))


def _ended(path: Path) -> Path:
    return path.with_suffix(".ended")


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []
