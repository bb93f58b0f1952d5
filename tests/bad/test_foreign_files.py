"""Files that are sound, and not those that their names say: one line that says in what they differ, and what to do."""

from __future__ import annotations

import gzip
import pickle
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import DATA
from data_layouts import (
    BIKE,
    BINARY,
    BYTES,
    HUNDRED,
    MAT,
    MNIST,
    NAMES,
    PYTHON,
    RAW,
    UCI,
    batch,
    idx,
    put,
    records,
    text,
)

from bench.run.known import difference, manifest

LABELS = np.arange(60, dtype=np.uint8) % 10
ROWS = text(np.random.default_rng(1).random((20, 9)), " ")
WIDE = text(np.random.default_rng(1).random((20, 18)), ",")


def batch_of(labels: np.ndarray, black: bool = False) -> bytes:
    rows = np.zeros((10_000, 3073), dtype=np.uint8)
    rows[:, 1:] = 0 if black else 7
    rows[:, 0] = labels
    return rows.tobytes()


EVEN = np.arange(10_000) % 10
LABELS_OF_MNIST = np.repeat(np.arange(10), [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]).astype(
    np.uint8
)
FOREIGN: dict[str, dict[str, tuple[Callable[[], bytes], str]]] = {
    f"{BINARY}/data_batch_1.bin": {
        "black": (lambda: batch_of(EVEN, black=True), r"batch 1 of 5: same size and labels, other content;"),
    },
    f"{BINARY}/data_batch_2.bin": {
        "label 77": (lambda: batch_of(EVEN + 68), r"batch 2 of 5: labels 68 to 77 instead of 0 to 9;"),
    },
    f"{BINARY}/test_batch.bin": {
        "one class": (lambda: batch_of(EVEN * 0), r"test images: labels 0 alone instead of 0 to 9;"),
        "uneven": (lambda: batch_of(np.minimum(EVEN * 2, 9)), r"label 9 occurs 5,000 times instead of 1,000;"),
        "few": (lambda: records().tobytes(), r"20 x 3 x 32 x 32 instead of 10,000 x 3 x 32 x 32;"),
        "cut": (lambda: records().tobytes()[:-7], r"found 61,453 bytes \(61,453 bytes instead of 30,730,000\);"),
    },
    f"{BINARY}/batches.meta.txt": {
        "names": (lambda: b"a b", r"CIFAR-10's class names: 2 instead of 10;"),
        "other names": (lambda: "\n".join(NAMES).encode(), r"same size and labels, other content;"),
    },
    f"{PYTHON}/data_batch_1": {
        "few": (batch, r"pickled: 20 x 3 x 32 x 32 instead of 10,000 x 3 x 32 x 32;"),
    },
    f"{PYTHON}/batches.meta": {
        "meta": (lambda: pickle.dumps({"label_names": NAMES}), r"class names, pickled: same size"),
    },
    f"{HUNDRED}/train.bin": {
        "few": (lambda: records(20, 2).tobytes(), r"20 x 3 x 32 x 32 instead of 50,000 x 3 x 32 x 32;"),
    },
    f"{RAW}/{MNIST[0]}": {
        "few": (lambda: idx(np.zeros((5, 28, 28), np.uint8)), r"5 x 28 x 28 instead of 60,000 x 28 x 28;"),
    },
    f"{RAW}/{MNIST[0]}.gz": {
        "few.gz": (lambda: gzip.compress(idx(np.zeros((5, 28, 28), np.uint8))), r"5 x 28 x 28 instead of"),
    },
    f"{RAW}/{MNIST[1]}": {
        "sorted": (lambda: idx(LABELS_OF_MNIST), r"MNIST's training labels: same size and labels, other content;"),
        "from 1": (lambda: idx(LABELS_OF_MNIST + 1), r"labels 1 to 10 instead of 0 to 9;"),
        "empty": (lambda: b"", r"MNIST's training labels: it is empty;"),
    },
    f"{RAW}/{MNIST[3]}": {
        "uneven": (lambda: idx(np.arange(10_000, dtype=np.uint16).astype(np.uint8) % 10), r"label \d occurs "),
    },
    f"{RAW}/{MNIST[1]}.gz": {
        "cut.gz": (lambda: gzip.compress(idx(LABELS))[:-9], r"it is damaged \(Compressed file ended"),
        "plain.gz": (lambda: idx(LABELS), r"it is damaged \(Not a gzipped file"),
    },
    BIKE: {
        "random": (
            lambda: gzip.compress(text(np.random.default_rng(3).random((17379, 18)), ",")),
            r"UCI bike's table: same size",
        ),
        "few": (lambda: gzip.compress(WIDE), r"20 x 18 instead of 17,379 x 18;"),
    },
    UCI: {
        "few": (lambda: ROWS, r"UCI energy's table: 20 x 9 instead of 768 x 9;"),
        "HTML": (lambda: b"<html><body>404 not found</body></html>", r"UCI energy's table: no rows"),
    },
    "libsvm/mushrooms": {
        "few": (lambda: b"1 3:1 112:1\n0 4:1\n", r"LIBSVM mushrooms's rows: 2 x 112 instead of 8,124 x 112;"),
    },
    "libsvm/a9a": {
        "cut": (lambda: b"-1 3:1\n+1 3:1 4", r"LIBSVM a9a's training rows: not LIBSVM's format"),
    },
    MAT: {
        "random": (lambda: BYTES, r"OLPS DJIA's price relatives: no table `data`"),
    },
    "wheel:sklearn/datasets/data/digits.csv.gz": {
        "digits": (lambda: gzip.compress(WIDE), r"20 x 18 instead of 1,797 x 65;"),
    },
    "wheel:universal/data/djia.csv": {
        "csv": (lambda: b"a,b\n1.0,2.0\n", r"cumulative price relatives: 1 x 2 instead of 507 x 30;"),
    },
}


