"""The manifest of known files: every data set's files stand in it, true ones are known, and numbers agree with the files."""

from __future__ import annotations

import gzip
import os
import re
import subprocess
import sys
from pathlib import Path

import forks
import pytest
from conftest import DATA, ROOT
from data_layouts import put

from bench.errors import UserError
from bench.run import known
from bench.run.known import content, difference, digests_of, facts_of, is_known, manifest
from bench.run.signature import signature

DIGEST = re.compile(r"(md5:[0-9a-f]{32}|sha1:[0-9a-f]{40}|(sha256|text):[0-9a-f]{64})")
SETS = {  # how many files a data set is made of, with a method of its task
    "signsgd": {"digits": 1, "cifar10": 7, "cifar100": 3, "mnist": 4},
    "ngvi": {"breast_cancer": 1, "diabetes": 2, "energy": 1, "bike": 1, "mushrooms": 1},
    "doubly_sgd": {"digits_mixup": 1, "logistic_a9a": 1, "logistic_mushrooms": 1},
    "egab_n": {"djia": 1, "nyse_o": 1},
    "sava": {"digits_noisy": 1, "cifar10_noisy": 7},
}


def place(name: str) -> Path | None:
    """Where a known file lies on this machine."""
    from bench.run.datafiles import site

    kind, _, rest = name.rpartition(":")
    folders = [DATA] if not kind else map(Path, site.getsitepackages())
    return next((path for f in folders for end in ("", ".gz") if (path := f / f"{rest}{end}").is_file()), None)


def test_an_entry_is_whole_and_no_two_files_have_one_digest():
    seen: dict[str, str] = {}
    for name, entry in manifest().items():
        assert not name.endswith(".gz")
        assert entry.set, name
        assert entry.role, name
        assert entry.digests, name
        for digest in entry.digests:
            assert DIGEST.fullmatch(digest), name
            assert seen.setdefault(digest, name) == name
        assert entry.shape is None or all(isinstance(size, int) for size in entry.shape)
        assert entry.shape is not None or entry.facts is None, name
        if isinstance(entry.counts, dict):
            assert [min(entry.counts), max(entry.counts)] == entry.labels
            assert sum(entry.counts.values()) == entry.shape[0]
        elif entry.counts is not None:
            assert entry.counts * (entry.labels[1] - entry.labels[0] + 1) == entry.shape[0]


def test_published_md5_are_torchvision_s():
    from datasets.images.vision import torchvision

    for reader in (torchvision().datasets.CIFAR10, torchvision().datasets.CIFAR100):
        for name, md5 in [*reader.train_list, *reader.test_list, (reader.meta["filename"], reader.meta["md5"])]:
            assert manifest()[f"{reader.base_folder}/{name}"].digests == (f"md5:{md5}",)


@pytest.mark.parametrize("name", manifest())
def test_a_true_file_is_known_and_has_the_facts_of_its_entry(name):
    path, entry = place(name), manifest()[name]
    if path is None:
        pytest.skip(f"no {name} here")
    assert is_known(name, path) is True
    assert is_known(f"{name}.gz", path) is True
    assert difference(name, path) is None
    data = content(path, 1 << 28)
    assert not set(digests_of(data)).isdisjoint(entry.digests)
    facts = facts_of(entry, data)
    for key in ("bytes", "shape", "labels"):
        if getattr(entry, key) is not None:
            assert facts.get(key, getattr(entry, key)) == getattr(entry, key)
    if entry.counts is not None:
        wanted = entry.counts if isinstance(entry.counts, dict) else dict.fromkeys(facts["counts"], entry.counts)
        assert facts["counts"] == wanted


def test_a_name_without_an_entry_and_a_missing_file_have_no_answer(tmp_path):
    path = put(tmp_path / "mine.csv", b"1,2\n")
    assert is_known("mine.csv", path) is None
    assert difference("mine.csv", path) is None
    assert is_known("libsvm/a9a", tmp_path / "a9a") is None
    assert difference("libsvm/a9a", tmp_path / "a9a") is None


