"""What is remembered on disk: never an old answer for a file that changed, and no harm from a damaged or unwritable memory."""

from __future__ import annotations

import json
import os
import threading

import pytest

from bench.run import memo
from bench.run.files import LOCK
from bench.run.locks import exclusive, locked


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
    job, waiting, entered, found = tmp_path / "job", threading.Event(), threading.Event(), []

    def waiter():
        with locked(job, [0], lambda line: waiting.set()):
            found.append((job / LOCK).exists() and (job / "seed0").is_dir())
            entered.set()

    thread = threading.Thread(target=waiter)
    job.mkdir()
    with exclusive(job, 0) as free:
        assert free
        thread.start()
        assert waiting.wait(10)
        (job / "seed0").rmdir()
        (job / LOCK).unlink()
        job.rmdir()
    assert entered.wait(10)
    thread.join()
    assert found == [True]
