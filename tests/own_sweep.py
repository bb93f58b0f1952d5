"""A sweep of a person's own, run by the real program: what the tests of own runs look at."""

from __future__ import annotations

import io
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import forks
import pytest
from conftest import QUIET, ROOT, clean_env

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
