"""From Python: the job of a command line, without the command line."""

from __future__ import annotations

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from bench.errors import UserError, allowed_list
from bench.run.composition import composed, hydra
from bench.run.config import load
from bench.run.explain import user_error
from bench.run.job import Job


def compose(*overrides: str) -> Job:
    """The job of `python run.py <overrides>`, to be handed to bench.run.runner.execute. Relative paths count from the current directory.

    Raises:
        UserError: the line that the command line prints.
    """
    try:
        with hydra():
            cfg, choices, swept = composed(overrides)
        if swept:
            raise UserError(
                f"experiment = '{choices['experiment']}': sweeps over {allowed_list(swept)}, more than one job; "
                "bench.judge.plan.jobs(experiment, scale) gives them all"
            )
        return load(cfg, choices)
    except (HydraException, OmegaConfBaseException) as error:
        raise user_error(error, overrides) from None
