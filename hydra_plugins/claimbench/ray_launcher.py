"""`hardware=ray`: each job of a sweep is a process of its own that Ray starts where a core or a GPU is free.

Ray's own API, not hydra-ray-launcher: that one gives up a sweep when one worker dies, and holds cloudpickle below 3. Ray runs in
scripts/ray_jobs.py, in a session of its own: a stop that a terminal or `make reproduce-all` sends to the whole group would end Ray before the
jobs have written their checkpoints.
"""

import json
import os
import subprocess
import sys
from collections.abc import Generator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

SCRIPT = Path(__file__).resolve().parents[2] / "scripts/ray_jobs.py"


class RayLauncher(Launcher):
    """The arguments are the keys of conf/hydra/launcher/ray.yaml."""

    def __init__(self, cpus: int, gpus: int, parallel: int | None, address: str | None) -> None:
        self._cpus, self._gpus, self._parallel, self._address = cpus, gpus, parallel, address

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self._config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[Any]:
        from bench.run.launch import check_counts, launch

        check_counts(cpus=(self._cpus, 1), gpus=(self._gpus, 0), parallel=(self._parallel or 1, 1))
        return launch(self._config, job_overrides, initial_job_idx, self._cpus, self._start)

    def _start(self, commands: Sequence[Any]) -> Generator[Any, None, None]:
        """Hand the commands to Ray; each as it ends."""
        if not commands:
            return
        from bench.errors import UserError
        from bench.run.launch import Ended
        from bench.run.sweep import launcher_named

        told = {"cpus": self._cpus, "gpus": self._gpus, "parallel": self._parallel, "address": self._address}
        told["named"] = launcher_named(self._config)
        told["jobs"] = [asdict(command) | {"line": command.line} for command in commands]
        told["stop"] = str(Path(self._config.hydra.sweep.dir).absolute() / f"ray-{os.getpid()}.stop")
        driver = subprocess.Popen(
            [sys.executable, str(SCRIPT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            driver.stdin.write(json.dumps(told) + "\n")
            driver.stdin.flush()
            for line in driver.stdout:
                said = json.loads(line)
                if "refused" in said:
                    raise UserError(said["refused"])
                yield Ended(**said)
            if driver.wait() != 0:
                raise RuntimeError(f"Ray ended with exit code {driver.returncode} before the jobs")
        finally:
            driver.stdin.close()  # which stops the jobs that are under way
            driver.stdout.read()
            driver.stdout.close()
            driver.wait()
