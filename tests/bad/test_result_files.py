"""Damaged files of finished and stopped runs: what a re-run makes of each, and what a report reads of it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import pytest
from conftest import QUIET, result_of
from sweeps import lasting

from bench.errors import UserError
from bench.judge import gather
from bench.judge.own import read_jobs
from bench.judge.plan import Planned
from bench.run.compose import compose
from bench.run.curve import read_metrics
from bench.run.job import Job
from bench.run.result import load_result, text_of
from bench.run.runner import execute

SMALL = ["method=signsgd", "dataset=digits", "dataset.train_size=64", "dataset.test_size=32", "scale=smoke"]
DEEP = 100_000
Change = Callable[[bytes], bytes]


@dataclass(frozen=True)
class Case:
    """A file of seed 0 (or of its job), what happens to its content, and how it ends.

    rerun: "again" (moved aside, one line, computed again), "taken" (the result stands), "mended" (moved aside, written again, the result
    taken) or "refused" (one line). read: "left out" or "there". `change` None: a folder in its place.
    """

    file: str
    what: str
    change: Change | None
    rerun: str = "again"
    read: str = "left out"

    def __str__(self) -> str:
        return f"{self.file}-{self.what}"


def flipped(at: float, bit: int) -> Change:
    """One bit of the byte at this share of the file."""
    return lambda b: b[: (k := int(at * (len(b) - 1)))] + bytes([b[k] ^ 1 << bit]) + b[k + 1 :]


def cut(at: float) -> Change:
    return lambda b: b[: int(at * len(b))]


def sealed(**changes) -> Change:
    """Other content under a checksum that fits."""
    return lambda b: text_of(json.loads(b) | changes)


def measured(**changes) -> Change:
    return lambda b: text_of((r := json.loads(b)) | {"measured": r["measured"] | changes})


def edited(old: str, new: str) -> Change:
    """A regular expression replaced, as by hand."""
    return lambda b: re.sub(old, new, b.decode(), count=1).encode()


def without(name: str) -> Change:
    return lambda b: text_of({k: v for k, v in json.loads(b).items() if k != name})


JUNK = {
    "empty": lambda b: b"",
    "spaces": lambda b: b" \n\n",
    "zeros": lambda b: bytes(len(b)),
    "binary": lambda b: bytes(range(256)) * 4,
    "utf-16": lambda b: "text".encode("utf-16"),
    "deep lists": lambda b: b"[" * DEEP + b"]" * DEEP + b"\n",
    "deep mappings": lambda b: b'{"a":' * DEEP + b"1" + b"}" * DEEP + b"\n",
    "null": lambda b: b"null\n",
    "a list": lambda b: b"[1, 2]\n",
    "a number": lambda b: b"5\n",
    "a long number": lambda b: b"9" * 6000 + b"\n",
    "NaN": lambda b: b"NaN\n",
    "html": lambda b: b"<!doctype html><title>404</title>\n",
    "merge marks": lambda b: b"<<<<<<< HEAD\n" + b + b"=======\n" + b + b">>>>>>> other\n",
    "a pickle": lambda b: b"\x80\x04cos\nsystem\n(S'true'\ntR.\n",
}
TYPES = {
    "status": ["done", None, 1, ""],
    "seed": [1, -1, "0", 0.5, True, 10**30],
    "method": ["ssvr", None, 5],
    "task": ["inference", []],
    "dataset": ["mnist", {}],
    "key": ["0" * 64, None],
    "code": [None, 1],
    "precision": ["fp8", None],
    "metrics": [None, [], 1, "x", {"a": "0.9"}, {"a": [1, "b"]}, {"a": {"b": [{"c": ""}]}}],
    "data": [[], {"a": 1}, None],
    "curve": [None, [], {}],
    "measured": [None, [], 3, {}],
    "format": [1, 3, "2", None],
}
CASES = [
    *(Case("result.json", what, change) for what, change in JUNK.items()),
    *(Case("result.json", f"cut at {at}", cut(at)) for at in (0.01, 0.3, 0.6, 0.9, 0.999)),
    *(Case("result.json", f"bit {bit} at {at}", flipped(at, bit)) for at in (0, 0.15, 0.4, 0.7, 0.95) for bit in (0, 5)),
    *(Case("result.json", f"{k} {v!r}", sealed(**{k: v})) for k, values in TYPES.items() for v in values),
    *(Case("result.json", f"without {k}", without(k)) for k in TYPES if k != "data"),
    Case("result.json", "seconds -1", measured(wall_seconds=-1.0)),
    Case("result.json", "seconds text", measured(wall_seconds="1")),
    Case("result.json", "batch 0", measured(seeds_in_batch=0)),
    Case("result.json", "NaN by hand", edited(r'"train_loss": [^,]+', '"train_loss": NaN')),
    Case("result.json", "Infinity by hand", edited(r'"train_loss": [^,]+', '"train_loss": Infinity')),
    Case("result.json", "1e999 by hand", edited(r'"train_loss": [^,]+', '"train_loss": 1e999')),
    Case("result.json", "accuracy by hand", edited(r'"test_accuracy": [^,]+', '"test_accuracy": 0.99')),
    Case("result.json", "without a checksum", edited(r',\n  "checksum": "\w+"', "")),
    Case("result.json", "another checksum", edited(r'"checksum": "\w{8}', '"checksum": "00000000')),
    Case("result.json", "lines of Windows", lambda b: b.replace(b"\n", b"\r\n")),
    Case("result.json", "a tail", lambda b: b + b"\n"),
    Case("result.json", "a second value", lambda b: b + b),
    Case("result.json", "of seed 1", None),
    Case("result.json", "a folder", None, "refused"),
    Case("result.json", "gone", None, "again", "no result"),
    *(Case("metrics.jsonl", what, change) for what, change in JUNK.items()),
    *(Case("metrics.jsonl", f"cut at {at}", cut(at)) for at in (0.01, 0.5, 0.99)),
    *(Case("metrics.jsonl", f"bit {bit} at {at}", flipped(at, bit)) for at in (0, 0.3, 0.6, 1) for bit in (0, 2, 6)),
    Case("metrics.jsonl", "without its last row", lambda b: b"".join(b.splitlines(keepends=True)[:-1])),
    Case("metrics.jsonl", "without its first row", lambda b: b"".join(b.splitlines(keepends=True)[1:])),
    Case("metrics.jsonl", "rows swapped", lambda b: b"".join(b.splitlines(keepends=True)[::-1])),
    Case("metrics.jsonl", "a row twice", lambda b: b + b.splitlines(keepends=True)[-1]),
    Case("metrics.jsonl", "a number changed", edited(r'"train_loss": (\d)', r'"train_loss": 9')),
    Case("metrics.jsonl", "of seed 1", None),
    Case("metrics.jsonl", "a folder", None, "refused"),
    Case("metrics.jsonl", "gone", None),
    *(Case("env.json", what, change, "taken", "there") for what, change in JUNK.items()),
    Case("env.json", "gone", None, "taken", "there"),
    Case("env.json", "a folder", None, "refused", "there"),
    *(
        Case("config.yaml", what, change, "mended")
        for what, change in JUNK.items()
    ),
    Case("config.yaml", "cut", cut(0.6), "mended"),
    Case("config.yaml", "a value changed", edited(r"lr: [\d.e-]+", "lr: 0.5"), "mended"),
    Case("config.yaml", "another key", edited(r"key: \w{4}", "key: 0000"), "mended"),
    Case("config.yaml", "a tag", lambda b: b"names: !!python/object/apply:os.system [true]\n" + b, "mended"),
    Case("config.yaml", "a folder", None, "refused"),
    Case("lock", "binary", lambda b: bytes(64), "taken", "there"),
    Case("lock", "a folder", None, "refused", "there"),
    Case("lock", "gone", None, "taken", "there"),
]  # fmt: skip


@cache
def composed() -> Job:
    return compose(*SMALL, "task.epochs=3", "seeds=[0,1]", *QUIET)


def made(root: Path) -> Job:
    settings = composed().settings.model_copy(update={"results_root": str(root)})
    return replace(composed(), settings=settings)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("finished")
    assert execute(made(root)).failures == {}
    return root


def damage(folder: Path, case: Case) -> Path:
    """Do it to the file of a case; its path."""
    path = (folder.parent if case.file in ("config.yaml", "lock") else folder) / case.file
    if case.change is not None:
        path.write_bytes(case.change(path.read_bytes()))
    elif case.what == "of seed 1":
        shutil.copy(folder.parent / "seed1" / case.file, path)
    else:
        path.unlink()
        if case.what == "a folder":
            path.mkdir()
    return path


def test_there_are_enough_of_each():
    assert len({str(case) for case in CASES}) == len(CASES) >= 100
    assert {case.file for case in CASES} == {"result.json", "metrics.jsonl", "env.json", "config.yaml", "lock"}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_rerun(case, finished, tmp_path, capsys):
    root = shutil.copytree(finished, tmp_path / "results")
    job = made(root)
    expected = lasting(finished / job.folder.relative_to(root) / "seed0")
    path = damage(job.folder / "seed0", case)
    content = path.read_bytes() if path.is_file() else None
    if case.rerun == "refused":
        with pytest.raises(UserError, match=re.escape(f"{path}: a folder stands where")) as error:
            execute(job)
        assert "\n" not in str(error.value)
        return
    outcome = execute(job)
    assert outcome.failures == {}
    assert (0 in outcome.taken) == (case.rerun != "again")
    assert 1 in outcome.taken, "the other seed is left alone"
    said = [line for line in capsys.readouterr().err.splitlines() if "damaged" in line]
    aside = path.with_name(f"{path.name}.corrupt-1")
    moved = case.rerun != "taken" and content is not None
    assert aside.exists() == moved
    if moved:
        assert aside.read_bytes() == content, "nothing is deleted"
        assert len(said) == 1
        assert str(path) in said[0]
        assert "computing it again" in said[0] or case.rerun == "mended"
    assert lasting(job.folder / "seed0") == expected
    assert execute(made(root)).taken == {0, 1}, "it is whole again"
    assert list(read_jobs(root, pytest.fail))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_reading_for_a_report(case, finished, tmp_path):
    root = shutil.copytree(finished, tmp_path / "results")
    job = made(root)
    path = damage(job.folder / "seed0", case)
    before = {p: p.read_bytes() for p in root.rglob("*") if p.is_file()}
    said: list[str] = []
    found = {}
    for own in read_jobs(root, said.append):
        for run in own.runs:
            if run.result is not None:
                try:
                    read_metrics(run.folder, run.result["curve"])
                except ValueError as error:
                    said.append(str(error))
                else:
                    found[run.seed] = run.result
    whole = 1 if case.file == "config.yaml" and case.read == "left out" else 0
    assert set(found) == ({0, 1} if case.read == "there" else set() if whole else {1})
    assert len(said) == (case.read == "left out")
    assert all(str(path.parent) in line and "\n" not in line for line in said)
    assert {p: p.read_bytes() for p in root.rglob("*") if p.is_file()} == before, "who reads changes nothing"


@pytest.mark.parametrize("case", [c for c in CASES if c.file in ("metrics.jsonl", "env.json")], ids=str)
def test_the_archive_goes_on_without_it(case, finished, tmp_path):
    root = shutil.copytree(finished, tmp_path / "results")
    job = made(root)
    path = damage(job.folder / "seed0", case)
    said: list[str] = []
    results = {seed: result_of(job.seed_folder(seed)) for seed in (0, 1)}
    planned = [Planned("ssvr/digits", "smoke", job, seed, "done", result) for seed, result in results.items()]
    zero, one = gather.collect(planned, report=said.append)
    assert one.ended
    assert zero.ended == (case.file == "env.json")
    assert len(said) == (case.what != "gone" or case.file == "metrics.jsonl")
    assert all(str(path) in line and "\n" not in line for line in said)


OLDER = [
    ("as it was", lambda r: r, True),
    ("accuracy as text", lambda r: r | {"metrics": {"test_accuracy": "0.9"}}, False),
    ("a list", lambda r: r | {"measured": []}, False),
    ("another seed", lambda r: r | {"seed": 1}, False),
    ("with a checksum", lambda r: r | {"checksum": "0" * 64}, False),
]


@pytest.mark.parametrize(("what", "change", "sound"), OLDER)
def test_results_from_before_checksums(what, change, sound, finished, tmp_path, capsys):
    root = shutil.copytree(finished, tmp_path / "results")
    job = made(root)
    folder = job.seed_folder(0)
    result = {k: v for k, v in result_of(folder).items() if k not in ("format", "curve", "checksum")}
    (folder / "result.json").write_text(json.dumps(change(result), indent=2) + "\n")
    if sound:
        assert load_result(folder, job.key, job.names)["metrics"] == result["metrics"]
    taken = execute(job).taken
    assert (0 in taken) == sound
    assert ("damaged" in capsys.readouterr().err) == (not sound)


CHECKPOINTS = [
    *JUNK.items(),
    *((f"cut at {at}", cut(at)) for at in (0.001, 0.2, 0.5, 0.99, 0.9999)),
    *((f"bit {b} at {a}", flipped(a, b)) for a in (0, 0.001, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 1) for b in (0, 3, 7)),
    ("without its head", lambda b: b.partition(b"\n")[2]),
    ("a tail", lambda b: b + b"\n"),
]  # fmt: skip


class Halted(Exception):
    """Stands for a kill right after a checkpoint."""


@pytest.fixture(scope="module")
def stopped(finished, tmp_path_factory) -> Path:
    """The same job, where seed 0 was killed after its first checkpoint."""
    from bench.run.session import Session

    root = shutil.copytree(finished, tmp_path_factory.mktemp("stopped") / "results")
    job = made(root)
    (job.seed_folder(0) / "result.json").unlink()
    save = Session.save

    def save_and_halt(self, state) -> None:
        save(self, state)
        raise Halted

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Session, "save", save_and_halt)
        patch.setattr(Session, "due", lambda self: self.runs[0].latest != {})
        assert "Halted" in execute(job).failures[0]
    assert (job.seed_folder(0) / "checkpoint.pt").exists()
    assert (job.seed_folder(0) / "metrics.jsonl").read_bytes()
    return root


@pytest.mark.parametrize(("what", "change"), CHECKPOINTS)
def test_a_damaged_checkpoint_starts_afresh(what, change, stopped, finished, tmp_path, capsys):
    root = shutil.copytree(stopped, tmp_path / "results")
    job = made(root)
    path = job.seed_folder(0) / "checkpoint.pt"
    path.write_bytes(damaged := change(path.read_bytes()))
    assert execute(job).failures == {}
    said = capsys.readouterr().err.splitlines()
    assert len([line for line in said if str(path) in line and "starting afresh" in line]) == 1
    assert path.with_name("checkpoint.pt.corrupt-1").read_bytes() == damaged
    assert lasting(job.seed_folder(0)) == lasting(finished / job.folder.relative_to(root) / "seed0")


@pytest.mark.parametrize("change", [*JUNK.values(), cut(0.5), flipped(0, 0), flipped(0.5, 1), lambda b: b"{]\n" + b])
def test_a_damaged_curve_before_the_checkpoint_starts_afresh(change, stopped, finished, tmp_path, capsys):
    root = shutil.copytree(stopped, tmp_path / "results")
    job = made(root)
    path = job.seed_folder(0) / "metrics.jsonl"
    path.write_bytes(damaged := change(path.read_bytes()))
    assert execute(job).failures == {}
    said = capsys.readouterr().err.splitlines()
    assert len([line for line in said if str(path) in line and "starting afresh" in line]) == 1
    assert path.with_name("metrics.jsonl.corrupt-1").read_bytes() == damaged
    assert lasting(job.seed_folder(0)) == lasting(finished / job.folder.relative_to(root) / "seed0")


def test_a_sound_checkpoint_goes_on(stopped, finished, tmp_path, capsys):
    root = shutil.copytree(stopped, tmp_path / "results")
    job = made(root)
    assert execute(job).failures == {}
    assert "resuming" in capsys.readouterr().err
    assert lasting(job.seed_folder(0)) == lasting(finished / job.folder.relative_to(root) / "seed0")


def test_a_folder_in_place_of_the_checkpoint(stopped, tmp_path):
    root = shutil.copytree(stopped, tmp_path / "results")
    path = made(root).seed_folder(0) / "checkpoint.pt"
    path.unlink()
    path.mkdir()
    with pytest.raises(UserError, match=re.escape(str(path))):
        execute(made(root))
