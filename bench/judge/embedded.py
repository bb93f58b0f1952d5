"""Which experiments need no data folder: their data are drawn, or lie in packages that `make setup` installs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import replace

from bench.errors import UserError, in_one_line
from bench.judge.plan import jobs
from bench.run.ahead import ahead
from bench.run.identity import on_its_data
from bench.run.job import Job


def embedded(experiments: Iterable[str], scale: str) -> list[str]:
    """Those of the experiments whose data sets, one job of each, can be built where no data folder is."""
    known: dict[str, bool] = {}
    with tempfile.TemporaryDirectory() as empty:
        return [name for name in experiments if all(_is_there(job, empty, known) for job in jobs(name, scale))]


def lacking(experiment: str, scale: str, overrides: Iterable[str]) -> str | None:
    """What is said of data of the experiment that are not there; None: they are, or are damaged.

    Data that are not there are refused in the words in which they are refused where there is no data folder.
    """
    with tempfile.TemporaryDirectory() as empty:
        folders = [str(jobs(experiment, scale, overrides)[0].settings.data_root), empty]
        ours, others = (jobs(experiment, scale, [*overrides, f"data_root={folder}"]) for folder in folders)
        for job, elsewhere in {str(job.parts["dataset"]): (job, other) for job, other in zip(ours, others)}.values():
            said, nothing = (_on_data_in(*it) for it in zip((job, elsewhere), folders))
            if isinstance(said, str) and said.replace(folders[0], "") == str(nothing).replace(empty, ""):
                return said
    return None


def _is_there(job: Job, folder: str, known: dict[str, bool]) -> bool:
    name = job.names["dataset"]
    if name not in known:
        found = _on_data_in(job, folder)
        known[name] = isinstance(found, Job) and not found.data
    return known[name]


def _on_data_in(job: Job, folder: str) -> Job | str:
    """The job on the data that lie in a folder, or what its data set says where they are not there or refused."""
    alone = replace(job, settings=job.settings.model_copy(update={"data_root": folder}))
    with ahead() as built:
        try:
            return on_its_data(alone, built, lambda line: None)
        except UserError as error:
            return in_one_line(error)
