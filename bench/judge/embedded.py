"""Which experiments need no data folder, as their data are drawn or lie in packages that `make setup` installs, and which lack theirs."""

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
        ours, others = (jobs(experiment, scale, [*overrides, *more]) for more in ([], [f"data_root={empty}"]))
        for job, other in {str(job.parts["dataset"]): (job, other) for job, other in zip(ours, others)}.values():
            said, nothing = _on_its_data(job), _on_its_data(other)
            if isinstance(said, str) and said.replace(job.settings.data_root, "") == str(nothing).replace(empty, ""):
                return said
    return None


def _is_there(job: Job, folder: str, known: dict[str, bool]) -> bool:
    name = job.names["dataset"]
    if name not in known:
        found = _on_its_data(replace(job, settings=job.settings.model_copy(update={"data_root": folder})))
        known[name] = isinstance(found, Job) and not found.data
    return known[name]


def _on_its_data(job: Job) -> Job | str:
    """The job on its data, or what its data set says where they are not there or refused."""
    with ahead() as built:
        try:
            return on_its_data(job, built, lambda line: None)
        except UserError as error:
            return in_one_line(error)
