"""A sweep under way, seen from outside: wait for it, its checkpoints, what is lasting of its results."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from conftest import result_of


def until(condition: Callable[[], object], child: subprocess.Popen[str] | None = None, seconds: float = 240.0) -> None:
    """Wait for it while `child` runs."""
    end = time.monotonic() + seconds
    while not condition():
        assert child is None or child.poll() is None, child.communicate()
        assert time.monotonic() < end, "waited for too long"
        time.sleep(0.01)


def checkpoints(root: Path) -> list[Path]:
    return list((root / "runs").glob("*/*/seed*/checkpoint.pt"))


def lasting(folder: Path) -> dict:
    """Of a run's result and its curve what does not depend on when and where it was computed."""
    result = result_of(folder)
    result.pop("measured"), result.pop("checksum")
    return {"result": result, "curve": (folder / "metrics.jsonl").read_bytes()}


def all_lasting(root: Path) -> dict[str, dict]:
    """The same of every result, by folder."""
    done = sorted(path.parent for path in (root / "runs").glob("*/*/seed*/result.json"))
    return {str(folder.relative_to(root)): lasting(folder) for folder in done}
