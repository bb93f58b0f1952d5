"""Weights & Biases mirror of the numbers on disk. Nothing is ever read back from it, and training does not depend on it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from bench.run.atomic import plain
from bench.run.job import Job
from bench.run.progress import shown


class WandbMirror:
    """One wandb run for one attempt at one seed. The first failure switches it off with a warning."""

    def __init__(self, run: Any, report: Callable[[str], None]) -> None:
        self._run, self._report = run, report

    def _safely(self, act: Callable[[], Any]) -> None:
        if self._run is None:
            return
        try:
            act()
        except Exception as error:  # a full disk, a dead service: the results folder is the truth
            self._report(f"wandb switched off for this run ({error.__class__.__name__}: {error})")
            self._run = None

    def log(self, row: dict[str, Any]) -> None:
        self._safely(lambda: self._run.log({k: v for k, v in plain(row).items() if v is not None}))

    def finish(self, summary: dict[str, Any], failed: bool) -> None:
        def act() -> None:
            self._run.summary.update(plain(summary))
            self._run.finish(exit_code=1 if failed else 0)

        self._safely(act)


def _settings(wandb: Any) -> Any:
    """Quiet and private: no console, git, machine statistics or host name."""
    return wandb.Settings(
        console="off",
        silent=True,
        disable_git=True,
        save_code=False,
        disable_code=True,
        x_disable_meta=True,
        x_disable_stats=True,
        x_disable_machine_info=True,
        host="-",
        x_save_requirements=False,
        init_timeout=20,
    )


def open_mirror(
    job: Job,
    seed: int,
    attempt: int,
    swept: Mapping[str, Any],
    rows: list[dict[str, Any]],
    report: Callable[[str], None],
) -> WandbMirror:
    """A fresh wandb run that begins with the rows already on disk (those before the checkpoint); without a tracker nothing is mirrored."""
    tracker = job.settings.tracker
    if tracker.kind == "none":
        return WandbMirror(None, report)
    for name in ("WANDB_RUN_ID", "WANDB_SERVICE", "WANDB_RESUME"):  # another process's run must not capture ours
        os.environ.pop(name, None)
    import wandb

    options = {"settings": _settings(wandb), "reinit": "create_new"} | _identity(job, seed, attempt, swept)
    started = _start(wandb, options, tracker.mode, report)
    if started is None:
        return WandbMirror(None, report)
    mirror = WandbMirror(started, report)
    mirror._safely(lambda: (started.define_metric("step"), started.define_metric("*", step_metric="step")))
    for row in rows:
        mirror.log(row)
    return mirror


def _identity(job: Job, seed: int, attempt: int, swept: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of wandb.init that say which run this is: names as plain strings, to group and filter by, and the nested parts."""
    name = f"{job.names['method']}-{job.names['dataset']}"
    words = [job.names["method"], job.names["dataset"], *(f"{key}={shown(value)}" for key, value in swept.items())]
    config = {
        **job.parts,
        **{f"{part}_name": option for part, option in job.names.items()},
        "experiment": job.experiment,
        "scale": job.settings.scale,
        "seed": seed,
        "key": job.key,
        "code": job.code,
        "attempt": attempt,
    }
    return {
        "project": job.settings.tracker.project,
        "entity": job.settings.tracker.entity,
        "dir": job.settings.results_root,
        "id": f"{name}-{job.key[:12]}-s{seed}-a{attempt}",
        "name": f"{' '.join(words)} s{seed}" if swept else f"{name}-s{seed}",
        "group": job.experiment or name,
        "job_type": job.settings.scale,
        "config": config,
    }


def _start(wandb: Any, options: dict[str, Any], mode: str, report: Callable[[str], None]) -> Any:
    for attempt_mode in dict.fromkeys((mode, "offline")):
        try:
            return wandb.init(mode=attempt_mode, **options)
        except Exception as error:
            reason = str(error).splitlines()[0] if str(error) else error.__class__.__name__
            left = "going on offline" if attempt_mode == "online" else "going on without it"
            report(f"warning: wandb {attempt_mode} could not start ({reason}); {left}")
    return None
