"""`hardware=slurm`: the jobs of a sweep are the tasks of one SLURM array, each a process of its own.

sbatch itself, not submitit: that one learns of a dead job from SLURM's accounting alone, which not every cluster keeps, and its processes
take no notice of the SIGTERM by which SLURM preempts. How a task ends is written by scripts/slurm_job.py; squeue tells when none is left.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

POLL = 0.5  # seconds between looks at what tasks have written
ASK = 10.0  # seconds between questions to SLURM
LOOKS, BETWEEN = 4, 1.0  # how often a task is absent, and seconds between, before it counts as gone


class SlurmLauncher(Launcher):
    """The arguments are the keys of conf/hydra/launcher/slurm.yaml."""

    def __init__(
        self,
        cpus: int,
        gpus: int,
        parallel: int,
        partition: str | None,
        account: str | None,
        memory: str | None,
        minutes: int,
        grace: int,
        restarts: int,
        options: Sequence[str],
    ) -> None:
        self._cpus, self._gpus, self._parallel = cpus, gpus, parallel
        self._minutes, self._grace, self._restarts = minutes, grace, restarts
        self._asked = {"partition": partition, "account": account, "mem": memory}
        self._options = [str(option) for option in options]

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self._config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[Any]:
        from bench.run.launch import check_counts, launch

        check_counts(cpus=(self._cpus, 1), gpus=(self._gpus, 0), parallel=(self._parallel, 1))
        check_counts(minutes=(self._minutes, 1), grace=(self._grace, 0), restarts=(self._restarts, 0))
        return launch(self._config, job_overrides, initial_job_idx, self._cpus, self._start)

    def _start(self, commands: Sequence[Any]) -> Generator[Any, None, None]:
        """Submit one array; each task as it ends."""
        if not commands:
            return
        from bench.run.launch import Ended, tail

        folder = _folder(Path(self._config.hydra.sweep.dir), commands, self._restarts)
        try:
            array = self._submit(folder, [command.number for command in commands])
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        ended, asked = set(), time.monotonic()
        print(f"SLURM array {array}: {len(commands)} jobs, what they print is in {folder}", flush=True)
        clean = False
        try:
            there = True
            while there:
                if time.monotonic() - asked >= ASK:
                    there, asked = in_queue(array), time.monotonic()
                for number in sorted({c.number for c in commands} - ended):
                    code = _code(folder, number)
                    if code is not None or not there:
                        ended.add(number)
                        yield Ended(number, code, tail(folder / f"{number}.log"))
                there = there and len(ended) < len(commands)
                time.sleep(POLL if there else 0.0)
            clean = all(_code(folder, command.number) == 0 for command in commands)
        finally:
            if len(ended) < len(commands):
                _cancel(array)
            if clean:
                shutil.rmtree(folder, ignore_errors=True)

    def _submit(self, folder: Path, numbers: Sequence[int]) -> str:
        """The array's id.

        Raises:
            UserError: there is no sbatch here, or it refuses.
        """
        from bench.errors import UserError
        from bench.run.sweep import launcher_named

        script = Path(__file__).resolve().parents[2] / "scripts/slurm_job.py"
        told = {
            "job-name": "claimbench",
            "array": f"{','.join(map(str, numbers))}%{self._parallel}",
            "cpus-per-task": self._cpus,
            "time": self._minutes,
            "signal": f"B:USR1@{self._grace}",
            "output": f"{folder}/%a.log",
            "open-mode": "append",
            "gpus": self._gpus or None,
            **self._asked,
        }
        wrapped = f"exec {shlex.quote(sys.executable)} {shlex.quote(str(script))} {shlex.quote(str(folder))}"
        command = [
            "sbatch",
            "--parsable",
            "--requeue",
            *(f"--{key}={value}" for key, value in told.items() if value is not None),
        ]
        try:
            done = subprocess.run(
                [*command, *self._options, f"--wrap={wrapped}"], capture_output=True, text=True, check=False
            )
        except FileNotFoundError:
            named = launcher_named(self._config)
            raise UserError(f"{named}: there is no sbatch here; start it where SLURM is") from None
        if done.returncode != 0:
            raise UserError(f"{launcher_named(self._config)}: {_refusal(done.stderr)}")
        return done.stdout.strip().split(";")[0]


def _refusal(told: str) -> str:
    """What sbatch said last, and whether there is a cluster at all: squeue, which asks for nothing, is then refused too."""
    line = (told.strip().splitlines() or ["without a word"])[-1].removeprefix("sbatch: ").removeprefix("error: ")
    reached = shutil.which("squeue") and subprocess.run(["squeue", "-h", "--me"], capture_output=True).returncode == 0
    return f"sbatch refused: {line}" + ("" if reached else "; is a SLURM cluster reached from here?")


def _folder(sweeps: Path, commands: Sequence[Any], restarts: int) -> Path:
    """A folder of this array's own, which says what each task runs."""
    folder = sweeps.absolute() / f"slurm-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
    folder.mkdir(parents=True)
    for command in commands:
        content = {
            "command": [sys.executable, *command.line],
            "environment": command.environment,
            "folder": command.folder,
            "restarts": restarts,
        }
        (folder / f"{command.number}.json").write_text(json.dumps(content, indent=1), encoding="utf-8")
    return folder


def _code(folder: Path, number: int) -> int | None:
    """The exit code that a task wrote when it ended."""
    try:
        text = (folder / f"{number}.code").read_text()
    except OSError:
        return None
    return int(text) if re.fullmatch(r"-?\d+\n", text) else None


def in_queue(array: str) -> bool:
    """Is a task of the array pending, running or ending? Where SLURM does not answer it is taken to be so.

    A task that is being queued again is for a moment in no state that squeue tells, so that it has to be absent several times in a row.
    """
    for look in range(LOOKS):
        time.sleep(BETWEEN if look else 0.0)
        asked = subprocess.run(["squeue", "-h", "-o", "%T", "-j", array], capture_output=True, text=True, check=False)
        if asked.stdout.strip() or (asked.returncode != 0 and "Invalid job id" not in asked.stderr):
            return True
    return False


def _cancel(array: str) -> None:
    """SIGTERM to every task, and wait until they have written their checkpoints."""
    subprocess.run(["scancel", array], capture_output=True, check=False)
    while in_queue(array):
        time.sleep(POLL)
