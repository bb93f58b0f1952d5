"""Runs as their folders tell of them, whether an experiment of a paper asks for them or not. Reading changes nothing on disk."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bench.errors import UserError
from bench.judge.archive import Record
from bench.run.atomic import Damaged
from bench.run.config import code_names
from bench.run.files import CONFIG, ERROR, FILES, NEW, RESULT
from bench.run.identity import located
from bench.run.job import Job, lookup
from bench.run.locks import held
from bench.run.result import load_result
from bench.run.store import read_config

STATES = ("finished", "diverged", "failed", "unfinished", "running")
Report = Callable[[str], None]


@dataclass(frozen=True)
class OwnRun:
    """One seed's folder. `state`: one of STATES, or "missing" where the runner has written nothing; `result`: result.json of one that ended."""

    seed: int
    folder: Path
    state: str
    result: dict[str, Any] | None

    @property
    def changed(self) -> float:
        """When the result was written, else when anything in the folder was last; seconds since 1970."""
        with contextlib.suppress(OSError):
            if self.result is not None:
                return (self.folder / RESULT).stat().st_mtime
            with os.scandir(self.folder) as entries:
                return max(
                    (e.stat(follow_symlinks=False).st_mtime for e in entries), default=self.folder.stat().st_mtime
                )
        return time.time()

    @property
    def seconds(self) -> float | None:
        """Measured seconds of this seed; of seeds that ran in one batch its share."""
        measured = (self.result or {}).get("measured") or {}
        seconds, batch = measured.get("wall_seconds"), measured.get("seeds_in_batch") or 1
        return None if seconds is None else seconds / batch


@dataclass(frozen=True)
class OwnJob:
    """A job's folder: the key, the options' names, the typed parts of config.yaml, a run a seed.

    scale: what it was asked for at, as far as results tell; no part of the key.
    """

    folder: Path
    key: str
    names: dict[str, str]
    parts: dict[str, dict[str, Any]]
    runs: tuple[OwnRun, ...]
    scale: str = ""

    def get(self, path: str) -> Any:
        """An option's name (method) or a config value by its dotted path (method.lr); None where there is none."""
        return lookup(path, self.names, self.parts)

    @property
    def targets(self) -> frozenset[str]:
        """What bench.run.codehash.code_hash takes."""
        nodes = {part: node for part, node in self.parts.items() if "_target_" in node}
        try:
            return code_names(nodes)
        except UserError:  # of code that is gone
            return frozenset(str(node["_target_"]) for node in nodes.values())

    @property
    def config(self) -> dict[str, dict[str, Any]]:
        """The parts' values, as a Record holds them."""
        return {part: {k: v for k, v in node.items() if k != "_target_"} for part, node in self.parts.items()}

    def records(self) -> list[Record]:
        """Its runs, as verdicts, tables and figures take them, without the curves."""
        config = self.config
        return [_record(self, config, run) for run in self.runs]


def _record(job: OwnJob, config: dict[str, dict[str, Any]], run: OwnRun) -> Record:
    result = run.result or {}
    return Record(
        experiments=(),
        task=job.names["task"],
        method=job.names["method"],
        dataset=job.names["dataset"],
        model=job.names.get("model", ""),
        key=job.key,
        seed=run.seed,
        state=run.state,
        status=result.get("status", ""),
        code=result.get("code", ""),
        precision=result.get("precision", ""),
        seconds=run.seconds,
        config=config,
        metrics=result.get("metrics", {}),
        curve=[],
    )


def of_jobs(jobs: Iterable[Job]) -> list[OwnJob]:
    """The jobs of commands, with what is on disk of the seeds asked for; a job that comes twice, once with all of its seeds."""
    seeds: dict[str, set[int]] = {}
    by_key: dict[str, Job] = {}
    for job in map(located, jobs):
        by_key.setdefault(job.key, job)
        seeds.setdefault(job.key, set()).update(job.settings.seeds)
    return [
        OwnJob(
            job.folder,
            key,
            dict(job.names),
            {part: dict(node) for part, node in job.parts.items()},
            tuple(
                _run(job.folder / f"seed{seed}", seed, key, job.names, lambda line: None) for seed in sorted(seeds[key])
            ),
            job.settings.scale,
        )
        for key, job in by_key.items()
    ]


def read_jobs(root: Path, report: Report) -> Iterator[OwnJob]:
    """Every job below results_root/runs, in alphabetical order; a damaged one is reported and left out."""
    for folder in sorted((root / "runs").glob("*/*")):
        if not folder.is_dir():
            continue
        try:
            yield read_job(folder, report)
        except (OSError, ValueError, yaml.YAMLError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error).splitlines()[0]
            report(f"{folder}: left out, {CONFIG} cannot be read ({reason})")


def read_job(folder: Path, report: Report) -> OwnJob:
    """The job of a folder; a run whose result is damaged is reported and counts as unfinished.

    Raises:
        OSError, ValueError, yaml.YAMLError: config.yaml is missing, cut short or not one of ours.
    """
    config = read_config(folder)
    key, names = str(config["key"]), config["names"]
    with os.scandir(folder) as entries:
        seeds = sorted(int(entry.name[4:]) for entry in entries if _is_seed(entry.name))
    runs = (_run(folder / f"seed{seed}", seed, key, names, report) for seed in seeds)
    found = tuple(run for run in runs if run.state != "missing")
    scale = next((str(run.result["scale"]) for run in found if run.result and "scale" in run.result), "")
    return OwnJob(folder, key, names, config["parts"], found, scale)


def _is_seed(name: str) -> bool:
    return name.startswith("seed") and name[4:].isascii() and name[4:].isdigit() and str(int(name[4:])) == name[4:]


def _run(folder: Path, seed: int, key: str, names: Mapping[str, str], report: Report) -> OwnRun:
    try:
        files = FILES & set(os.listdir(folder))
    except FileNotFoundError:
        files = set()
    except OSError as error:
        report(f"{folder}: left out, cannot be read ({error.strerror})")
        files = set()
    result = None
    if not files.isdisjoint((RESULT, RESULT + NEW)):
        try:
            result = load_result(folder, key, names)
        except (OSError, Damaged) as error:
            report(f"{folder}: left out, {error}; the same command computes it again")
    if result is not None:
        return OwnRun(seed, folder, "diverged" if result["status"] == "diverged" else "finished", result)
    if held(folder):
        return OwnRun(seed, folder, "running", None)
    if not files:
        return OwnRun(seed, folder, "missing", None)
    return OwnRun(seed, folder, "failed" if ERROR in files else "unfinished", None)
