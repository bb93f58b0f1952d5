"""Processes of this machine that run a sweep's jobs, each one job after another, so that libraries are imported once a process."""

from __future__ import annotations

import contextlib
import io
import os
import runpy
import signal
import sys
import threading
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from multiprocessing import connection, get_context
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.run.launch import Command, Ended


@dataclass
class Worker:
    """One of the processes, as its parent sees it: `said` is what the job under way has printed, `number` that job's, None between jobs."""

    process: Any
    pipe: Any
    said: Path
    number: int | None = None

    def is_free(self) -> bool:
        """Waits it for a job? One that was killed meanwhile does not."""
        return self.number is None and self.process.is_alive()

    def hand(self, command: Command) -> None:
        """The next job."""
        self.number = command.number
        with contextlib.suppress(OSError):  # it has died since its last one, which `result` tells
            self.pipe.send((command.line, command.environment, command.folder))

    def result(self) -> tuple[int | None, str]:
        """Exit code of the job that has ended, negative where a signal ended the process, and what it printed; None where the process ended
        itself as if all were well, without a word of its job."""
        try:
            code, lost = self.pipe.recv()
            self.number = None
        except (EOFError, OSError):
            self.process.join()
            code, lost = self.process.exitcode or None, ""
        said = self.said.read_text(encoding="utf-8", errors="replace") if self.said.exists() else ""
        return code, f"{said}\n(more was printed and is lost: {self.said.parent}: {lost})\n" if lost else said


class Kept(io.RawIOBase):
    """A file of what a job prints; where it takes no more, as its disk is full, the rest is `lost`, with the reason, and the job goes on."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor, self.lost = descriptor, ""

    def fileno(self) -> int:
        """As a file's: libraries ask for it."""
        return self._descriptor

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, content: Any) -> int:
        """All of it is taken."""
        rest = memoryview(content)
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError as error:
            self.lost = error.strerror or str(error)
        return len(content)


def run_at_a_time(commands: Sequence[Command], at_a_time: int) -> Generator[Ended, None, None]:
    """Run commands, `at_a_time` at once; each as it ends. One whose process is killed takes no other with it.

    Closed before the end it stops those under way, which write their checkpoints, and waits for them.
    """
    from bench.run.launch import Ended

    waiting = deque(commands)
    workers: list[Worker] = []
    with TemporaryDirectory() as folder:
        try:
            while waiting or any(w.number is not None for w in workers):
                while waiting and sum(w.number is not None for w in workers) < at_a_time:
                    free = next(filter(Worker.is_free, workers), None)
                    if free is None:
                        free = _start(Path(folder) / f"{waiting[0].number}.out", waiting[0].environment)
                        workers.append(free)
                    free.hand(waiting.popleft())
                busy = {w.pipe: w for w in workers if w.number is not None}
                for pipe in connection.wait(list(busy)):
                    worker = busy[pipe]
                    number = worker.number
                    code, output = worker.result()
                    if worker.number is not None:
                        workers.remove(worker)
                    yield Ended(number, code, output)  # type: ignore[arg-type]
        finally:
            _end(workers)


def _start(said: Path, environment: dict[str, str]) -> Worker:
    context = get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=serve, args=(there, str(said), environment))
    process.start()
    there.close()
    return Worker(process, here, said)


def _end(workers: Sequence[Worker]) -> None:
    """Those at work write checkpoints first: an end that is closed asks for them, and a signal beside it would be the second, which asks for none.

    A second Ctrl-C or SIGTERM kills them.
    """
    for worker in workers:
        worker.pipe.close()
    try:
        for worker in workers:
            worker.process.join()
    except BaseException:
        for worker in workers:
            worker.process.kill()
        raise


def serve(pipe: Any, said: str, environment: dict[str, str]) -> None:
    """In a worker: run each command line that comes, and answer with its exit code, until the other end is closed or its process dies.

    It has a session of its own: Ctrl-C reaches the sweep's process, which asks for checkpoints.
    """
    os.setsid()
    os.environ.update(environment)  # before libraries start threads
    printed = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (1, 2):
        os.dup2(printed, stream)
    kept = Kept(printed)
    sys.stdout = sys.stderr = io.TextIOWrapper(io.BufferedWriter(kept), encoding="utf-8", line_buffering=True)
    commands: SimpleQueue[Any] = SimpleQueue()
    threading.Thread(target=_receive, args=(pipe, commands), daemon=True).start()
    while (command := commands.get()) is not None:
        os.ftruncate(printed, 0)
        kept.lost = ""
        code = run_line(*command)
        sys.stdout.flush()
        with contextlib.suppress(OSError):  # nobody listens any more
            pipe.send((code, kept.lost))


def _receive(pipe: Any, commands: SimpleQueue[Any]) -> None:
    """In a thread: hand on what comes; when nothing can come any more the job under way is asked for its checkpoint."""
    try:
        while True:
            commands.put(pipe.recv())
    except (EOFError, OSError):
        commands.put(None)
        os.kill(os.getpid(), signal.SIGTERM)


def run_line(line: Sequence[str], environment: dict[str, str], folder: str) -> int:
    """`python <line>` in this process; its exit code."""
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = list(line)
    try:
        runpy.run_path(line[0], run_name="__main__")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        import traceback

        traceback.print_exc()
        return 1
    return 0
