"""The checkpoint of a session: one file with a checksum, replaced atomically, read back with tensors and plain values alone."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bench.errors import UserError
from bench.run.atomic import set_aside, write_atomic

HEAD = b"claimbench checkpoint 2 %s\n"  # then what torch.save writes, whose sha256 stands in it


@dataclass
class Checkpoint:
    """Where a session stands: whose it is, what is on disk of its curves, its counters, and the task's own state.

    forced: of an attempt with force=true, which goes on from nothing that was there before.
    """

    key: str
    code: str
    precision: str
    forced: bool
    seeds: list[int]
    curves: list[dict[str, Any]]
    latest: list[dict[str, Any]]
    elapsed: float
    gradient_evaluations: list[int]
    examples: int
    state: dict[str, Any]


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Replace the file at `path`."""
    packed = io.BytesIO()  # torch.save on a full disk hides the reason; a plain write tells it
    torch.save(vars(checkpoint), packed)
    content = packed.getbuffer()
    write_atomic(path, lambda file: file.writelines((_head(content), content)))


def read_checkpoint(path: Path, device: torch.device, report: Callable[[str], None]) -> Checkpoint | None:
    """The checkpoint at `path` with its tensors on `device`, or None. A damaged one is moved aside and reported.

    Raises:
        UserError: a folder stands in its place.
    """
    try:
        head, _, content = path.read_bytes().partition(b"\n")
        if head + b"\n" != _head(content):
            raise ValueError("not what its checksum says")
        return Checkpoint(**torch.load(io.BytesIO(content), map_location=device, weights_only=True))
    except FileNotFoundError:
        return None
    except IsADirectoryError:
        raise UserError(f"{path}: a folder stands where the runner writes a file; move it away") from None
    except Exception as error:  # of other code, or written by something else: torch.load raises many kinds
        reason = str(error).splitlines()[0] if isinstance(error, ValueError) else error.__class__.__name__
        report(f"{path} is damaged ({reason}); moved to {set_aside(path).name}, starting afresh")
        return None


def _head(content: bytes | memoryview) -> bytes:
    return HEAD % hashlib.sha256(content).hexdigest().encode()
