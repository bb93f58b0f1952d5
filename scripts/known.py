"""Measure known data files: `python scripts/known.py DATA [NAME ...]` writes bytes, shape, labels, counts and sha256 of the files of
datasets/known.yaml that lie below DATA (or in site-packages), all or those named, into their entries.

An entry is written by hand: its set and role, the function of its facts, published digests, and `null` for each number to be measured;
a number that it does not have is not measured. Digests that are not sha256, and entries without a file here, stay as they are.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import yaml

from bench.errors import UserError, nearest
from bench.run.cli import one_line
from bench.run.datafiles import path_here
from bench.run.known import MANIFEST, Known, content, digests_of, facts_of
from bench.run.parser import Parser

MEASURED = ("bytes", "shape", "labels", "counts")
LARGEST = 1 << 32  # bytes


def main() -> int:
    """The program; returns its exit code."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    text = MANIFEST.read_text(encoding="utf-8")
    entries = yaml.safe_load(text)
    for name in args.names:
        if name not in entries:
            raise UserError(f"{name}: no entry of {MANIFEST.name}{nearest(name, entries)}")
    for name in args.names or entries:
        if path := _file(name, args.data):
            entries[name] = _measured(name, path, entries[name])
    head = [line for line in text.splitlines() if line.startswith("#")]
    MANIFEST.write_text("\n".join([*head, *map(_entry, entries, entries.values())]) + "\n", encoding="utf-8")
    return 0


def _file(name: str, data: Path) -> Path | None:
    """Where a known file lies on this machine, plain or as .gz."""
    return next((path for end in ("", ".gz") if (path := path_here(f"{name}{end}", data)) is not None), None)


def _measured(name: str, path: Path, entry: dict[str, Any]) -> dict[str, Any]:
    """The entry with what its file is: the digest that a published one does not stand for already, and the numbers."""
    data = content(path, LARGEST)
    found = {digest.partition(":")[0]: digest for digest in digests_of(data)}
    kept = [digest for digest in entry["digests"] if not digest.startswith(("sha256:", "text:"))]
    ours = "text" if any(digest.startswith("text:") for digest in entry["digests"]) else "sha256"
    digests = kept if set(kept) & set(found.values()) else [*kept, found[ours]]
    facts = facts_of(Known(**{**entry, "digests": ()}), data)
    counts = facts.get("counts")
    if counts and len(set(counts.values())) == 1:
        counts = next(iter(counts.values()))
    numbers = {key: facts.get(key) for key in MEASURED if key in entry} | (
        {"counts": counts} if "counts" in entry else {}
    )
    print(f"{name}: {path}")
    return {**entry, **numbers, "digests": digests}


def _entry(name: str, entry: dict[str, Any]) -> str:
    lines = yaml.safe_dump({name: entry}, sort_keys=False, width=1000, default_flow_style=None, allow_unicode=True)
    return lines.rstrip("\n")


if __name__ == "__main__":
    sys.exit(one_line(main)())
