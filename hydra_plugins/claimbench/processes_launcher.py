"""The launcher of one machine: the jobs of a sweep in this process, or with `parallel=N` in N processes of their own.

Not hydra-joblib-launcher: there a job that fails ends the sweep, and so does a worker that is killed.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

from hydra._internal.core_plugins.basic_launcher import BasicLauncher


class ProcessesLauncher(BasicLauncher):
    """The argument is the key of conf/hydra/launcher/processes.yaml."""

    def __init__(self, parallel: int | None) -> None:
        super().__init__()
        self._parallel = parallel

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[Any]:
        from bench.run.launch import check_counts, launch
        from bench.run.multirun import at_a_time, threads_each
        from bench.run.progress import say
        from bench.run.worker import run_at_a_time

        check_counts(parallel=(1 if self._parallel is None else self._parallel, 1))
        workers = min(at_a_time(self._parallel, self.config.hardware.device), len(job_overrides))
        if workers == 1:
            return super().launch(job_overrides, initial_job_idx)
        say(self.config.verbose, f"{workers} at a time; each job is shown when it has ended")
        start = partial(run_at_a_time, at_a_time=workers)
        return launch(self.config, job_overrides, initial_job_idx, threads_each(workers), start)
