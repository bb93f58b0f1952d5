"""A disk that is full and a folder that nobody may write: what was finished stays and counts, the sweep says so in a line, and goes on when it can."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from sweeps import all_lasting
from whole_sweeps import RUNS, sound, sweep, under_way, undisturbed, until

pytestmark = pytest.mark.faults


def system(*command: str | Path) -> None:
    """Skips the test where the machine does not allow it."""
    if shutil.which(str(command[0])) is None:
        pytest.skip(f"{command[0]}: not installed")
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"{command[0]} is not allowed here: {done.stderr.strip()}")


@contextlib.contextmanager
def mounted(folder: Path, *how: str) -> Iterator[None]:
    system("mount", *how, folder)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def in_a_line(done: subprocess.CompletedProcess[str]) -> list[str]:
    """What the sweep says of it: nothing that looks like a fault of the program."""
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()


@pytest.mark.parametrize("size", [150, 250, 400])
def test_a_full_disk(tmp_path, size):
    root = tmp_path / "results"
    root.mkdir()
    with mounted(root, "-t", "tmpfs", "-o", f"size={size}k", "none"):
        done = sweep(root)
        assert done.returncode == 1
        assert all("No space left on device" in line or "damaged" in line for line in in_a_line(done)), done.stderr
        assert {name: undisturbed()[name] for name in all_lasting(root)} == all_lasting(root)
        before = sound(root)
        assert len(before) < RUNS
        again = sweep(root)
        assert again.returncode == 1, "still full"
        assert sound(root) >= before
        system("mount", "-o", "remount,size=64m", root)
        assert sweep(root).returncode == 0
        assert all_lasting(root) == undisturbed()
        assert not [path for path in root.rglob(".*") if path.is_file()]


def test_a_folder_that_is_mounted_for_reading_alone(tmp_path):
    """Results that are there are taken, by a sweep and by the plan; what is missing is refused, and computed when the folder can be written."""
    root = tmp_path / "results"
    assert sweep(root, "method=ssvr,signsgd").returncode == 0
    before = all_lasting(root)
    with mounted(root, "--bind", str(root)):
        system("mount", "-o", "remount,ro,bind", root)
        assert sound(root) == set(before)
        done = sweep(root)
        assert done.returncode == 2
        assert in_a_line(done)
        assert all("Read-only file system" in line for line in in_a_line(done)), done.stderr
        assert all_lasting(root) == before
    assert sweep(root).returncode == 0
    assert all_lasting(root) == undisturbed()


def test_a_disk_that_is_full_before_the_sweep_begins(tmp_path):
    """No table of nothing, and no file that the sweep's jobs would have shared."""
    root = tmp_path / "results"
    root.mkdir()
    with mounted(root, "-t", "tmpfs", "-o", "size=16k", "none"):
        with contextlib.suppress(OSError), open(root / "filling", "wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        done = sweep(root)
        assert done.returncode == 1
        (said,) = in_a_line(done)
        assert "No space left on device" in said
        assert "medians" not in done.stdout
        assert {path.name for path in root.rglob("*") if path.is_file()} <= {"filling", "multirun.yaml"}


def test_a_folder_that_cannot_be_written_from_the_beginning(tmp_path):
    root = tmp_path / "results"
    root.mkdir()
    with mounted(root, "--bind", str(root)):
        system("mount", "-o", "remount,ro,bind", root)
        done = sweep(root)
        assert done.returncode == 2
        assert all("Read-only file system" in line for line in in_a_line(done)), done.stderr
        assert "medians" not in done.stdout


def test_a_folder_that_becomes_immutable_under_a_sweep(tmp_path):
    """Root may not write it either; runs that have begun go on, those to come are refused one by one."""
    root = tmp_path / "results"
    runs = root / "runs/classification"
    with under_way(root) as child:
        until(lambda: all_lasting(root), child)
        system("chattr", "+i", runs)
        try:
            code = child.wait()
            errors = child.stderr
            assert code == 2, errors
            assert "Operation not permitted" in errors
            assert "Traceback" not in errors
            assert 0 < len(sound(root)) < RUNS
        finally:
            subprocess.run(["chattr", "-i", str(runs)], check=True)
    assert sweep(root).returncode == 0
    assert all_lasting(root) == undisturbed()
