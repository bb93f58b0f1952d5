"""The one path from a config to results on disk."""

from __future__ import annotations

import contextlib
import ctypes
import json
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from bench.errors import UserError
from bench.run.config import load
from bench.run.job import Job
from bench.run.store import (
    CHECKPOINT,
    CONFIG,
    DISK_FULL,
    ENVIRONMENT,
    ERROR,
    METRICS,
    RESULT,
    locked,
    read_metrics,
    read_result,
    write_atomic,
    write_json,
)

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of mallopt(3)


class RunsFailed(Exception):
    """At least one run crashed; what others finished is kept. Exit code 1."""


def warn(line: str) -> None:
    """A line for the person, on stderr."""
    print(line, file=sys.stderr, flush=True)


@dataclass
class Outcome:
    """What a job came to: results by seed, and one line for each seed that crashed."""

    job: Job
    results: dict[int, dict[str, Any]] = field(default_factory=dict)
    failures: dict[int, str] = field(default_factory=dict)


def run_job(cfg: DictConfig, choices: Mapping[str, str]) -> Outcome:
    """Validate, run the seeds that are missing, print the table.

    Raises:
        UserError: bad input; nothing was run.
        RunsFailed: a run crashed (error.json says how); the other seeds were still run.
        Stopped: SIGTERM or Ctrl-C, after a checkpoint.
    """
    job = load(cfg, choices)
    outcome = execute(job)
    if job.settings.verbose:
        _print_table(outcome)
    if outcome.failures:
        raise RunsFailed("; ".join(f"seed {seed}: {line}" for seed, line in sorted(outcome.failures.items())))
    return outcome


def seed_folder(job: Job, seed: int) -> Path:
    """The folder of one seed's run."""
    return job.folder / f"seed{seed}"


def execute(job: Job) -> Outcome:
    """Run the missing seeds: jointly where the task batches them, else one after another."""
    outcome = Outcome(job)
    report = warn if job.settings.verbose else (lambda line: None)
    task = import_module(job.parts["task"]["_target_"].rpartition(".")[0])
    seeds = sorted(job.settings.seeds)
    for group in [seeds] if task.BATCHES_SEEDS else [[seed] for seed in seeds]:
        with contextlib.ExitStack() as stack:
            for seed in group:
                stack.enter_context(locked(seed_folder(job, seed), report))
            missing = [seed for seed in group if not _reused(job, seed, outcome, report)]
            if missing:
                _compute(job, task, missing, outcome, report)
    return outcome


def _reused(job: Job, seed: int, outcome: Outcome, report: Any) -> bool:
    """Take the result that is already there, saying so when it comes from other code or another precision."""
    if job.settings.force is True:
        return False
    folder = seed_folder(job, seed)
    result = read_result(folder, job.key, report)
    if result is None:
        return False
    if result["code"] != job.code:
        if job.settings.force == "stale":
            (folder / RESULT).unlink()
            return False
        report(f"{folder} is stale: it was computed by other code; force=true recomputes it")
    if result["precision"] != job.settings.hardware.precision:
        report(f"{folder} was computed in {result['precision']}; force=true recomputes it")
    outcome.results[seed] = result
    return True


def _compute(job: Job, task: Any, seeds: list[int], outcome: Outcome, report: Any) -> None:
    from bench.run.hardware import environment, open_device
    from bench.run.progress import Display, console
    from bench.run.session import Run, Session, Stopped, StopSignal
    from bench.run.tracking import open_mirror

    # what other code computed is gone by now: a checkpoint of this code may be resumed
    job = replace(job, settings=job.settings.model_copy(update={"force": job.settings.force is True}))
    device = open_device(job.settings.hardware)
    if not device.is_cuda:
        _keep_memory()
    runs = [Run(seed, seed_folder(job, seed)) for seed in seeds]
    title = (
        f"{job.names['method']} on {job.names['dataset']}, seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"
    )
    display = Display(console(job.settings.verbose), title)
    ended = False
    with StopSignal() as stop:
        session = Session(job, runs, device, stop, display, report)
        try:
            _prepare(job, runs, environment(device))
            state = session.start()
            attempts = [_attempt(run.folder) for run in runs]
            for run, attempt in zip(runs, attempts):
                run.mirror = open_mirror(job, run, attempt, read_metrics(run.folder), report)
            task.run(session, state, **{k: v for k, v in job.parts["task"].items() if k != "_target_"})
            for run, attempt, evaluations in zip(runs, attempts, session.gradient_evaluations):
                outcome.results[run.seed] = _write_result(session, run, attempt, evaluations)
            session.clear()
            ended = True
        except (UserError, Stopped):
            raise
        except Exception as error:
            line = _record_failure(runs, error)
            report(f"{title}: failed: {line}")
            outcome.failures.update(dict.fromkeys(seeds, line))
        finally:
            display.stop()
            for run in runs:
                run.close()
                if run.mirror:
                    run.mirror.finish(run.final or {}, failed=not ended)


