"""A sweep of a person's own, run by the real program: what the tests of own runs look at."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import forks
import pytest
from conftest import QUIET, ROOT, clean_env

from bench.judge.own import read_jobs

SWEEP = ["-m", "method=signsgd,ssvr", "method.lr=1e-3,1e-4", "dataset=digits", "scale=smoke", "seeds=[0,1,2]"]


def make(root: Path, *arguments: str) -> Path:
    """Run the arguments (default: two methods at two step sizes, three seeds) with results below `root`."""
    done = forks.run([*(arguments or SWEEP), *QUIET, "verbose=false", f"results_root={root}"], clean_env())
    assert done.returncode == 0, done.stderr
    return root


def runs(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """python scripts/runs.py <arguments>, in this process: without a terminal."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(cwd)
        patch.setattr(sys, "argv", ["runs.py", *arguments])
        patch.setattr(sys, "stdin", io.StringIO())
        code = _script().main()
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


@cache
def _script() -> ModuleType:
    spec = spec_from_file_location("runs_script", ROOT / "scripts/runs.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def runs_in_a_process(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The same by its own interpreter."""
    command = [sys.executable, str(ROOT / "scripts/runs.py"), *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env=clean_env(), stdin=subprocess.DEVNULL
    )


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    """The error line of a program that refused its input."""
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line


def tree(root: Path) -> set[str]:
    """Everything below a folder."""
    return {str(path.relative_to(root)) for path in root.rglob("*")}


def job_folder(root: Path, method: str, lr: float) -> Path:
    """The folder of a job."""
    (found,) = (
        j.folder for j in read_jobs(root, pytest.fail) if (j.names["method"], j.get("method.lr")) == (method, lr)
    )
    return found


def age(folder: Path, hours: float) -> None:
    """Set the clock of what lies in a folder back."""
    then = time.time() - hours * 3600
    for path in folder.iterdir():
        os.utime(path, (then, then), follow_symlinks=False)


def lines_of(root: Path, *filters: str) -> list[list[str]]:
    """The cells of the list's rows."""
    done = runs("list", *filters, f"results_root={root}")
    assert done.returncode == 0, done.stderr
    return [re.split(r"  +", line.strip()) for line in done.stdout.splitlines() if re.match("[0-9a-f]{12} ", line)]


def failed(root: Path) -> Path:
    """Make seed 1 of a job one that crashed, and seed 2 one that was stopped."""
    folder = job_folder(root, "ssvr", 1e-4)
    (folder / "seed1/result.json").unlink()
    (folder / "seed1/error.json").write_text('{"error": "planted"}')
    (folder / "seed2/result.json").unlink()
    (folder / "seed2/checkpoint.pt").write_bytes(b"0" * 5000)
    return folder
