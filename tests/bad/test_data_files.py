"""Damaged and foreign data files: one line each, exit 2. A reader refuses what disagrees with itself; what is sound and other is told by its digest."""

from __future__ import annotations

import gzip
import pickle
import re
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from conftest import DATA
from data_layouts import (
    BATCHES,
    BINARY,
    HUNDRED,
    MNIST,
    NAMES,
    PYTHON,
    batch,
    cifar10_binary,
    cifar10_python,
    cifar100_binary,
    idx,
    market,
    mnist,
    put,
    records,
    tables,
    text,
)

import datasets.images.cifar
import datasets.images.mnist
import datasets.tables
from bench.errors import UserError
from bench.run.known import difference, manifest
from datasets.markets.olps import olps

BYTES = np.random.default_rng(7).integers(0, 256, 5000, dtype=np.uint8).tobytes()
TEN, HUNDRED_ = datasets.images.cifar.cifar10, datasets.images.cifar.cifar100
DIGITS = datasets.images.mnist.mnist
LOADERS: dict[str, Callable[[str], object]] = {
    "cifar10": partial(TEN, seed=0),
    "cifar10-py": partial(TEN, seed=0),
    "cifar100": partial(HUNDRED_, seed=0),
    "mnist": partial(DIGITS, seed=0),
    "mnist-gz": partial(DIGITS, seed=0),
    "energy": lambda root: datasets.tables.energy(Path(root)),
    "bike": lambda root: datasets.tables.bike(Path(root)),
    "a9a": lambda root: datasets.tables.a9a(Path(root)),
    "mushrooms": lambda root: datasets.tables.mushrooms(Path(root)),
    "djia": partial(olps, name="djia", source="mat"),
}
SOUND = {
    "cifar10": cifar10_binary,
    "cifar10-py": cifar10_python,
    "cifar100": cifar100_binary,
    "mnist": mnist,
    "mnist-gz": partial(mnist, zipped=True),
    "energy": tables,
    "bike": tables,
    "a9a": tables,
    "mushrooms": tables,
    "djia": market,
}
RAW, UCI = "MNIST/raw", "uci/UCI_Datasets/energy/data/data.txt"
BIKE, MAT = "uci/treforevans/bike/data.csv.gz", "olps/djia.mat"


def is_(content: bytes) -> Callable[[Path], None]:
    """The file has this content."""
    return lambda path: put(path, content) and None


def cut(path: Path) -> None:
    """Its last third is missing."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3 - 1])


def flipped(path: Path) -> None:
    """One byte in its middle is another."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def folder(path: Path) -> None:
    """A folder lies in its place."""
    path.unlink()
    path.mkdir()


def all_files(content: Callable[[], bytes], names: list[str]) -> Callable[[Path], None]:
    """It and the named files beside it have this content."""

    def damage(path: Path) -> None:
        for name in names:
            put(path.parent / name, content())

    return damage


def swapped(other: str) -> Callable[[Path], None]:
    """It and another file beside it have changed places."""

    def damage(path: Path) -> None:
        first, second = path.read_bytes(), (path.parent / other).read_bytes()
        path.write_bytes(second)
        (path.parent / other).write_bytes(first)

    return damage


def ones(path: Path) -> None:
    """Bytes of nothing but one image, ten labels."""
    rows = records()
    rows[:, 1:] = 0
    for name in BATCHES:
        (path.parent / f"{name}.bin").write_bytes(rows.tobytes())


LABELS = np.arange(60, dtype=np.uint8) % 10
ROWS = text(np.random.default_rng(1).random((20, 9)), " ")
WIDE = text(np.random.default_rng(1).random((20, 18)), ",")
ONE_CLASS = [f"{name}.bin" for name in BATCHES]

