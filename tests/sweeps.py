"""A sweep under way, seen from outside: wait for it, its checkpoints, what is lasting of its results."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path


def until(condition: Callable[[], object], child: subprocess.Popen[str] | None = None, seconds: float = 240.0) -> None:
    """Wait for it while `child` runs."""
    end = time.monotonic() + seconds
    while not condition():
        assert child is None or child.poll() is None, child.communicate()
        assert time.monotonic() < end, "waited for too long"
        time.sleep(0.01)


def checkpoints(root: Path) -> list[Path]:
    return list((root / "runs").glob("*/*/seed*/checkpoint.pt"))


def lasting(root: Path) -> dict[str, dict]:
    """Of each result and its curve what does not depend on when and where it was computed, by folder."""
    found = {}
    for path in sorted((root / "runs").glob("*/*/seed*/result.json")):
        result = json.loads(path.read_text())
        result.pop("measured"), result.pop("checksum")
        curve = (path.parent / "metrics.jsonl").read_text()
        found[str(path.parent.relative_to(root))] = {"result": result, "curve": curve}
    return found
