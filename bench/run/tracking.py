"""Weights & Biases mirror of the numbers on disk. Nothing is ever read back from it, and training does not depend on it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from bench.errors import allowed_list, nearest
from bench.run.atomic import plain
from bench.run.job import Job
from bench.run.progress import shown
from bench.run.schema import Tracker

LONGEST = 128  # characters of an id, a name and a group of wandb's
Mode = Literal["online", "offline", "disabled"]
MODES: dict[str, Mode] = {
    "online": "online",
    "offline": "offline",
    "disabled": "disabled",
    "run": "online",
    "dryrun": "offline",
}


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
    mode = _mode(job.settings.tracker, report)
    if mode == "disabled":
        return WandbMirror(None, report)
    empty = [name for name, value in os.environ.items() if name.startswith("WANDB_") and not value]  # as good as unset
    for name in (
        "WANDB_RUN_ID",
        "WANDB_SERVICE",
        "WANDB_RESUME",
        *empty,
    ):  # another process's run must not capture ours
        os.environ.pop(name, None)
    started = _start(_identity(job, seed, attempt, swept) | {"dir": _folder(job, report)}, mode, report)
    if started is None:
        return WandbMirror(None, report)
    mirror = WandbMirror(started, report)
    mirror._safely(lambda: (started.define_metric("step"), started.define_metric("*", step_metric="step")))
    for row in rows:
        mirror.log(row)
    return mirror


def _mode(tracker: Tracker, report: Callable[[str], None]) -> Mode:
    """What the config says, else WANDB_MODE or WANDB_DISABLED, else offline."""
    if tracker.kind == "none" or tracker.mode is not None:
        return tracker.mode if tracker.kind == "wandb" and tracker.mode else "disabled"
    if os.environ.get("WANDB_DISABLED", "").lower() in ("1", "true", "yes", "on"):
        return "disabled"
    said = os.environ.get("WANDB_MODE") or "offline"
    if said not in MODES:
        report(
            f"warning: WANDB_MODE = {said!r}: allowed: {allowed_list(MODES)}{nearest(said, MODES)}; going on offline"
        )
        os.environ.pop("WANDB_MODE")  # wandb would refuse to start
    return MODES.get(said, "offline")


def _folder(job: Job, report: Callable[[str], None]) -> str:
    """Where wandb's folder lies: WANDB_DIR, if it can be made, else the results folder."""
    given = os.environ.get("WANDB_DIR")
    try:
        if given:
            Path(given).absolute().mkdir(parents=True, exist_ok=True)
            return str(Path(given).absolute())
    except OSError as error:
        report(f"warning: WANDB_DIR = {given!r}: {error.strerror}; wandb writes to {job.settings.results_root}")
    return job.settings.results_root


def _id(name: str, end: str) -> str:
    """An id of wandb's characters and length; `end` tells runs apart and stays whole."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", name)[: LONGEST - len(end)] + end


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
        "project": job.settings.tracker.project or os.environ.get("WANDB_PROJECT") or "claimbench",
        "entity": job.settings.tracker.entity or os.environ.get("WANDB_ENTITY") or None,
        "id": _id(name, f"-{job.key[:12]}-s{seed}-a{attempt}"),
        "name": (f"{' '.join(words)} s{seed}" if swept else f"{name}-s{seed}")[-LONGEST:],
        "group": (job.experiment or name)[:LONGEST],
        "job_type": job.settings.scale,
        "config": config,
    }


def _start(options: dict[str, Any], mode: Mode, report: Callable[[str], None]) -> Any:
    """A run of wandb; offline where it cannot be online, None where it cannot be at all."""
    folder = Path(options["dir"]) / "wandb"
    modes: list[Mode] = [mode] if mode == "offline" else [mode, "offline"]
    for attempt_mode in modes:
        before = set(folder.iterdir()) if folder.is_dir() else None
        try:
            import wandb

            return wandb.init(mode=attempt_mode, settings=_settings(wandb), reinit="create_new", **options)
        except Exception as error:
            reason = str(error).splitlines()[0] if str(error) else error.__class__.__name__
            left = "going on offline" if attempt_mode == "online" else "going on without it"
            report(f"warning: wandb {attempt_mode} could not start ({reason}); {left}")
            with contextlib.suppress(OSError):
                _tidy(folder, before, options["id"])
    return None


def _tidy(folder: Path, before: set[Path] | None, name: str) -> None:
    """Remove what a start that failed left behind: its run's folder, links to it, the folder of all runs if it was not there."""
    for path in set(folder.iterdir()) - (before or set()):
        if path.is_dir() and not path.is_symlink() and path.name.endswith(name):
            shutil.rmtree(path)
    for path in folder.iterdir():
        if path.is_symlink() and not path.exists():
            path.unlink()
    if before is None:
        folder.rmdir()