# (id, data set, file below data_root, what is done to it, what the line says)
DAMAGED: list[tuple[str, str, str, Callable[[Path], object], str]] = [
    ("cut", "cifar10", f"{BINARY}/data_batch_3.bin", cut, r"data_batch_3.bin is damaged: expected records of 3,073"),
    ("empty", "cifar10", f"{BINARY}/data_batch_1.bin", is_(b""), r"data_batch_1.bin is damaged: it is empty"),
    ("a record", "cifar10", f"{BINARY}/test_batch.bin", is_(records().tobytes()[:-1]), r"test_batch.bin is damaged"),
    ("CIFAR-100's", "cifar10", f"{BINARY}/test_batch.bin", is_(records(20, 2).tobytes()), r"records of 3,073 bytes"),
    (
        "label 77",
        "cifar10",
        f"{BINARY}/data_batch_2.bin",
        is_(records(20, 1, 77).tobytes()),
        r"label of 77.*classes 0 to 9",
    ),
    (
        "label 199",
        "cifar10",
        f"{BINARY}/test_batch.bin",
        is_(records(20, 1, 199).tobytes()),
        r"test_batch.bin.*label of 199",
    ),
    ("random", "cifar10", f"{BINARY}/data_batch_1.bin", is_(BYTES), r"data_batch_1.bin is damaged"),
    ("missing", "cifar10", f"{BINARY}/data_batch_5.bin", Path.unlink, r"incomplete: data_batch_5.bin not found"),
    ("no test", "cifar10", f"{BINARY}/test_batch.bin", Path.unlink, r"incomplete: test_batch.bin not found"),
    ("no names", "cifar10", f"{BINARY}/batches.meta.txt", Path.unlink, r"incomplete: batches.meta.txt not found"),
    ("empty names", "cifar10", f"{BINARY}/batches.meta.txt", is_(b""), r"batches.meta.txt is damaged: it is empty"),
    (
        "blank names",
        "cifar10",
        f"{BINARY}/batches.meta.txt",
        is_(b"\n \n"),
        r"batches.meta.txt is damaged: no class names",
    ),
    (
        "binary names",
        "cifar10",
        f"{BINARY}/batches.meta.txt",
        is_(b"\xff\xfe\x00"),
        r"batches.meta.txt is damaged: 'utf-8'",
    ),
    (
        "few names",
        "cifar10",
        f"{BINARY}/batches.meta.txt",
        is_(b"a b c"),
        r"label of 9, and batches.meta.txt names classes 0 to 2",
    ),
    ("a folder", "cifar10", f"{BINARY}/data_batch_4.bin", folder, r"incomplete: data_batch_4.bin not found"),
    ("black", "cifar10", f"{BINARY}/data_batch_1.bin", ones, r"train_x: all 100 images are of one colour"),
    (
        "one class",
        "cifar10",
        f"{BINARY}/x",
        all_files(lambda: records(20, 1, 3).tobytes(), ONE_CLASS),
        r"all 100 labels are 3",
    ),
    (
        "half extracted",
        "cifar10",
        f"{BINARY}",
        lambda p: [shutil.rmtree(p), p.mkdir()],
        r"incomplete: data_batch_1.bin, ",
    ),
    ("cut", "cifar100", f"{HUNDRED}/train.bin", cut, r"train.bin is damaged: expected records of 3,074 bytes"),
    ("CIFAR-10's", "cifar100", f"{HUNDRED}/train.bin", is_(records().tobytes()), r"train.bin is damaged"),
    ("label 100", "cifar100", f"{HUNDRED}/test.bin", is_(records(20, 2, 100).tobytes()), r"test.bin.*a label of 100"),
    ("no names", "cifar100", f"{HUNDRED}/fine_label_names.txt", Path.unlink, r"fine_label_names.txt not found"),
    ("empty", "cifar10-py", f"{PYTHON}/data_batch_1", is_(b""), r"data_batch_1 is damaged: it is empty"),
    ("cut", "cifar10-py", f"{PYTHON}/data_batch_2", cut, r"data_batch_2 is damaged: not a whole pickle"),
    ("random", "cifar10-py", f"{PYTHON}/test_batch", is_(BYTES), r"test_batch is damaged: not a whole pickle"),
    (
        "a list",
        "cifar10-py",
        f"{PYTHON}/test_batch",
        is_(pickle.dumps([1, 2])),
        r"test_batch is damaged: not a whole pickle",
    ),
    ("no data", "cifar10-py", f"{PYTHON}/test_batch", is_(pickle.dumps({"x": 1})), r"a pickle with `data`"),
    ("floats", "cifar10-py", f"{PYTHON}/test_batch", is_(batch(data=np.zeros((20, 3072)))), r"not a whole pickle"),
    ("wide", "cifar10-py", f"{PYTHON}/test_batch", is_(batch(data=np.zeros((20, 3), np.uint8))), r"bytes \[N, 3,072\]"),
    ("few labels", "cifar10-py", f"{PYTHON}/test_batch", is_(batch(labels=[1])), r"a list of 20 labels"),
    ("text labels", "cifar10-py", f"{PYTHON}/test_batch", is_(batch(labels=["a"] * 20)), r"labels from 0 to 255"),
    ("label -1", "cifar10-py", f"{PYTHON}/test_batch", is_(batch(labels=[-1] * 20)), r"labels from 0 to 255"),
    ("label 12", "cifar10-py", f"{PYTHON}/test_batch", is_(batch(labels=[12] * 20)), r"label of 12.*classes 0 to 9"),
    ("no meta", "cifar10-py", f"{PYTHON}/batches.meta", Path.unlink, r"incomplete: batches.meta not found"),
    ("foreign meta", "cifar10-py", f"{PYTHON}/batches.meta", is_(pickle.dumps({"names": NAMES})), r"`label_names`"),
    ("missing", "cifar10-py", f"{PYTHON}/data_batch_3", Path.unlink, r"incomplete: data_batch_3 not found"),
    ("empty", "mnist", f"{RAW}/{MNIST[0]}", is_(b""), r"train-images-idx3-ubyte is damaged: it is empty"),
    ("cut", "mnist", f"{RAW}/{MNIST[0]}", cut, r"expected 47,056 bytes \(60 x 28 x 28 by its header\)"),
    (
        "longer",
        "mnist",
        f"{RAW}/{MNIST[1]}",
        is_(idx(LABELS) + b"\0"),
        r"train-labels-idx1-ubyte is damaged: expected 68 ",
    ),
    ("not IDX", "mnist", f"{RAW}/{MNIST[2]}", is_(BYTES), r"t10k-images-idx3-ubyte is damaged: not an IDX file"),
    (
        "HTML",
        "mnist",
        f"{RAW}/{MNIST[2]}",
        is_(b"<!DOCTYPE html>"),
        r"t10k-images-idx3-ubyte is damaged: not an IDX file",
    ),
    ("fewer labels", "mnist", f"{RAW}/{MNIST[1]}", is_(idx(LABELS[:50])), r"has 50 labels for 60 images"),
    ("more labels", "mnist", f"{RAW}/{MNIST[3]}", is_(idx(LABELS)), r"has 60 labels for 20 images"),
    ("2-D labels", "mnist", f"{RAW}/{MNIST[1]}", is_(idx(LABELS[:, None])), r"expected labels \[N\], found \[60, 1\]"),
    (
        "28 x 14",
        "mnist",
        f"{RAW}/{MNIST[0]}",
        is_(idx(np.zeros((60, 28, 14), np.uint8))),
        r"\[N, 28, 28\], found \[60, 28, 14\]",
    ),
    (
        "label 10",
        "mnist",
        f"{RAW}/{MNIST[1]}",
        is_(idx(LABELS + 1)),
        r"train-labels.*a label of 10, and digits are 0 to 9",
    ),
    ("no images", "mnist", f"{RAW}/{MNIST[0]}", is_(idx(np.zeros((0, 28, 28), np.uint8))), r"found \[0, 28, 28\]"),
    (
        "swapped",
        "mnist",
        f"{RAW}/{MNIST[0]}",
        swapped(MNIST[1]),
        r"train-images.*expected images \[N, 28, 28\], found \[60\]",
    ),
    ("tests' images", "mnist", f"{RAW}/{MNIST[0]}", swapped(MNIST[2]), r"has 60 labels for 20 images"),
    ("one class", "mnist", f"{RAW}/{MNIST[1]}", is_(idx(LABELS * 0)), r"all 60 labels are 0"),
    (
        "black",
        "mnist",
        f"{RAW}/{MNIST[0]}",
        is_(idx(np.zeros((60, 28, 28), np.uint8))),
        r"all 60 images are of one colour",
    ),
    ("missing", "mnist", f"{RAW}/{MNIST[3]}", Path.unlink, r"incomplete: t10k-labels-idx1-ubyte not found"),
    ("cut", "mnist-gz", f"{RAW}/{MNIST[0]}.gz", cut, r"train-images-idx3-ubyte.gz is damaged: Compressed file ended"),
    ("flipped", "mnist-gz", f"{RAW}/{MNIST[0]}.gz", flipped, r"train-images-idx3-ubyte.gz is damaged"),
    ("plain", "mnist-gz", f"{RAW}/{MNIST[1]}.gz", is_(idx(LABELS)), r"is damaged: Not a gzipped file"),
    ("empty", "mnist-gz", f"{RAW}/{MNIST[1]}.gz", is_(b""), r"train-labels-idx1-ubyte.gz is damaged: it is empty"),
    ("nothing in it", "mnist-gz", f"{RAW}/{MNIST[1]}.gz", is_(gzip.compress(b"")), r"ubyte.gz is damaged: it is empty"),
    ("twice", "mnist-gz", f"{RAW}/{MNIST[1]}.gz", is_(gzip.compress(gzip.compress(idx(LABELS)))), r"not an IDX file"),
    ("empty", "energy", UCI, is_(b""), r"data.txt is damaged: it is empty"),
    ("blank", "energy", UCI, is_(b"\n\n"), r"data.txt is damaged"),
    ("cut", "energy", UCI, is_(ROWS[: len(ROWS) - 30]), r"data.txt is damaged"),
    (
        "columns",
        "energy",
        UCI,
        is_(text(np.ones((9, 5)), " ")),
        r"expected rows of 9 numbers, found a table of \(9, 5\)",
    ),
    ("words", "energy", UCI, is_(ROWS.replace(b"0.", b"x.", 30)), r"data.txt is damaged"),
    (
        "nan",
        "energy",
        UCI,
        is_(b"nan " + ROWS.split(b" ", 1)[1]),
        r"data.txt is damaged: it holds numbers that are not finite",
    ),
    ("constant", "energy", UCI, is_(text(np.ones((20, 9)), " ")), r"the target, does not vary"),
    ("one row", "energy", UCI, is_(ROWS.splitlines()[0]), r"expected rows of 9 numbers"),
    ("binary", "energy", UCI, is_(BYTES), r"data.txt is damaged"),
    ("cut", "bike", BIKE, cut, r"data.csv.gz is damaged: Compressed file ended"),
    ("flipped", "bike", BIKE, flipped, r"data.csv.gz is damaged"),
    ("plain", "bike", BIKE, is_(WIDE), r"data.csv.gz is damaged: Not a gzipped file"),
    ("columns", "bike", BIKE, is_(gzip.compress(text(np.ones((9, 5)), ","))), r"expected rows of 18 numbers"),
    ("empty", "a9a", "libsvm/a9a", is_(b""), r"a9a is damaged: it is empty"),
    ("cut in mid-line", "a9a", "libsvm/a9a", is_(b"-1 3:1\n+1 3:1 4"), r"a9a is damaged: not LIBSVM's format"),
    ("cut in a value", "a9a", "libsvm/a9a", is_(b"-1 3:1\n+1 3:1 4:"), r"a9a is damaged: not LIBSVM's format"),
    (
        "one class",
        "a9a",
        "libsvm/a9a",
        is_(b"1 3:1\n1 4:1\n"),
        r"a9a is damaged: expected labels of two classes, found 1",
    ),
    ("three classes", "a9a", "libsvm/a9a", is_(b"1 3:1\n2 4:1\n3 1:1\n"), r"two classes, found 3"),
    ("a table", "a9a", "libsvm/a9a", is_(ROWS), r"a9a is damaged: not LIBSVM's format"),
    ("unsorted", "a9a", "libsvm/a9a", is_(b"1 5:1 3:1\n2 4:1\n"), r"a9a is damaged: not LIBSVM's format"),
    (
        "infinite",
        "a9a",
        "libsvm/a9a",
        is_(b"1 3:inf\n2 4:1\n"),
        r"a9a is damaged: it holds numbers that are not finite",
    ),
    ("constant", "mushrooms", "libsvm/mushrooms", is_(b"1 3:1\n2 3:1\n"), r"none of its columns varies"),
    ("binary", "mushrooms", "libsvm/mushrooms", is_(BYTES), r"mushrooms is damaged"),
    ("missing", "mushrooms", "libsvm/mushrooms", Path.unlink, r"data set 'mushrooms' not found: put mushrooms from"),
    ("empty", "djia", MAT, is_(b""), r"djia.mat is damaged: it is empty"),
    ("cut", "djia", MAT, cut, r"djia.mat is damaged"),
    ("flipped", "djia", MAT, flipped, r"djia.mat is damaged"),
    ("random", "djia", MAT, is_(BYTES), r"djia.mat is damaged: no table `data`"),
    ("text", "djia", MAT, lambda p: market(p.parents[1], "price"), r"djia.mat is damaged"),
    ("variable", "djia", MAT, lambda p: market(p.parents[1], name="x"), r"no table `data`"),
    (
        "one period",
        "djia",
        MAT,
        lambda p: market(p.parents[1], np.ones((1, 5))),
        r"two periods and two assets, found \(1, 5\)",
    ),
    ("zero", "djia", MAT, lambda p: market(p.parents[1], np.zeros((5, 5))), r"expected positive price relatives"),
    ("nan", "djia", MAT, lambda p: market(p.parents[1], np.full((5, 5), np.nan)), r"expected positive price relatives"),
    ("cube", "djia", MAT, lambda p: market(p.parents[1], np.ones((5, 5, 5))), r"two periods and two assets"),
]