CASES = {f"{name}: {case}": (name, *how) for name, cases in FOREIGN.items() for case, how in cases.items()}


@pytest.mark.parametrize(("name", "content", "said"), CASES.values(), ids=CASES)
def test_a_foreign_file_is_told_in_what_it_differs(name, content, said, tmp_path):
    line = difference(name, put(tmp_path / Path(name).name, content()))
    assert line is not None
    assert "\n" not in line
    assert re.search(said, line), line
    assert line.startswith(f"{tmp_path / Path(name).name} is not ")
    assert line.endswith("; fetch it again, or dataset.verify=false to use it as it is")


SWAPPED = [
    (
        f"{RAW}/{MNIST[0]}",
        f"{RAW}/{MNIST[2]}",
        r"10,000 x 28 x 28 instead of 60,000 x 28 x 28; it is MNIST's test images \(t10k",
    ),
    (f"{RAW}/{MNIST[1]}", f"{RAW}/{MNIST[0]}", r"instead of 60,000; it is MNIST's training images"),
    (f"{RAW}/{MNIST[3]}.gz", f"{RAW}/{MNIST[1]}", r"60,000 instead of 10,000; it is MNIST's training labels"),
    (
        f"{BINARY}/data_batch_1.bin",
        f"{BINARY}/test_batch.bin",
        r"batch 1 of 5: it is CIFAR-10's test images \(test_batch.bin\)",
    ),
    ("libsvm/a9a", "libsvm/a9a.t", r"16,281 x 122 instead of 32,561 x 123; it is LIBSVM a9a's test rows \(a9a.t\)"),
    (UCI, "uci/UCI_Datasets/yacht/data/data.txt", r"308 x 7 instead of 768 x 9; it is UCI yacht's table"),
    (MAT, "olps/msci.mat", r"1,043 x 24 instead of 507 x 30; it is OLPS MSCI's price relatives"),
]


@pytest.mark.data
@pytest.mark.parametrize(("name", "other", "said"), SWAPPED)
def test_a_known_file_in_another_s_place_is_named(name, other, said, tmp_path):
    source, path = DATA / other, tmp_path / Path(name).name
    if not source.is_file():
        pytest.skip(f"no {other} in {DATA.name}")
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(source.read_bytes(), 1))
    else:
        path.symlink_to(source)
    assert re.search(said, difference(name, path))


@pytest.mark.data
@pytest.mark.parametrize("name", ["libsvm/a9a", "libsvm/mushrooms", UCI])
def test_a_true_file_cut_in_mid_line_or_with_one_digit_changed_is_told(name, tmp_path):
    if not (DATA / name).is_file():
        pytest.skip(f"no {name} in {DATA.name}")
    content, path = (DATA / name).read_bytes(), tmp_path / Path(name).name
    assert difference(name, put(path, content.replace(b"\r\n", b"\n") + b"\n")) is None, "line ends are no difference"
    assert difference(name, put(path, content[: len(content) // 2])) is not None
    at = content.rindex(b"1")
    line = difference(name, put(path, content[:at] + b"2" + content[at + 1 :]))
    assert line is not None


def test_every_entry_s_facts_refuse_a_foreign_content_by_a_reason():
    from bench.run.known import facts_of

    for entry in manifest().values():
        if entry.facts is not None:
            for content in (b"\xff\xfe\0", BYTES):
                with pytest.raises(ValueError, match=r"\w"):
                    facts_of(entry, content)
