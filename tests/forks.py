"""run.py in processes that start at once: a server imports what every run imports and forks for each command line.

A child is a process like any other: its own arguments, environment, folder, output and exit. What it does not pay for is the import of torch.
Run as a program it is the server: one JSON line a request on stdin, the exit code on stdout.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import signal
import subprocess
import sys
import tempfile
import traceback
import warnings
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parent.parent
PRELOADED = (
    "torch",
    "torch._dynamo",  # what the first optimizer imports
    "scipy.stats",
    "bench.plan",
    "bench.progress",
    "bench.session",
    "bench.tracking",
)


def run(
    arguments: list[str], env: dict[str, str], cwd: Path = ROOT, prelude: str = "", timeout: int = 300
) -> subprocess.CompletedProcess[str]:
    """`python run.py <arguments>` with this environment, after the code `prelude`; killed by SIGALRM after `timeout` seconds."""
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        request = {"arguments": arguments, "env": env, "cwd": str(cwd), "prelude": prelude, "timeout": timeout}
        server = _server()
        server.stdin.write(json.dumps(request | {"out": str(out), "err": str(err)}) + "\n")
        server.stdin.flush()
        code = int(server.stdout.readline())
        return subprocess.CompletedProcess(arguments, code, out.read_text(), err.read_text())


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
    replies = os.fdopen(os.dup(1), "w")
    while line := sys.stdin.readline():
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            replies.close()
            _child(request)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), file=replies, flush=True)


def _child(request: dict[str, Any]) -> NoReturn:
    files = (("/dev/null", os.O_RDONLY), *((request[name], os.O_WRONLY | os.O_CREAT) for name in ("out", "err")))
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
    from bench.cli import run as cli

    return cli(entry.main)


if __name__ == "__main__":
    _serve()