@pytest.mark.parametrize("name", LOADERS)
def test_small_sound_files_are_read(name, tmp_path):
    """What is done to them below is what is refused."""
    SOUND[name](tmp_path)
    assert LOADERS[name](str(tmp_path)) is not None


@pytest.mark.parametrize(
    ("name", "file", "damage", "said"), [pytest.param(*c[1:], id=f"{c[1]}: {c[0]}") for c in DAMAGED]
)
def test_a_damaged_file_is_one_line(name, file, damage, said, tmp_path):
    SOUND[name](tmp_path)
    damage(tmp_path / file)
    with pytest.raises(UserError, match=said) as caught:
        LOADERS[name](str(tmp_path))
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value) or str(caught.value).startswith("train_")


def test_at_least_sixty_damaged_files_are_tried():
    assert len(DAMAGED) >= 60
    assert len({case[:2] for case in DAMAGED}) == len(DAMAGED)


# ---- files that are sound, and not those that their names say


def batch_of(labels: np.ndarray, black: bool = False) -> bytes:
    rows = np.zeros((10_000, 3073), dtype=np.uint8)
    rows[:, 1:] = 0 if black else 7
    rows[:, 0] = labels
    return rows.tobytes()


EVEN = np.arange(10_000) % 10
LABELS_OF_MNIST = np.repeat(np.arange(10), [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]).astype(
    np.uint8
)
FOREIGN: list[tuple[str, str, Callable[[], bytes], str]] = [
    (
        "black",
        f"{BINARY}/data_batch_1.bin",
        lambda: batch_of(EVEN, black=True),
        r"batch 1 of 5: same size and labels, other content;",
    ),
    (
        "label 77",
        f"{BINARY}/data_batch_2.bin",
        lambda: batch_of(EVEN + 68),
        r"batch 2 of 5: labels 68 to 77 instead of 0 to 9;",
    ),
    (
        "one class",
        f"{BINARY}/test_batch.bin",
        lambda: batch_of(EVEN * 0),
        r"test images: labels 0 alone instead of 0 to 9;",
    ),
    (
        "uneven",
        f"{BINARY}/test_batch.bin",
        lambda: batch_of(np.minimum(EVEN * 2, 9)),
        r"label 9 occurs 5,000 times instead of 1,000;",
    ),
    (
        "few",
        f"{BINARY}/test_batch.bin",
        lambda: records().tobytes(),
        r"20 x 3 x 32 x 32 instead of 10,000 x 3 x 32 x 32;",
    ),
    (
        "cut",
        f"{BINARY}/test_batch.bin",
        lambda: records().tobytes()[:-7],
        r"found 61,453 bytes \(61,453 bytes instead of 30,730,000\);",
    ),
    ("names", f"{BINARY}/batches.meta.txt", lambda: b"a b", r"CIFAR-10's class names: 2 instead of 10;"),
    (
        "other names",
        f"{BINARY}/batches.meta.txt",
        lambda: "\n".join(NAMES).encode(),
        r"same size and labels, other content;",
    ),
    ("few", f"{PYTHON}/data_batch_1", batch, r"pickled: 20 x 3 x 32 x 32 instead of 10,000 x 3 x 32 x 32;"),
    (
        "meta",
        f"{PYTHON}/batches.meta",
        lambda: pickle.dumps({"label_names": NAMES}),
        r"class names, pickled: same size",
    ),
    (
        "few",
        f"{HUNDRED}/train.bin",
        lambda: records(20, 2).tobytes(),
        r"20 x 3 x 32 x 32 instead of 50,000 x 3 x 32 x 32;",
    ),
    (
        "few",
        f"{RAW}/{MNIST[0]}",
        lambda: idx(np.zeros((5, 28, 28), np.uint8)),
        r"5 x 28 x 28 instead of 60,000 x 28 x 28;",
    ),
    (
        "few.gz",
        f"{RAW}/{MNIST[0]}.gz",
        lambda: gzip.compress(idx(np.zeros((5, 28, 28), np.uint8))),
        r"5 x 28 x 28 instead of",
    ),
    (
        "sorted",
        f"{RAW}/{MNIST[1]}",
        lambda: idx(LABELS_OF_MNIST),
        r"MNIST's training labels: same size and labels, other content;",
    ),
    ("from 1", f"{RAW}/{MNIST[1]}", lambda: idx(LABELS_OF_MNIST + 1), r"labels 1 to 10 instead of 0 to 9;"),
    (
        "uneven",
        f"{RAW}/{MNIST[3]}",
        lambda: idx(np.arange(10_000, dtype=np.uint16).astype(np.uint8) % 10),
        r"label \d occurs ",
    ),
    (
        "cut.gz",
        f"{RAW}/{MNIST[1]}.gz",
        lambda: gzip.compress(idx(LABELS))[:-9],
        r"it is damaged \(Compressed file ended",
    ),
    ("plain.gz", f"{RAW}/{MNIST[1]}.gz", lambda: idx(LABELS), r"it is damaged \(Not a gzipped file"),
    ("empty", f"{RAW}/{MNIST[1]}", lambda: b"", r"MNIST's training labels: it is empty;"),
    (
        "random",
        BIKE,
        lambda: gzip.compress(text(np.random.default_rng(3).random((17379, 18)), ",")),
        r"UCI bike's table: same size",
    ),
    ("few", BIKE, lambda: gzip.compress(WIDE), r"20 x 18 instead of 17,379 x 18;"),
    ("few", UCI, lambda: ROWS, r"UCI energy's table: 20 x 9 instead of 768 x 9;"),
    ("HTML", UCI, lambda: b"<html><body>404 not found</body></html>", r"UCI energy's table: no rows"),
    (
        "few",
        "libsvm/mushrooms",
        lambda: b"1 3:1 112:1\n0 4:1\n",
        r"LIBSVM mushrooms's rows: 2 x 112 instead of 8,124 x 112;",
    ),
    ("cut", "libsvm/a9a", lambda: b"-1 3:1\n+1 3:1 4", r"LIBSVM a9a's training rows: not LIBSVM's format"),
    ("random", MAT, lambda: BYTES, r"OLPS DJIA's price relatives: no table `data`"),
    (
        "digits",
        "wheel:sklearn/datasets/data/digits.csv.gz",
        lambda: gzip.compress(WIDE),
        r"20 x 18 instead of 1,797 x 65;",
    ),
    (
        "csv",
        "wheel:universal/data/djia.csv",
        lambda: b"a,b\n1.0,2.0\n",
        r"cumulative price relatives: 1 x 2 instead of 507 x 30;",
    ),
]


