"""Who computes a seed holds its lock: one byte of the file `lock` in the job's folder, so that thousands of seeds need one open file.

The kernel frees it when its process dies. Linux's locks belong to the open file; elsewhere they belong to the process.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bench.errors import UserError
from bench.run.files import LOCK

BYTES = 2**62  # seeds are taken modulo this: two that share a byte wait for each other
EVERYTHING = 0  # a length of 0 reaches to the end of all files
TAKEN = (errno.EAGAIN, errno.EACCES)
_FLOCK = "hhqqi0q"  # struct flock: type, whence, start, length, process


@contextlib.contextmanager
def locked(job: Path, seeds: Sequence[int], report: Callable[[str], None]) -> Iterator[None]:
    """Hold the locks of seeds of a job's folder, made where they are missing; of one that another process holds, say so once and wait for it.

    Raises:
        UserError: a folder stands where the lock is to be.
    """
    said: set[int] = set()
    while True:
        for seed in seeds:
            (job / f"seed{seed}").mkdir(parents=True, exist_ok=True)
        with _opened(job / LOCK, os.O_RDWR | os.O_CREAT) as file:
            for seed in sorted(seeds):
                while not _take(file, seed % BYTES):
                    if seed not in said:
                        report(f"{job / f'seed{seed}'} is being computed by another process; waiting for it")
                    said.add(seed)
                    time.sleep(0.2)
            if _still_there(file, job, seeds):  # else who held a lock has deleted the run
                try:
                    yield
                finally:
                    _leave_nothing_empty(job, seeds)
                return


@contextlib.contextmanager
def exclusive(job: Path, seed: int | None) -> Iterator[bool]:
    """Hold the lock of a seed, or with None those of all seeds of a job; False if another process holds it. A link is not followed."""
    with _opened(job / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW) as file:
        yield _take(file, 0, EVERYTHING) if seed is None else _take(file, seed % BYTES)


def held(folder: Path) -> bool:
    """Does a process hold the lock of the run in `folder`, a seed's?"""
    seed = folder.name.removeprefix("seed")
    if not (seed.isascii() and seed.isdigit()):
        return False
    try:
        with _opened(folder.parent / LOCK, os.O_RDONLY) as file:
            return _is_taken(file, int(seed) % BYTES)
    except (OSError, UserError):
        return False


@contextlib.contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    try:
        file = os.open(path, flags, 0o644)
    except IsADirectoryError:
        raise UserError(f"{path}: a folder stands where the runner writes a file; move it away") from None
    try:
        yield file
    finally:
        os.close(file)


def _take(file: int, start: int, length: int = 1) -> bool:
    try:
        if hasattr(fcntl, "F_OFD_SETLK"):
            fcntl.fcntl(file, fcntl.F_OFD_SETLK, struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, start, length, 0))
        else:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, length, start)
    except OSError as error:
        if error.errno in TAKEN:
            return False
        raise
    return True


def _is_taken(file: int, start: int) -> bool:
    """Asks without locking where that is possible: a lock taken for a moment would keep another process waiting."""
    if hasattr(fcntl, "F_OFD_GETLK"):
        asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, start, 1, 0)
        return struct.unpack(_FLOCK, fcntl.fcntl(file, fcntl.F_OFD_GETLK, asked))[0] != fcntl.F_UNLCK
    try:
        fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB, 1, start)
    except OSError as error:
        return error.errno in TAKEN
    return False


def _leave_nothing_empty(job: Path, seeds: Sequence[int]) -> None:
    """Folders of a run that was refused hold nothing; who waits for the lock makes them again."""
    with contextlib.suppress(OSError):
        for seed in seeds:
            (job / f"seed{seed}").rmdir()
        if os.listdir(job) == [LOCK]:
            (job / LOCK).unlink()
            job.rmdir()


def _still_there(file: int, job: Path, seeds: Sequence[int]) -> bool:
    """Is the open lock still the file at its path, and are the seeds' folders there?"""
    with contextlib.suppress(FileNotFoundError):
        same = os.path.samestat(os.fstat(file), os.stat(job / LOCK))
        return same and all((job / f"seed{seed}").is_dir() for seed in seeds)
    return False