def _keep_memory() -> None:
    """Large arrays are reused instead of handed back to the system and faulted in again at every operation (glibc; elsewhere nothing happens)."""
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def _prepare(job: Job, runs: list[Any], environment: dict[str, Any]) -> None:
    """Protocol and environment on disk before the first step; a forced run starts from an empty folder."""
    text = OmegaConf.to_yaml(OmegaConf.create({"key": job.key, "names": job.names, **job.parts}))
    write_atomic(job.folder / CONFIG, lambda file: file.write(text.encode()))
    for run in runs:
        if job.settings.force:
            for name in (RESULT, METRICS, CHECKPOINT):
                (run.folder / name).unlink(missing_ok=True)
        (run.folder / ERROR).unlink(missing_ok=True)
        attempt = _attempt(run.folder) + 1
        write_json(run.folder / ENVIRONMENT, {"attempt": attempt, "code": job.code, **environment})


def _attempt(folder: Path) -> int:
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return int(json.loads((folder / ENVIRONMENT).read_text())["attempt"])
    return 0


def _write_result(session: Any, run: Any, attempt: int, evaluations: int) -> dict[str, Any]:
    """result.json: everything above `measured` is bit for bit the same however often the run was interrupted."""
    job, seconds = session.job, session.clock.read()
    result = {
        "status": run.status,
        "task": job.names["task"],
        "method": job.names["method"],
        "dataset": job.names["dataset"],
        "seed": run.seed,
        "scale": job.settings.scale,
        "key": job.key,
        "code": job.code,
        "precision": job.settings.hardware.precision,
        "metrics": {**(run.final or {}), "gradient_evaluations": evaluations},
        "measured": {
            "wall_seconds": seconds,
            "seeds_in_batch": len(session.runs),
            "examples_per_second": session.examples / max(seconds, 1e-9),
            "peak_memory_bytes": session.device.peak_memory(),
            "attempt": attempt,
        },
    }
    write_json(run.folder / RESULT, result)
    return json.loads((run.folder / RESULT).read_text())


def _record_failure(runs: list[Any], error: Exception) -> str:
    """error.json with the traceback for each run of the session; returns the line for the person."""
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        line = (
            f"disk full ({error.strerror}); free some space and run the same command again, what was finished is kept"
        )
    else:
        line = f"{error.__class__.__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    text = traceback.format_exc()
    for run in runs:
        with contextlib.suppress(OSError):
            write_json(run.folder / ERROR, {"seed": run.seed, "error": line, "traceback": text})
    return line


def _print_table(outcome: Outcome) -> None:
    from bench.run.progress import closing_table, console

    job = outcome.job
    rows: dict[int, dict[str, Any]] = {}
    for seed in sorted(job.settings.seeds):
        result = outcome.results.get(seed)
        rows[seed] = {"status": result["status"] if result else "failed"}
        if result:
            numbers = {k: v for k, v in result["metrics"].items() if not isinstance(v, dict | list)}
            rows[seed] |= {**numbers, "seconds": result["measured"]["wall_seconds"]}
    screen = console(True)
    assert screen is not None
    screen.print(closing_table(rows, f"{job.names['method']} on {job.names['dataset']} ({job.settings.scale})"))
    screen.print(str(job.folder), soft_wrap=True, highlight=False)
