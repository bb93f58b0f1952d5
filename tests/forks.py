"""run.py and other programs in processes that start at once: a server imports what they import and forks for each command line.

A child is a process like any other: its own arguments, environment, folder, output and exit. What it does not pay for is the import of torch.
There are two servers: one for run.py of this checkout, which has imported its code and read its configs as well, and one that knows
libraries alone, for programs of any checkout. Files are not synced: tests kill processes, never the machine. Run as a program this is a
server: for each JSON line on stdin a child, its id on stdout, and its exit code in a file.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import runpy
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from laws import keep_laws

ROOT = Path(__file__).resolve().parent.parent
POLL = 0.005  # seconds between looks at what is under way
DRAWING = ("jinja2", "matplotlib.pyplot", "rich.console", "rich.table", "tabulate")
EXTRA = ("diffusers", "peft", "opacus_accountants", "dp_accounting")  # of bench.libraries, seconds each
OWN = (
    "bench.libraries",
    "bench.judge.plan",
    "bench.run.attempt",
    "bench.run.cli",
    "bench.run.compose",
    "bench.report.comparison",
)


class Process:
    """`python run.py <arguments>` under way, with this environment, after the code `prelude`; SIGALRM ends it after `timeout` seconds.
    With `program`, another one: a file or "-c", which is followed by its code. Leaving the block kills it if it still runs."""

    def __init__(
        self,
        arguments: list[str],
        env: dict[str, str],
        cwd: Path = ROOT,
        prelude: str = "",
        timeout: int = 300,
        program: str | None = None,
    ) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._code, self._out, self._err = (Path(self._folder.name, name) for name in ("code", "out", "err"))
        self._out.touch(), self._err.touch()
        request = {"arguments": arguments, "env": env, "cwd": str(cwd), "prelude": prelude, "timeout": timeout}
        request["program"] = program
        server = _server(own=program is None)
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


def python(command: list[str | Path], env: dict[str, str], cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """`python <command>` to its end: [file, arguments...] or ["-c", code, arguments...]. PYTHONPATH of `env` is for its own children alone."""
    program, *arguments = map(str, command)
    return run(arguments, env, cwd=cwd, program=program, timeout=1200)


@cache
def _server(own: bool) -> subprocess.Popen[str]:
    """This process's server, for run.py of this checkout or for any program; it ends when its stdin does."""
    from bench.judge.started import LIBRARIES  # in the server there is to be no code of this checkout

    command = [sys.executable, __file__, "own" if own else "any", *LIBRARIES]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _serve(own: bool, libraries: list[str]) -> None:
    if own:
        sys.path[0] = str(ROOT)
    for name in (*libraries, *(OWN if own else DRAWING)):
        __import__(name)
    if own:  # another checkout has plugins of its own
        sys.modules["hydra.core.plugins"].Plugins.instance()  # looks through the folders of plugins
        _warm()
    os.fsync = lambda file: None
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)  # numpy's idle pool
    gc.freeze()  # children share these pages
    gc.set_threshold(20_000)
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


def _warm() -> None:
    """What every run.py does first, once: the parsers' tables, the files of conf/, the speed of this machine; and the libraries of private tuning."""
    modules = sys.modules
    for name in EXTRA:
        getattr(modules["bench.libraries"], name)()
    modules["torch"].set_num_threads(1)
    keep_laws()
    modules["bench.run.compose"].compose("scale=smoke")
    _read_configs()
    modules["bench.run.speed"].speed()


def _read_configs() -> None:
    """Every option's file, as Hydra reads it: children find them parsed."""
    from hydra.core.global_hydra import GlobalHydra

    with sys.modules["bench.run.composition"].hydra():
        repository = GlobalHydra.instance().config_loader().repository
        for group in ("method", "dataset", "task", "model", "schedule", "experiment"):
            for name in sys.modules["bench.run.options"].options(group):
                repository.load_config(f"{group}/{name}")


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
    program = request["program"]
    sys.argv = [program or "run.py", *request["arguments"]]
    sys.modules["__main__"].__file__ = (
        str(ROOT / "run.py") if program is None else program
    )  # which processes that it spawns run first
    code: Any = 1
    try:
        code = _run_py(request["prelude"]) if program is None else _run_program(program)
    except SystemExit as stop:
        code = 0 if stop.code is None else stop.code
    except BaseException:
        traceback.print_exc()
    if not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    threading._shutdown()  # waits for threads, as an interpreter does that ends
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # taking down an interpreter that holds torch takes longer than most runs here


def _run_py(prelude: str) -> int:
    exec(prelude, {})
    import run as entry
    from bench.run.cli import run as cli

    return cli(entry.main, entry.compare)


def _run_program(program: str) -> int:
    """As an interpreter runs it that has just started."""
    if program == "-c":
        code = sys.argv.pop(1)
        sys.path[0] = ""
        main = sys.modules["__main__"] = ModuleType("__main__")
        exec(compile(code, "<string>", "exec"), vars(main))
    else:
        sys.path[0] = str(Path(program).resolve().parent)
        runpy.run_path(program, run_name="__main__")
    return 0


if __name__ == "__main__":
    _serve(own=sys.argv[1] == "own", libraries=sys.argv[2:])
