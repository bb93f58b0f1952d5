"""A sweep's jobs as command lines, each for a process on whichever machine a launcher starts it.

A launcher (hydra_plugins/claimbench) gives a function that starts the commands and says how each one ended. What is the same for all of them
is here: which jobs need a process, what its command line and environment are, and what the sweep comes to when jobs failed or died.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig

from bench.errors import UserError
from bench.run import libthreads
from bench.run.crash import FULL
from bench.run.job import Job
from bench.run.multirun import JOB, Place, is_over, places
from bench.run.paths import ROOT
from bench.run.progress import say
from bench.run.runner import RunsFailed
from bench.run.stopping import Stopped

HANDED_ON = ("CLAIMBENCH_", "WANDB_", "PYTHONPATH", "NO_COLOR", "COLUMNS")
OWN = (
    "hydra/launcher",
    "hydra.launcher",
    "hydra.mode",
    "hydra.sweep",
    "hydra/sweeper",
)  # overrides that are of the sweep, not of a job
LAST = 20  # lines of a dead job's output that are shown


@dataclass(frozen=True)
class Command:
    """What a job's process is: its number in the sweep from 0, `python run.py <arguments>` in `folder`, and what its environment has beside
    the machine's own."""

    number: int
    arguments: tuple[str, ...]
    environment: dict[str, str]
    folder: str

    @property
    def line(self) -> list[str]:
        """For the interpreter."""
        return [str(ROOT / "run.py"), *self.arguments]


@dataclass(frozen=True)
class Ended:
    """How a command's process ended: its exit code, as subprocess gives it, or None where nobody knows; what it printed."""

    number: int
    code: int | None
    output: str = ""


Start = Callable[[Sequence[Command]], Generator[Ended, None, None]]


def launch(
    config: DictConfig, overrides: Sequence[Sequence[str]], first: int, cpus: int, start: Start
) -> list[JobReturn]:
    """Run the jobs of a sweep whose results are not there yet, each by its command; the launcher's answer to Hydra.

    Args:
        config: the sweep's, with hydra's own settings.
        overrides: each job's; the first has number `first`.
        cpus: threads of each process.
        start: starts commands, and yields each as it ends; closed before that, it stops them, which checkpoint, and waits for them.

    Raises:
        RunsFailed: jobs crashed or died, after all have ended.
        UserError: jobs refused their input, and none failed otherwise.
        Stopped, KeyboardInterrupt: SIGTERM or Ctrl-C, after every job has ended.
    """
    jobs = {place.number: (job, place, due) for job, place, due in places()}
    verbose = all(job.settings.verbose for job, *_ in jobs.values())
    commands = [
        _command(config, jobs[number][0], number, line, cpus)
        for number, line in enumerate(overrides, first)
        if jobs[number][2]
    ]
    first_of = {jobs[number][0].asked: number for number in sorted(jobs, reverse=True)}
    commands.sort(key=lambda command: first_of[jobs[command.number][0].asked] != command.number)  # the same again waits
    if len(commands) < len(overrides):
        say(verbose, f"{len(overrides) - len(commands)} of {len(overrides)} jobs are there already")
    failures: dict[str, int | None] = {}
    with stoppable(), closing(start(commands)) as ends:
        for ended in ends:
            job, place, _ = jobs[ended.number]
            if ended.output:
                print(ended.output, end="", flush=True)
            if ended.code != 0 and not (ended.code is None and is_over(job)):
                failures[_failure(job, place, ended)] = ended.code
    if failures:
        raise (UserError if set(failures.values()) == {2} else RunsFailed)("; ".join(failures))
    return [JobReturn(overrides=line, status=JobStatus.COMPLETED, _return_value=None) for line in overrides]


def check_counts(**given: tuple[object, int]) -> None:
    """Keys of a launcher that are whole numbers, each with the least that it may be.

    Raises:
        UserError: one is not.
    """
    for name, (value, least) in given.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise UserError(f"hydra.launcher.{name} = {value!r}: a whole number, at least {least}")


@contextmanager
def stoppable() -> Iterator[None]:
    """SIGTERM raises Stopped inside, as Ctrl-C raises KeyboardInterrupt."""
    before = signal.signal(signal.SIGTERM, _stop)
    try:
        yield
    except Stopped:
        print("stopped; run the same command again to go on", file=sys.stderr)
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def _stop(number: int, frame: FrameType | None) -> None:
    raise Stopped(128 + number)


def _command(config: DictConfig, job: Job, number: int, line: Sequence[str], cpus: int) -> Command:
    """The job alone, at the scale that the sweep was checked at, whatever GPUs the machine has that computes it."""
    searched = [s.path for s in config.hydra.runtime.config_sources if s.provider == "command-line"]
    further = [text for text in config.hydra.overrides.hydra if not text.lstrip("+~").startswith(OWN)]
    arguments = (
        *line,
        *further,
        f"scale={job.settings.scale}",
        "hydra.mode=RUN",
        "hydra.sweeper.params=null",
        "hydra/launcher=basic",
        *(word for path in searched for word in ("--config-dir", path)),
    )
    return Command(number, arguments, environment(number, cpus), os.getcwd())


def environment(number: int, cpus: int) -> dict[str, str]:
    """What a job's process is told beside its command line: threads, before any library starts them, its number, and what is ours. Tracebacks only
    where the person asked for them: HYDRA_FULL_ERROR is set in every process of ours."""
    ours = {name: value for name, value in os.environ.items() if name.startswith(HANDED_ON)}
    asked = {"HYDRA_FULL_ERROR": os.environ.get(FULL, "0")}
    return ours | asked | dict.fromkeys(libthreads.VARIABLES, str(cpus)) | {JOB: str(number)}


def _failure(job: Job, place: Place, ended: Ended) -> str:
    """`job 3 of 12: ssvr on digits, lr 0.1: killed by signal 9`"""
    said = [line for line in ended.output.splitlines() if line.startswith(("failed: ", "error: "))]
    if ended.code is None:
        how = "ended, and nobody knows how; was its machine lost?"
    elif ended.code < 0:
        how = f"killed by signal {-ended.code}"
    else:
        how = said[-1].partition(": ")[2] if said else f"exit code {ended.code}"
    return f"{place.line(job)}: {how}"


def tail(path: Path) -> str:
    """The last lines of a log, all of a short one; nothing where there is none."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    except OSError:
        return ""
    return "".join(lines[-LAST:])
