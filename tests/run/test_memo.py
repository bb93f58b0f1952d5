"""What is remembered on disk: never an old answer for a file that changed, and no harm from a damaged or unwritable memory."""

from __future__ import annotations

import fcntl
import json
import os
import threading

import pytest

from bench.run import memo
from bench.run.store import LOCK, locked


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(memo, "FOLDER", tmp_path / "cache")
    return tmp_path / "cache"


def first_line(path):
    return path.read_text()


def test_a_file_that_changed_is_looked_at_again_though_its_time_was_set_back(folder, tmp_path):
    path = tmp_path / "a.py"
    path.write_text("1")
    status = path.stat()
    assert memo.OfFiles("x", "1", first_line)(path) == "1"
    path.write_text("2")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    of_files = memo.OfFiles("x", "1", first_line)
    assert of_files(path) == "2"
    of_files.save()
    assert memo.OfFiles("x", "1", lambda path: "asked again")(path) == "2"


@pytest.mark.parametrize("text", ["", "{", "[]", "5", "null", '{"key":"1"}', '{"key":"1","value":[]}', "[" * 100_000])
def test_a_damaged_memory_costs_time_alone(folder, tmp_path, text):
    path = tmp_path / "a.py"
    path.write_text("1")
    folder.mkdir()
    (folder / "x.json").write_text(text)
    assert memo.OfFiles("x", "1", first_line)(path) == "1"
    (folder / "x.json").write_text(json.dumps({"key": "1", "value": {str(path): 5}}))
    assert memo.OfFiles("x", "1", first_line)(path) == "1"


def test_a_memory_that_cannot_be_written(folder):
    folder.write_text("a file where the folder should be")
    memo.keep("jobs/x", "1", 5)
    assert memo.read("jobs/x", "1") is None


def test_a_lock_that_was_deleted_meanwhile_is_taken_anew(tmp_path):
    """Who waits for a run that is deleted holds the lock of a new folder, not of one that nobody else sees."""
    run, waiting, entered, found = tmp_path / "seed0", threading.Event(), threading.Event(), []

    def waiter():
        with locked(run, lambda line: waiting.set()):
            found.append((run / LOCK).exists())
            entered.set()

    thread = threading.Thread(target=waiter)
    run.mkdir()
    with open(run / LOCK, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        thread.start()
        assert waiting.wait(10)
        (run / LOCK).unlink()
        run.rmdir()
    assert entered.wait(10)
    thread.join()
    assert found == [True]