@pytest.mark.parametrize(("name", "content", "said"), [pytest.param(*c[1:], id=f"{c[1]}: {c[0]}") for c in FOREIGN])
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


# ---- through the program


@pytest.mark.parametrize(
    ("dataset", "name", "file", "damage", "said"),
    [
        ("cifar10", "cifar10", f"{BINARY}/data_batch_2.bin", is_(records(20, 1, 77).tobytes()), "a label of 77"),
        ("mnist", "mnist-gz", f"{RAW}/{MNIST[0]}.gz", cut, "train-images-idx3-ubyte.gz"),
        ("mnist", "mnist", f"{RAW}/{MNIST[1]}", is_(idx(LABELS[:, None])), "train-labels-idx1-ubyte"),
        ("djia", "djia", MAT, cut, "djia.mat"),
    ],
)
def test_the_program_ends_with_one_line_and_exit_code_2(dataset, name, file, damage, said, tmp_path, program):
    SOUND[name](tmp_path / "data")
    damage(tmp_path / "data" / file)
    more = ["method=egab_n", "dataset.source=mat"] if name == "djia" else ["method=signsgd", "scale=smoke"]
    done = program(f"dataset={dataset}", f"data_root={tmp_path / 'data'}", *more)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert said in done.stderr.splitlines()[-1]
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert not list((tmp_path / "results").rglob("result.json"))
