"""What a person is told of a file that cannot be written."""

from __future__ import annotations

import errno
from pathlib import Path

from bench.run.atomic import cannot_write


def test_an_error_of_the_system_tells_its_reason(tmp_path: Path):
    error = OSError(errno.EROFS, "Read-only file system", str(tmp_path / "a"))
    assert cannot_write(error, "x") == f"cannot write {tmp_path / 'a'}: Read-only file system"


def test_a_full_disk_says_what_to_do():
    assert cannot_write(OSError(errno.ENOSPC, "No space left on device"), "x").endswith(
        "x: No space left on device; free some space and run the same command again"
    )


def test_an_error_raised_with_a_text_alone_tells_the_text():
    assert cannot_write(OSError("the file\nended early"), "x") == "cannot write x: the file ended early"
