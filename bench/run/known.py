"""Is a file the one that its name says? datasets/known.yaml describes published data files; data sets are known by it alone."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from bench.errors import in_one_line
from bench.run.memo import OfFiles, digest_of_files
from bench.run.options import read_yaml
from bench.run.paths import ROOT

MANIFEST = ROOT / "datasets" / "known.yaml"
ALGORITHMS = ("md5", "sha1", "sha256")
SMALL = 1 << 23  # bytes up to which the lines of a file have a digest too
CURE = "fetch it again, or dataset.verify=false to use it as it is"


@dataclass(frozen=True)
class Known:
    """A published file. `digests` are `algorithm:hex` of its content, decompressed, in any of its published forms.

    Attributes:
        set, role: `CIFAR-10` and `training images, batch 1 of 5`.
        facts: dotted path of a function of a content (bytes) that gives its shape, labels and counts, or raises ValueError.
        bytes: of the content.
        labels: the smallest and the largest.
        counts: by label; one number where all labels have as many.
    """

    set: str
    role: str
    digests: tuple[str, ...]
    facts: str | None = None
    bytes: int | None = None
    shape: list[int] | None = None
    labels: list[int] | None = None
    counts: dict[int, int] | int | None = None

    @property
    def title(self) -> str:
        return f"{self.set}'s {self.role}"


@cache
def manifest() -> dict[str, Known]:
    """Known files by name, without a .gz at its end: below data_root, or `wheel:<path below site-packages>`."""
    return {n: Known(**{**entry, "digests": tuple(entry["digests"])}) for n, entry in read_yaml(MANIFEST).items()}


def is_known(name: str, path: Path) -> bool | None:
    """Is the file at `path` what the manifest calls `name`? None: the manifest has no such name, or there is no such file."""
    entry = _entry(name)
    if entry is None or not path.is_file():
        return None
    return not set(entry.digests).isdisjoint(_found(path).get("digests", ()))


def difference(name: str, path: Path) -> str | None:
    """One line that says in what the file at `path` is not the one that its name says, and what to do; None where there is nothing to say."""
    entry = _entry(name)
    if entry is None or is_known(name, path) is not False:
        return None
    found = _found(path)
    _answers().save()
    if "damaged" in found:
        return f"{path} is not {entry.title}: it is damaged ({found['damaged']}); {CURE}"
    other = next((n for n, k in manifest().items() if not set(k.digests).isdisjoint(found.get("digests", ()))), None)
    said = _facts_differ(entry, path, found)
    if other is not None:
        said.append(f"it is {manifest()[other].title} ({Path(other).name})")
    return f"{path} is not {entry.title}: {'; '.join(said or ['same size and labels, other content'])}; {CURE}"


def content(path: Path, limit: int) -> bytes:
    """At most limit + 1 bytes of a file, decompressed where its name ends in .gz.

    Raises:
        OSError, EOFError, zlib.error: it cannot be read, or is no whole gz.
    """
    with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
        return file.read(limit + 1)


def digests_of(data: bytes) -> list[str]:
    """`algorithm:hex` of a content; `text:` is over its lines, whatever line ends and white space lie around their words."""
    found = [f"{name}:{hashlib.new(name, data, usedforsecurity=False).hexdigest()}" for name in ALGORITHMS]
    if len(data) <= SMALL:
        lines = (b" ".join(line.split()) for line in data.splitlines())
        text = b"\n".join(filter(None, lines))
        found.append(f"text:{hashlib.sha256(text).hexdigest()}")
    return found


def facts_of(entry: Known, data: bytes) -> Mapping[str, Any]:
    """bytes, and what the entry's function says of the content.

    Raises:
        ValueError: the content is not of this kind at all.
    """
    found: dict[str, Any] = {"bytes": len(data)}
    if entry.facts is not None:
        module, _, function = entry.facts.rpartition(".")
        found |= getattr(import_module(module), function)(data)
    return found


def _entry(name: str) -> Known | None:
    return manifest().get(name.removesuffix(".gz"))


@cache
def _limit() -> int:
    return max(entry.bytes or 0 for entry in manifest().values())


@cache
def _answers() -> OfFiles:
    return OfFiles("known", digest_of_files("datasets/known.yaml", "bench/run/known.py"), _identity)


def _found(path: Path) -> dict[str, Any]:
    """What `_identity` says; what keeps a file from being read now is not kept for the next time."""
    try:
        return _answers()(path)
    except OSError as error:
        return {"damaged": error.strerror or str(error)}


def _identity(path: Path) -> dict[str, Any]:
    """{bytes, digests}, {over: True} for what is larger than every known file, or {damaged: why}."""
    if path.suffix != ".gz" and path.stat().st_size > _limit():
        return {"over": True}
    try:
        data = content(path, _limit())
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        return {"damaged": in_one_line(error)}
    return {"over": True} if len(data) > _limit() else {"bytes": len(data), "digests": digests_of(data)}


def _facts_differ(entry: Known, path: Path, found: Mapping[str, Any]) -> list[str]:
    """What is first seen to be other than the entry says; empty: nothing is."""
    if "over" in found:
        size = f"{entry.bytes:,} bytes" if entry.bytes else "at most that"
        return [f"more than {_limit():,} bytes instead of {size}"]
    if found["bytes"] == 0:
        return ["it is empty"]
    try:
        facts = facts_of(entry, content(path, _limit()))
    except ValueError as error:
        other = entry.bytes not in (None, found["bytes"])
        return [str(error) + (f" ({found['bytes']:,} bytes instead of {entry.bytes:,})" if other else "")]
    if entry.shape is not None and facts.get("shape", entry.shape) != entry.shape:
        return [f"{_product(facts['shape'])} instead of {_product(entry.shape)}"]
    if entry.labels is not None and facts.get("labels", entry.labels) != entry.labels:
        return [f"labels {_range(facts['labels'])} instead of {_range(entry.labels)}"]
    if entry.counts is not None and (line := _counts_differ(entry.counts, facts.get("counts"))):
        return [line]
    if entry.bytes is not None and facts["bytes"] != entry.bytes:
        return [f"{facts['bytes']:,} bytes instead of {entry.bytes:,}"]
    return []


def _counts_differ(wanted: dict[int, int] | int, found: dict[int, int] | None) -> str | None:
    """The label whose number is furthest off."""
    if found is None:
        return None
    known = wanted if isinstance(wanted, dict) else dict.fromkeys(found, wanted)
    off = {label: abs(known.get(label, 0) - found.get(label, 0)) for label in (*known, *found)}
    label = max(off, key=lambda one: off[one])
    return (
        f"label {label} occurs {found.get(label, 0):,} times instead of {known.get(label, 0):,}" if off[label] else None
    )


def _product(shape: list[int]) -> str:
    return " x ".join(f"{size:,}" for size in shape)


def _range(labels: list[int]) -> str:
    return f"{labels[0]} to {labels[1]}" if labels[0] != labels[1] else f"{labels[0]} alone"
