"""Processes of experiments: libraries are there at once, and code of ours is what lies on disk when they start."""

from __future__ import annotations

from pathlib import Path

import forks
from conftest import clean_env

PARENT = """
import sys
from pathlib import Path
from bench.judge.started import prepare, start

program, own = sys.argv[1], Path(sys.argv[2])
prepare([])
for value in (1, 2):
    own.write_text(f"VALUE = {value}")
    child = start([program])
    child.join()
    print(child.exitcode, flush=True)
child = start([program, "killed"])
child.join()
print(child.exitcode)
"""
CHILD = """
import os, signal, sys
sys.dont_write_bytecode = True  # two versions within a second
sys.path.insert(0, {folder!r})
import own
if "killed" in sys.argv:
    os.kill(os.getpid(), signal.SIGKILL)
ours = [name for name in ("bench.run.cli", "bench.run.session", "bench.judge.reproduce") if name in sys.modules]
print(own.VALUE, "torch" in sys.modules, ours, os.getpgid(0) == os.getpid(), flush=True)
sys.exit(own.VALUE)
"""
EXTRA = """
import sys
import bench.judge.extra
print("diffusers" in sys.modules, "peft" in sys.modules, [name for name in sys.modules if name.startswith("bench.")])
from bench import libraries
print(libraries.peft() is sys.modules["peft"], "torchvision" in sys.modules)
"""


def test_an_experiment_runs_what_lies_on_disk_and_waits_for_no_library(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(CHILD.format(folder=str(tmp_path)))
    done = forks.python(["-c", PARENT, program, tmp_path / "own.py"], clean_env())
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["1 True [] True", "1", "2 True [] True", "2", "-9"]


def test_libraries_of_private_tuning_are_there_without_the_module_that_knows_them() -> None:
    done = forks.python(["-c", EXTRA], clean_env())
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["True True ['bench.judge', 'bench.judge.extra']", "True False"]
