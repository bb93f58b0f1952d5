"""conf/registry.jsonl: which seeds judge an experiment. They follow from what was registered about it, so that no one chooses them.

A line a registration, added and never changed: each holds the digest of the one before. bench.judge.registration writes them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from bench.errors import UserError
from bench.run.paths import CONF

REGISTRY = CONF / "registry.jsonl"
START = "0" * 64  # what the first line follows
KEYS = {"experiment", "scales", "seeds", "jobs", "checks", "attempt", "previous"}


@dataclass(frozen=True)
class Registration:
    """A line: the experiment, the scales that its jobs serve, how many seeds, the jobs' keys, the checks by their digest, and which attempt it is.

    digest: of the line; the seeds follow from it.
    """

    experiment: str
    scales: tuple[str, ...]
    seeds: int
    jobs: tuple[str, ...]
    checks: dict[str, Any]
    attempt: int
    previous: str
    digest: str

    @property
    def judged(self) -> list[int]:
        """The seeds."""
        return seeds_of(self.digest, self.seeds)


def seeds_of(digest: str, count: int) -> list[int]:
    """Distinct seeds below 2^31 from a digest; more of them begin with the same ones."""
    found: dict[int, None] = {}
    k = 0
    while len(found) < count:
        found[int.from_bytes(hashlib.sha256(f"{digest} {k}".encode()).digest()[:4]) >> 1] = None
        k += 1
    return list(found)


def line_of(content: dict[str, Any]) -> str:
    """The text of a line, without its end."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest_of_line(text: str) -> str:
    """64 hex digits."""
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def _parsed(path: Path, size: int, changed: int) -> tuple[Registration, ...]:
    found: list[Registration] = []
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        where = f"{path.name}, line {number}"
        try:
            content = json.loads(text)
        except ValueError:
            raise UserError(f"{where}: is no line of JSON; restore the file from git") from None
        if not isinstance(content, dict) or set(content) != KEYS:
            raise UserError(f"{where}: is no registration; restore the file from git")
        if content["previous"] != (found[-1].digest if found else START):
            raise UserError(
                f"{where}: does not follow the line before it: lines are added, never changed; restore the file from git"
            )
        content |= {"scales": tuple(content["scales"]), "jobs": tuple(content["jobs"])}
        found.append(Registration(**content, digest=digest_of_line(text)))
    return tuple(found)


def registrations(path: Path | None = None) -> tuple[Registration, ...]:
    """Every registration, oldest first; none where there is no file.

    Raises:
        UserError: a line was changed, or taken out of the middle.
    """
    path = path or REGISTRY
    try:
        status = path.stat()
    except FileNotFoundError:
        return ()
    return _parsed(path, status.st_size, status.st_mtime_ns)


def in_force(experiment: str, scale: str, entries: Sequence[Registration] | None = None) -> Registration | None:
    """The last registration of an experiment at a scale."""
    found = registrations() if entries is None else entries
    return next((e for e in reversed(found) if e.experiment == experiment and scale in e.scales), None)


def judged_seeds(experiment: str | None, scale: str, count: int) -> list[int]:
    """The registered seeds of an experiment, where so many are registered at the scale; else 0, 1, 2, ..., on which nothing is confirmed."""
    found = in_force(experiment, scale) if experiment else None
    return found.judged if found is not None and found.seeds == count else list(range(count))
