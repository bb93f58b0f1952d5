"""Files of data, read whole and within bounds."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from bench.errors import UserError

LIMIT = 1 << 28  # bytes; the largest file of a data set here has 154 million


def damaged(path: Path, reason: object) -> UserError:
    """The one line for a file that cannot be what it should be."""
    return UserError(f"{path} is damaged: {' '.join(str(reason).split())}; remove it and fetch it again")


def contents(path: Path) -> bytes:
    """A file's bytes, decompressed where its name ends in .gz.

    Raises:
        UserError: it is empty, no whole gz, not readable, or more than LIMIT bytes, of which no more are decompressed.
    """
    try:
        if path.suffix != ".gz" and path.stat().st_size > LIMIT:
            raise damaged(path, f"{path.stat().st_size:,} bytes, more than {LIMIT:,}")
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            content = file.read(LIMIT + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise damaged(path, error) from None
    if len(content) > LIMIT:
        raise damaged(path, f"more than {LIMIT:,} bytes when decompressed")
    if not content:
        raise damaged(path, "it is empty")
    return content
