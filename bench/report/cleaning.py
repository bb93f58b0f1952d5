"""Deleting runs: only what the runner wrote, only below results_root/runs, never what a process is computing."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from bench.judge.own import OwnJob, OwnRun, Report, read_job
from bench.report.own import Selection
from bench.run.files import CONFIG, CORRUPT, FILES, LOCK, TEMPORARY
from bench.run.locks import exclusive, held


def leftovers(root: Path) -> Iterator[Path]:
    """Temporary files that processes which are gone left below results_root/runs."""
    for pattern in ("*/*/.*", "*/*/seed*/.*"):
        for path in sorted((root / "runs").glob(pattern)):
            if TEMPORARY.fullmatch(path.name) and path.is_file() and not path.is_symlink() and not _in_use(path):
                yield path


def _in_use(path: Path) -> bool:
    """May a process still be writing this temporary file? One that computes there holds a lock, or lives on this machine."""
    folder = path.parent
    if held(folder) or any(held(seed) for seed in folder.glob("seed*")):
        return True
    found = TEMPORARY.fullmatch(path.name)
    assert found is not None
    try:
        os.kill(int(found[2]), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # of another user
        return True
    return True


def outside(root: Path, folder: Path) -> bool:
    """Does a link on the way from results_root/runs to `folder` lead elsewhere?"""
    runs = root / "runs"
    return folder.resolve() != runs.resolve() / folder.relative_to(runs)


@dataclass(frozen=True)
class Remover:
    """Deletes; `report` is told, in a line each, what stays and why."""

    root: Path
    selection: Selection
    report: Report

    def job(self, job: OwnJob) -> int:
        """Delete the runs of `job`, and its folder when it has none left; how many runs are gone."""
        if outside(self.root, job.folder):
            self.report(f"{job.folder}: kept, it is not below {self.root / 'runs'} but behind a link")
            return 0
        gone = sum(self._run(job, run) for run in job.runs)
        left = set(os.listdir(job.folder)) - {CONFIG, LOCK}
        if gone and not left:
            with exclusive(job.folder, None) as free:  # else a process is about to make a seed's folder
                if free and set(os.listdir(job.folder)) <= {CONFIG, LOCK}:
                    (job.folder / CONFIG).unlink(missing_ok=True)
                    (job.folder / LOCK).unlink()
                    job.folder.rmdir()
        elif gone and not any(name.startswith("seed") for name in left):
            self.report(f"{job.folder}: kept, it holds files that the runner did not write: {_listed(left)}")
        return gone

    def file(self, path: Path) -> bool:
        """Delete a temporary file, if it still is nobody's."""
        if outside(self.root, path.parent) or _in_use(path):
            self.report(f"{path}: kept, it is in use or behind a link")
            return False
        path.unlink(missing_ok=True)
        return True

    def _run(self, job: OwnJob, run: OwnRun) -> bool:
        folder = run.folder
        if folder.is_symlink():
            self.report(f"{folder}: kept, it is a link")
            return False
        with exclusive(job.folder, run.seed) as free:
            if not free:
                self.report(f"{folder}: kept, a process holds its lock")
                return False
            if not self._still_selected(job, run):
                self.report(f"{folder}: kept, it has changed since it was listed")
                return False
            with os.scandir(folder) as entries:
                own = [entry for entry in entries if _written_by_runner(entry)]
            for entry in own:
                os.unlink(entry.path)
            foreign = os.listdir(folder)
            if foreign:
                self.report(f"{folder}: kept, it holds files that the runner did not write: {_listed(foreign)}")
            else:
                folder.rmdir()
        return True

    def _still_selected(self, job: OwnJob, run: OwnRun) -> bool:
        now = {r.seed: r for r in read_job(job.folder, lambda line: None).runs}.get(run.seed)
        if now is not None and now.state == "running":  # by us: its lock is ours
            now = replace(now, state=run.state)
        return now is not None and self.selection.run(job, now, time.time())


def _written_by_runner(entry: os.DirEntry[str]) -> bool:
    known = entry.name in FILES or TEMPORARY.fullmatch(entry.name) or CORRUPT.fullmatch(entry.name)
    return bool(known) and entry.is_file(follow_symlinks=False)


def _listed(names: list[str] | set[str]) -> str:
    shown = sorted(names)
    return ", ".join(shown[:3]) + (f" and {len(shown) - 3} more" if len(shown) > 3 else "")


def confirmed(question: str, ask: Callable[[str], str]) -> bool:
    """Was y typed?"""
    try:
        return ask(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False
