"""The targets say what they do, and the main job is one command line that the program accepts."""

from __future__ import annotations

import os
import shlex
import subprocess

from conftest import ROOT


def make(*arguments: str) -> str:
    """What it prints, whatever `make test ARGS=...` these tests were started by."""
    env = {name: value for name, value in os.environ.items() if name not in ("ARGS", "MAKEFLAGS", "MFLAGS")}
    return subprocess.run(["make", *arguments], cwd=ROOT, capture_output=True, text=True, check=True, env=env).stdout


def test_help_lists_every_target():
    listed = {line.split()[0] for line in make("help").splitlines()}
    assert {
        "help",
        "setup",
        "run",
        "test",
        "test-cluster",
        "test-faults",
        "smoke",
        "plan",
        "reproduce-all",
        "report",
        "selftest",
        "bench",
        "bench-portfolios",
        "bench-valuation",
        "check-gpu",
        "lint",
    } <= listed


def test_variables_become_options():
    line = make(
        "--no-print-directory",
        "-n",
        "reproduce-all",
        "SCALE=mini",
        "PAPER=ssvr",
        "LAUNCHER=joblib",
        "STRICT=1",
        "JOBS=2",
        "DATA=embedded",
    )
    wanted = "scripts/reproduce_all.py --paper ssvr --scale mini --jobs 2 --launcher joblib --strict --data embedded"
    assert wanted in " ".join(line.split())
    line = make("--no-print-directory", "-n", "plan", "ARGS=--time")
    assert "scripts/reproduce_all.py --dry-run --time" in " ".join(line.split())


def test_the_main_job_is_a_command_that_composes(program):
    command = next(line for line in make("--no-print-directory", "-n", "run").splitlines() if "run.py" in line)
    arguments = shlex.split(command)[2:]
    assert "seeds=[0,1]" in arguments
    assert program(*arguments, "--cfg", "job", quiet=False).returncode == 0
