"""A forked program ends as it would in an interpreter of its own."""

from __future__ import annotations

import subprocess
import sys

import forks
import pytest
from conftest import clean_env

PROGRAM = """
import atexit, os, sys, threading, time
import helper  # lies beside it
own = sorted({name.split(".")[0] for name in sys.modules} & {"bench", "conftest", "datasets", "forks", "methods", "run"})
print(__name__, os.path.basename(sys.argv[0]), sys.argv[1:], sys.path[0], os.getcwd(), own, sorted(os.environ)[:3])
print("said", file=sys.stderr)
atexit.register(print, "at the end")
threading.Thread(target=lambda: (time.sleep(0.05), print("a thread's last word"))).start()
"""
ENDS = ["", "sys.exit(0)", "sys.exit(3)", "sys.exit()", "sys.exit('why')", "raise ValueError('why')"]


@pytest.mark.parametrize("end", ENDS)
def test_a_program_ends_as_in_a_new_interpreter(end, tmp_path):
    (tmp_path / "helper.py").touch()
    (tmp_path / "inner").mkdir()
    (tmp_path / "program.py").write_text(PROGRAM + end)
    for words in ([tmp_path / "program.py", "a", "b c"], ["-c", PROGRAM.replace("import helper", "") + end, "a"]):
        env, cwd = clean_env() | {"A": "1"}, tmp_path / "inner"
        command = [sys.executable, *map(str, words)]
        real = subprocess.run(command, env=env, cwd=cwd, capture_output=True, text=True, check=False)
        fork = forks.python(words, env, cwd=cwd)
        assert (fork.returncode, fork.stdout) == (real.returncode, real.stdout)
        assert fork.stderr.splitlines()[-1] == real.stderr.splitlines()[-1]