def test_a_compressed_file_is_known_by_its_content(tmp_path):
    name, path = "wheel:sklearn/datasets/data/breast_cancer.csv", place("wheel:sklearn/datasets/data/breast_cancer.csv")
    for level in (1, 9):
        again = put(tmp_path / f"level{level}.csv.gz", gzip.compress(path.read_bytes(), level))
        assert is_known(f"{name}.gz", again) is True
    windows = put(tmp_path / "windows.csv", path.read_bytes().replace(b"\n", b"\r\n"))
    assert is_known(name, windows) is True
    joined = put(tmp_path / "joined.csv", path.read_bytes().replace(b"\n", b" "))
    assert is_known(name, joined) is False


def test_a_digest_is_taken_once_for_a_file_that_stays_and_again_when_it_changes(tmp_path, monkeypatch):
    taken = []
    counted = lambda data: taken.append(len(data)) or digests_of(data)  # noqa: E731
    monkeypatch.setattr(known, "digests_of", counted)
    name, path = "libsvm/a9a", put(tmp_path / "a9a", b"1 1:1\n0 2:1\n")
    assert [is_known(name, path) for _ in range(3)] == [False] * 3
    assert len(taken) == 1
    before = path.stat()
    put(path, b"1 1:1\n0 3:1\n")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert is_known(name, path) is False
    assert len(taken) == 2, "neither its size nor its mtime is another"


def test_a_difference_s_facts_are_imported_only_for_a_file_that_differs():
    """In a process of its own: a true file needs neither torch nor any data set's code."""
    if place("libsvm/mushrooms") is None:
        pytest.skip("no mushrooms here")
    code = (
        "import sys; from pathlib import Path; from bench.run.known import difference; "
        f"assert difference('libsvm/mushrooms', Path({str(place('libsvm/mushrooms'))!r})) is None; "
        "assert not {'torch', 'datasets', 'numpy'} & set(sys.modules), sys.modules.keys()"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_script_measures_what_stands_in_the_manifest(tmp_path):
    """An a9a of three rows in a copy of the project changes four lines of its entry and no other."""
    from conftest import copy_project

    copy_project(tmp_path / "copy")
    data = tmp_path / "data"
    put(data / "libsvm/a9a", b"1 1:1\n0 2:1\n0 3:1\n")
    command = ["scripts/known.py", data]
    done = forks.python(command, dict(os.environ), cwd=tmp_path / "copy")
    assert done.returncode == 0, done.stderr
    before, after = (root.joinpath("datasets/known.yaml").read_text() for root in (ROOT, tmp_path / "copy"))
    changed = [new for old, new in zip(before.splitlines(), after.splitlines(), strict=True) if old != new]
    assert [line.split(":")[0].strip() for line in changed] == ["shape", "labels", "counts", "digests"]
    assert changed[:3] == ["  shape: [3, 3]", "  labels: [0, 1]", "  counts: {0: 2, 1: 1}"]
    bad = forks.python([*command, "libsvm/a9b"], dict(os.environ), cwd=tmp_path / "copy")
    assert (bad.returncode, bad.stderr.count("\n")) == (2, 1)
    assert "libsvm/a9b: no entry of known.yaml; did you mean 'libsvm/a" in bad.stderr


@pytest.mark.data
@pytest.mark.parametrize(("method", "name"), [(method, name) for method, sets in SETS.items() for name in sets])
def test_every_file_that_a_data_set_opens_has_an_entry(method, name, job):
    """Built as a run builds it; the names are those of a result's data."""
    from bench.run.build import build
    from bench.run.datafiles import digests, named, noted

    made = job(f"method={method}", f"dataset={name}", f"data_root={DATA}", "scale=smoke")
    node = made.parts["dataset"]
    supplied = {"root": str(DATA), "seed": 0, "seeds": [0]}
    with noted() as opened:
        try:
            build(
                "dataset", node, *(supplied[word] for word in signature(node["_target_"]).supplied if word in supplied)
            )
        except UserError as error:
            if "not found" not in str(error):
                raise
            pytest.skip(str(error))
    names = digests(named(opened, made.settings))
    assert len(names) == SETS[method][name]
    assert {file for file in names if manifest().get(file.removesuffix(".gz")) is None} == set()
    assert [difference(file, place(file.removesuffix(".gz"))) for file in names] == [None] * len(names)
