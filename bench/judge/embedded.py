"""Which experiments need no data folder: their data are drawn, or lie in packages that `make setup` installs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import replace

from bench.errors import UserError
from bench.judge.plan import jobs
from bench.run.ahead import ahead
from bench.run.identity import on_its_data
from bench.run.job import Job


def embedded(experiments: Iterable[str], scale: str) -> list[str]:
    """Those of the experiments whose data sets, one job of each, can be built where no data folder is."""
    known: dict[str, bool] = {}
    with tempfile.TemporaryDirectory() as empty:
        return [name for name in experiments if all(_is_there(job, empty, known) for job in jobs(name, scale))]


def _is_there(job: Job, folder: str, known: dict[str, bool]) -> bool:
    name = job.names["dataset"]
    if name not in known:
        alone = replace(job, settings=job.settings.model_copy(update={"data_root": folder}))
        with ahead() as built:
            try:
                known[name] = not on_its_data(alone, built, lambda line: None).data
            except UserError:
                known[name] = False
    return known[name]
