"""The data that a job is computed on are part of what its result is known by: which they are, from disk or by building them."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path

import yaml

from bench.errors import UserError
from bench.run import known
from bench.run.ahead import Ahead, DataSetBuilt, only_data
from bench.run.datafiles import digests, named, unchanged
from bench.run.job import Job
from bench.run.notes import note
from bench.run.store import RESULT, read_config


def located(job: Job) -> Job:
    """The job, known by its config alone, on the data of an earlier run whose files are still the same; where there is none, as it is."""
    folder = job.folder
    if any((job.seed_folder(seed) / RESULT).exists() for seed in job.settings.seeds):
        return job  # of a data set without files, or of a known one
    for other in sorted(folder.parent.glob(f"{glob.escape(folder.name)}-*")):
        data = _data_of(other)
        if data and unchanged(data, Path(job.settings.data_root), data):
            return job.on(data)
    return job


def _data_of(folder: Path) -> dict[str, str]:
    """What a folder's runs are computed on, as its config.yaml says; nothing where that cannot be read."""
    try:
        return read_config(folder)["data"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, AssertionError, yaml.YAMLError):
        return {}


def on_its_data(job: Job, ahead: Ahead, report: Callable[[str], None]) -> Job:
    """The job on the data that are here now. The data set is built as its task builds it, and kept in `ahead` for the task.

    Raises:
        UserError: the data set refuses what it is given, or a file of a known set is not the true one.
    """
    verify = job.parts["dataset"].get("verify", True)
    try:
        _build(job, report)
    except UserError as error:
        named_in_it = [path for path in ahead.opened if path in str(error)]
        for opened in (named_in_it, ahead.opened):  # says more of a known set's file than its reader does
            _foreign(job, opened, verify)
        raise
    except (Exception, SystemExit, GeneratorExit):  # the run meets it again, and keeps what it was
        return job
    _check_container(job, ahead)
    return job.on(digests(_foreign(job, ahead.opened, verify)))


def _check_container(job: Job, ahead: Ahead) -> None:
    """UserError where a data set's function returns something else than the container that its task's note names."""
    wanted = note(job.names["task"]).container
    if ahead.asked is None or not wanted:
        return
    module, _, name = wanted.rpartition(".")
    if not isinstance(ahead.made, getattr(import_module(module), name)):
        target, kind = job.parts["dataset"]["_target_"], type(ahead.made).__name__
        raise UserError(f"dataset: {target} returns {kind}; return a {name} ({module})")


def _build(job: Job, report: Callable[[str], None]) -> None:
    """Let the task ask for its data set, and no further."""
    from bench.run.hardware import open_device
    from bench.run.progress import Display, console
    from bench.run.session import Run, Session
    from bench.run.stopping import StopSignal

    class DataAlone(Session):
        def begin(self, total: int, first: int = 0) -> None:
            raise DataSetBuilt  # of a task that asks for none

    seeds = sorted(job.settings.seeds)
    runs = [Run(seed, job.seed_folder(seed)) for seed in (seeds if job.protocol().BATCHES_SEEDS else seeds[:1])]
    display = Display(console(False), job.title)
    session = DataAlone(job, runs, open_device(job.settings.hardware), StopSignal(), display, report)
    try:
        with only_data():
            session.advance(None)
    except DataSetBuilt:
        pass


def _foreign(job: Job, opened: Iterable[str], verify: bool) -> dict[str, Path]:
    """Of the files opened, by name, those that are not the true file of a known set; with `verify` a known set's must be."""
    found = {}
    for name, path in named(opened, job.settings).items():
        if known.is_known(name, path):
            continue
        if verify and (line := known.difference(name, path)) is not None:
            raise UserError(line)
        found[name] = path
    return found
