"""Claims about a table, registered before the runs: a registry beside the file of claims, chained and counted as conf/registry.jsonl is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.errors import UserError
from bench.judge.archive import Record
from bench.judge.groups import label
from bench.judge.reach import too_few
from bench.judge.registration import Standing, append, head, name_of, registrations, side_of
from bench.judge.table_claims import Sheet
from bench.run.registry import Registration, digest_of_line, line_of, seeds_of

SCALE = "table"


def registry_of(claims: Path) -> Path:
    """claims.registry.jsonl beside claims.yaml."""
    return claims.with_suffix(".registry.jsonl")


def register_table(sheet: Sheet, path: Path) -> tuple[bool, Registration]:
    """Append a line that holds all claims, unless the last one holds them as they are.

    Returns:
        Whether a line was added, and the registration in force: its seeds are those to run.

    Raises:
        UserError: a claim that so many seeds cannot decide.
    """
    entries = registrations(path)
    checks = {digest(sheet, name): sheet.registered(name) for name in sheet.claims}
    count = sheet.content.seeds
    if entries and entries[-1].checks == checks and entries[-1].seeds == count:
        return False, entries[-1]
    attempt = len(entries) + 1  # each line is another attempt, whatever its claims are called
    for name, claim in sheet.claims.items():
        if problem := too_few(claim, count, side_of(attempt)):
            raise UserError(f"{sheet.at(['claims', name])}: claims.{name}: {problem}; say so, as seeds: N")
    jobs = sorted({label(where) for c in sheet.claims.values() for each in c.checks() for where in each.groups()})
    experiment = path.name.removesuffix(".registry.jsonl")
    content: dict[str, Any] = {"experiment": experiment, "scales": [SCALE], "seeds": count, "jobs": jobs}
    text = line_of(content | {"checks": checks, "attempt": attempt, "previous": head(entries)})
    append(path, text)
    content |= {"scales": (SCALE,), "jobs": tuple(jobs)}
    return True, Registration(
        **content, checks=checks, attempt=attempt, previous=head(entries), digest=digest_of_line(text)
    )


def digest(sheet: Sheet, name: str) -> str:
    """The name of a claim's check in the registry."""
    return name_of(sheet.registered(name))


def standing(sheet: Sheet, name: str, runs: Sequence[Record], entries: Sequence[Registration]) -> Standing:
    """What a claim's verdict stands on: registered seeds alone and all of them, or else it is exploratory."""
    if not entries:
        return Standing(False, "not registered", runs)
    entry = entries[-1]
    if digest(sheet, name) not in entry.checks:
        return Standing(False, "its check is not the registered one", runs)
    seeds = set(seeds_of(entry.digest, entry.seeds))
    counted = [r for r in runs if r.seed in seeds]
    if not counted:
        return Standing(False, "none of its seeds is a registered one", runs)
    whole = len(seeds) * len({r.key for r in runs})
    lacking = whole - len({(r.key, r.seed) for r in counted})
    left = f"{lacking} of {whole} registered runs are not there" if lacking else ""
    return Standing(True, f"attempt {entry.attempt}", counted, entry.attempt, left)


def withdrawn(sheet: Sheet, entries: Sequence[Registration]) -> list[str]:
    """What was registered and no claim says any more: a claim that failed cannot just go away."""
    now = {digest(sheet, name) for name in sheet.claims}
    found = {key: line_of(check["check"]) for e in entries for key, check in e.checks.items() if key not in now}
    return list(found.values())
