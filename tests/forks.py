"""run.py in processes that start at once: a server imports what every run imports and forks for each command line.

A child is a process like any other: its own arguments, environment, folder, output and exit. What it does not pay for is the import of torch.
Run as a program it is the server: for each JSON line on stdin a child, its id on stdout, and its exit code in a file.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parent.parent
POLL = 0.005  # seconds between looks at what is under way
PRELOADED = (
    "torch",
    "torch._dynamo",  # what the first optimizer imports
    "scipy.stats",
    "bench.judge.plan",
    "bench.run.attempt",
)


class Process:
    """`python run.py <arguments>` under way, with this environment, after the code `prelude`; SIGALRM ends it after `timeout` seconds.
    Leaving the block kills it if it still runs."""

    def __init__(
        self, arguments: list[str], env: dict[str, str], cwd: Path = ROOT, prelude: str = "", timeout: int = 300
    ) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._code, self._out, self._err = (Path(self._folder.name, name) for name in ("code", "out", "err"))
        self._out.touch(), self._err.touch()
        request = {"arguments": arguments, "env": env, "cwd": str(cwd), "prelude": prelude, "timeout": timeout}
        server = _server()
        server.stdin.write(json.dumps(request | {"folder": self._folder.name}) + "\n")
        server.stdin.flush()
        self.pid = int(server.stdout.readline())

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.send_signal(signal.SIGKILL)
        self.wait()
        self._folder.cleanup()

    def poll(self) -> int | None:
        """Its exit code (minus the number of the signal that ended it), None while it runs."""
        return int(self._code.read_text()) if self._code.exists() else None

    def wait(self) -> int:
        """Its exit code, when it has ended."""
        while (code := self.poll()) is None:
            time.sleep(POLL)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    @property
    def stdout(self) -> str:
        return self._out.read_text()

    @property
    def stderr(self) -> str:
        return self._err.read_text()


def run(arguments: list[str], env: dict[str, str], **more: Any) -> subprocess.CompletedProcess[str]:
    """The same to its end."""
    with Process(arguments, env, **more) as process:
        return subprocess.CompletedProcess(arguments, process.wait(), process.stdout, process.stderr)


@cache
def _server() -> subprocess.Popen[str]:
    """This process's server; it ends when its stdin does."""
    command = [sys.executable, __file__]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _serve() -> None:
    sys.path[0] = str(ROOT)
    for name in PRELOADED:
        __import__(name)
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)  # numpy's idle pool
    gc.freeze()  # children share these pages
    running: dict[int, Path] = {}
    while True:
        ready, _, _ = select.select([0], [], [], POLL if running else None)
        if ready:
            line = _line()
            if not line:
                return
            request = json.loads(line)
            child = os.fork()
            if child == 0:
                _child(request)
            running[child] = Path(request["folder"])
            os.write(1, f"{child}\n".encode())
        for child in list(running):
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                _note(running.pop(child), os.waitstatus_to_exitcode(status))


def _line() -> bytes:
    """One line of stdin, unbuffered: what is buffered, select does not see."""
    line = b""
    while not line.endswith(b"\n") and (byte := os.read(0, 1)):
        line += byte
    return line


def _note(folder: Path, code: int) -> None:
    (folder / "code.new").write_text(str(code))
    (folder / "code.new").rename(folder / "code")


def _child(request: dict[str, Any]) -> NoReturn:
    folder, new = request["folder"], os.O_WRONLY | os.O_CREAT
    files = (("/dev/null", os.O_RDONLY), (f"{folder}/out", new), (f"{folder}/err", new))
    for number, (path, mode) in enumerate(files):
        os.dup2(os.open(path, mode), number)
    signal.alarm(request["timeout"])
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    sys.argv = ["run.py", *request["arguments"]]
    code: Any = 1
    try:
        code = _run_py(request["prelude"])
    except SystemExit as stop:
        code = stop.code
    except BaseException:
        traceback.print_exc()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # taking down an interpreter that holds torch takes longer than most runs here


def _run_py(prelude: str) -> int:
    exec(prelude, {})
    import run as entry
    from bench.run.cli import run as cli

    return cli(entry.main, entry.compare)


if __name__ == "__main__":
    _serve()
