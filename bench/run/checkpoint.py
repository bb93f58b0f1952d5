"""The checkpoint of a session: one file, replaced atomically, read back with tensors and plain values alone."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bench.run.store import set_aside, write_atomic


@dataclass
class Checkpoint:
    """Where a session stands: whose it is, what is on disk of its curves (bytes), its counters, and the task's own state."""

    key: str
    code: str
    seeds: list[int]
    offsets: list[int]
    latest: list[dict[str, Any]]
    elapsed: float
    gradient_evaluations: list[int]
    examples: int
    state: dict[str, Any]


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Replace the file at `path`."""
    packed = io.BytesIO()  # torch.save on a full disk hides the reason; a plain write tells it
    torch.save(vars(checkpoint), packed)
    write_atomic(path, lambda file: file.write(packed.getbuffer()))


def read_checkpoint(path: Path, device: torch.device, report: Callable[[str], None]) -> Checkpoint | None:
    """The checkpoint at `path` with its tensors on `device`, or None. A damaged one is moved aside and reported."""
    if not path.exists():
        return None
    try:
        return Checkpoint(**torch.load(io.BytesIO(path.read_bytes()), map_location=device, weights_only=True))
    except Exception as error:  # torch.load raises many kinds on a damaged file
        report(f"{path} is damaged ({error.__class__.__name__}); moved to {set_aside(path).name}, starting afresh")
        return None
