"""The front door: `python run.py method=ssvr dataset=cifar10 seeds=[0,1]`; `python run.py --help` lists what there is."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.run.job import Job


def main() -> None:
    """Compose the config with Hydra and run the job (in a sweep: each job)."""
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import DictConfig

    @hydra.main(version_base="1.3", config_path=str(Path(__file__).resolve().parent / "conf"), config_name="config")
    def job(cfg: DictConfig) -> None:
        from bench.run.cli import guarded
        from bench.run.runner import run_job

        guarded(lambda: run_job(cfg, HydraConfig.get().runtime.choices))

    job()


def compare(jobs: Sequence[Job]) -> None:
    """One table of a sweep's jobs."""
    from bench.report.comparison import print_jobs
    from bench.run.progress import console

    print_jobs(list(jobs), console(True))


if __name__ == "__main__":
    from bench.run.cli import run

    sys.exit(run(main, compare))
