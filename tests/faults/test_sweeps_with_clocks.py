"""Clocks that jump: by file times that lie in the future or the past, and by libfaketime, which tells a process another time of day.

The monotonic clock is left alone, as a jump of a machine's clock leaves it; no test sets the clock of the machine.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT, clean_env
from sweeps import all_lasting
from whole_sweeps import folders, line, sound, sweep, under_way, undisturbed, until

LIBRARIES = [
    Path("/usr/lib") / machine / "faketime/libfaketime.so.1" for machine in ("x86_64-linux-gnu", "aarch64-linux-gnu")
]
YEAR = 365 * 86400


def interrupted(root: Path) -> None:
    """A sweep that was killed when it had results and a checkpoint."""
    with under_way(root) as child:
        until(lambda: all_lasting(root) and list(root.rglob("checkpoint.pt")), child)
        child.send_signal(signal.SIGKILL)
        child.wait()


def moved(root: Path, rng: random.Random) -> None:
    """Each file was last written in another year, some of them in one to come."""
    for path in root.rglob("*"):
        at = time.time() + rng.uniform(-10 * YEAR, 10 * YEAR)
        os.utime(path, (at, at))


def test_file_times_decide_nothing(tmp_path):
    root = tmp_path / "results"
    interrupted(root)
    moved(root, random.Random(0))
    before = sound(root)
    assert before == set(all_lasting(root))
    done = sweep(root)
    assert done.returncode == 0, done.stderr
    assert all_lasting(root) == undisturbed()


@pytest.mark.faults
@pytest.mark.parametrize("seed", range(4))
def test_file_times_decide_nothing_when_runs_are_forced_and_killed(tmp_path, seed):
    """A checkpoint is told from an older attempt's by its time: what goes on from it must come to the same result."""
    root, rng = tmp_path / "results", random.Random(seed)
    assert sweep(root).returncode == 0
    for _ in range(3):
        with under_way(root, "force=true") as child:
            until(lambda: list(root.rglob("checkpoint.pt")), child)
            time.sleep(rng.uniform(0.0, 0.3))
            child.send_signal(signal.SIGKILL)
            child.wait()
        moved(root, rng)
        assert sound(root) == set(undisturbed()), "the old results stand"
    done = sweep(root)
    assert done.returncode == 0, done.stderr
    assert all_lasting(root) == undisturbed()
    assert sweep(root, "force=true").returncode == 0
    assert all_lasting(root) == undisturbed()


def faketime() -> Path:
    found = next((path for path in LIBRARIES if path.exists()), None)
    if found is None:
        pytest.skip("libfaketime is not installed (apt-get install faketime)")
    return found


def at(clock: Path) -> dict[str, str]:
    """An environment whose time of day is what the file says, looked at anew each time."""
    own = {"LD_PRELOAD": str(faketime()), "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1"}
    return clean_env() | own | {"FAKETIME_DONT_FAKE_MONOTONIC": "1"}


@pytest.mark.faults
def test_the_clock_jumps_while_a_sweep_runs(tmp_path):
    """Ten years ahead, then thirty back, then it stands still, while results and checkpoints are written; killed, and gone on with at other times."""
    root, clock = tmp_path / "results", tmp_path / "clock"
    clock.write_text("+0")
    env, command = at(clock), [sys.executable, str(ROOT / "run.py"), *line(root)]
    told = subprocess.run(
        [sys.executable, "-c", "import time; print(time.time())"],
        env=env | {"FAKETIME": "-20y"} | {"FAKETIME_TIMESTAMP_FILE": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(told.stdout) < time.time() - 19 * YEAR, "the library does what it is here for"
    for jump in ("+10y", "-30y", "1999-12-31 23:59:59", None):
        with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as child:
            before = len(folders(root))
            end = time.monotonic() + 120
            while child.poll() is None and len(folders(root)) <= before and time.monotonic() < end:
                time.sleep(0.01)
            if jump is not None:
                clock.write_text(jump)
                time.sleep(0.3)
                child.kill()
            _, err = child.communicate()
        assert {name: undisturbed()[name] for name in all_lasting(root)} == all_lasting(root)
        sound(root)
    assert child.returncode == 0, err
    done = sweep(root)
    assert done.returncode == 0, done.stderr
    assert all_lasting(root) == undisturbed()
