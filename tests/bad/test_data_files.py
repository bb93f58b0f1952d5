"""Damaged and foreign data files: one line each, exit 2. A reader refuses what disagrees with itself."""

from __future__ import annotations

import gzip
import pickle
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from data_layouts import (
    BATCHES,
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
from datasets.markets.olps import olps

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

# {(data set, file below data_root): {case: (what is done to it, what the line says)}}
DAMAGED: dict[tuple[str, str], dict[str, tuple[Callable[[Path], object], str]]] = {
    ("cifar10", f"{BINARY}/data_batch_3.bin"): {
        "cut": (cut, r"data_batch_3.bin is damaged: expected records of 3,073"),
    },
    ("cifar10", f"{BINARY}/data_batch_1.bin"): {
        "empty": (is_(b""), r"data_batch_1.bin is damaged: it is empty"),
        "random": (is_(BYTES), r"data_batch_1.bin is damaged"),
        "black": (ones, r"train_x: all 100 images are of one colour"),
    },
    ("cifar10", f"{BINARY}/test_batch.bin"): {
        "a record": (is_(records().tobytes()[:-1]), r"test_batch.bin is damaged"),
        "CIFAR-100's": (is_(records(20, 2).tobytes()), r"records of 3,073 bytes"),
        "label 199": (is_(records(20, 1, 199).tobytes()), r"test_batch.bin.*label of 199"),
        "no test": (Path.unlink, r"incomplete: test_batch.bin not found"),
    },
    ("cifar10", f"{BINARY}/data_batch_2.bin"): {
        "label 77": (is_(records(20, 1, 77).tobytes()), r"label of 77.*classes 0 to 9"),
    },
    ("cifar10", f"{BINARY}/data_batch_5.bin"): {
        "missing": (Path.unlink, r"incomplete: data_batch_5.bin not found"),
    },
    ("cifar10", f"{BINARY}/batches.meta.txt"): {
        "no names": (Path.unlink, r"incomplete: batches.meta.txt not found"),
        "empty names": (is_(b""), r"batches.meta.txt is damaged: it is empty"),
        "blank names": (is_(b"\n \n"), r"batches.meta.txt is damaged: no class names"),
        "binary names": (is_(b"\xff\xfe\x00"), r"batches.meta.txt is damaged: 'utf-8'"),
        "few names": (is_(b"a b c"), r"label of 9, and batches.meta.txt names classes 0 to 2"),
    },
    ("cifar10", f"{BINARY}/data_batch_4.bin"): {
        "a folder": (folder, r"incomplete: data_batch_4.bin not found"),
    },
    ("cifar10", f"{BINARY}/x"): {
        "one class": (all_files(lambda: records(20, 1, 3).tobytes(), ONE_CLASS), r"all 100 labels are 3"),
    },
    ("cifar10", f"{BINARY}"): {
        "half extracted": (lambda p: [shutil.rmtree(p), p.mkdir()], r"incomplete: data_batch_1.bin, "),
    },
    ("cifar100", f"{HUNDRED}/train.bin"): {
        "cut": (cut, r"train.bin is damaged: expected records of 3,074 bytes"),
        "CIFAR-10's": (is_(records().tobytes()), r"train.bin is damaged"),
    },
    ("cifar100", f"{HUNDRED}/test.bin"): {
        "label 100": (is_(records(20, 2, 100).tobytes()), r"test.bin.*a label of 100"),
    },
    ("cifar100", f"{HUNDRED}/fine_label_names.txt"): {
        "no names": (Path.unlink, r"fine_label_names.txt not found"),
    },
    ("cifar10-py", f"{PYTHON}/data_batch_1"): {
        "empty": (is_(b""), r"data_batch_1 is damaged: it is empty"),
    },
    ("cifar10-py", f"{PYTHON}/data_batch_2"): {
        "cut": (cut, r"data_batch_2 is damaged: not a whole pickle"),
    },
    ("cifar10-py", f"{PYTHON}/test_batch"): {
        "random": (is_(BYTES), r"test_batch is damaged: not a whole pickle"),
        "a list": (is_(pickle.dumps([1, 2])), r"test_batch is damaged: not a whole pickle"),
        "no data": (is_(pickle.dumps({"x": 1})), r"a pickle with `data`"),
        "floats": (is_(batch(data=np.zeros((20, 3072)))), r"not a whole pickle"),
        "wide": (is_(batch(data=np.zeros((20, 3), np.uint8))), r"bytes \[N, 3,072\]"),
        "few labels": (is_(batch(labels=[1])), r"a list of 20 labels"),
        "text labels": (is_(batch(labels=["a"] * 20)), r"labels from 0 to 255"),
        "label -1": (is_(batch(labels=[-1] * 20)), r"labels from 0 to 255"),
        "label 12": (is_(batch(labels=[12] * 20)), r"label of 12.*classes 0 to 9"),
    },
    ("cifar10-py", f"{PYTHON}/batches.meta"): {
        "no meta": (Path.unlink, r"incomplete: batches.meta not found"),
        "foreign meta": (is_(pickle.dumps({"names": NAMES})), r"`label_names`"),
    },
    ("cifar10-py", f"{PYTHON}/data_batch_3"): {
        "missing": (Path.unlink, r"incomplete: data_batch_3 not found"),
    },
    ("mnist", f"{RAW}/{MNIST[0]}"): {
        "empty": (is_(b""), r"train-images-idx3-ubyte is damaged: it is empty"),
        "cut": (cut, r"expected 47,056 bytes \(60 x 28 x 28 by its header\)"),
        "28 x 14": (is_(idx(np.zeros((60, 28, 14), np.uint8))), r"\[N, 28, 28\], found \[60, 28, 14\]"),
        "no images": (is_(idx(np.zeros((0, 28, 28), np.uint8))), r"found \[0, 28, 28\]"),
        "swapped": (swapped(MNIST[1]), r"train-images.*expected images \[N, 28, 28\], found \[60\]"),
        "tests' images": (swapped(MNIST[2]), r"has 60 labels for 20 images"),
        "black": (is_(idx(np.zeros((60, 28, 28), np.uint8))), r"all 60 images are of one colour"),
    },
    ("mnist", f"{RAW}/{MNIST[1]}"): {
        "longer": (is_(idx(LABELS) + b"\0"), r"train-labels-idx1-ubyte is damaged: expected 68 "),
        "fewer labels": (is_(idx(LABELS[:50])), r"has 50 labels for 60 images"),
        "2-D labels": (is_(idx(LABELS[:, None])), r"expected labels \[N\], found \[60, 1\]"),
        "label 10": (is_(idx(LABELS + 1)), r"train-labels.*a label of 10, and digits are 0 to 9"),
        "one class": (is_(idx(LABELS * 0)), r"all 60 labels are 0"),
    },
    ("mnist", f"{RAW}/{MNIST[2]}"): {
        "not IDX": (is_(BYTES), r"t10k-images-idx3-ubyte is damaged: not an IDX file"),
        "HTML": (is_(b"<!DOCTYPE html>"), r"t10k-images-idx3-ubyte is damaged: not an IDX file"),
    },
    ("mnist", f"{RAW}/{MNIST[3]}"): {
        "more labels": (is_(idx(LABELS)), r"has 60 labels for 20 images"),
        "missing": (Path.unlink, r"incomplete: t10k-labels-idx1-ubyte not found"),
    },
    ("mnist-gz", f"{RAW}/{MNIST[0]}.gz"): {
        "cut": (cut, r"train-images-idx3-ubyte.gz is damaged: Compressed file ended"),
        "flipped": (flipped, r"train-images-idx3-ubyte.gz is damaged"),
    },
    ("mnist-gz", f"{RAW}/{MNIST[1]}.gz"): {
        "plain": (is_(idx(LABELS)), r"is damaged: Not a gzipped file"),
        "empty": (is_(b""), r"train-labels-idx1-ubyte.gz is damaged: it is empty"),
        "nothing in it": (is_(gzip.compress(b"")), r"ubyte.gz is damaged: it is empty"),
        "twice": (is_(gzip.compress(gzip.compress(idx(LABELS)))), r"not an IDX file"),
    },
    ("energy", UCI): {
        "empty": (is_(b""), r"data.txt is damaged: it is empty"),
        "blank": (is_(b"\n\n"), r"data.txt is damaged"),
        "cut": (is_(ROWS[: len(ROWS) - 30]), r"data.txt is damaged"),
        "columns": (is_(text(np.ones((9, 5)), " ")), r"expected rows of 9 numbers, found a table of \(9, 5\)"),
        "words": (is_(ROWS.replace(b"0.", b"x.", 30)), r"data.txt is damaged"),
        "nan": (is_(b"nan " + ROWS.split(b" ", 1)[1]), r"data.txt is damaged: it holds numbers that are not finite"),
        "constant": (is_(text(np.ones((20, 9)), " ")), r"the target, does not vary"),
        "one row": (is_(ROWS.splitlines()[0]), r"expected rows of 9 numbers"),
        "binary": (is_(BYTES), r"data.txt is damaged"),
    },
    ("bike", BIKE): {
        "cut": (cut, r"data.csv.gz is damaged: Compressed file ended"),
        "flipped": (flipped, r"data.csv.gz is damaged"),
        "plain": (is_(WIDE), r"data.csv.gz is damaged: Not a gzipped file"),
        "columns": (is_(gzip.compress(text(np.ones((9, 5)), ","))), r"expected rows of 18 numbers"),
    },
    ("a9a", "libsvm/a9a"): {
        "empty": (is_(b""), r"a9a is damaged: it is empty"),
        "cut in mid-line": (is_(b"-1 3:1\n+1 3:1 4"), r"a9a is damaged: not LIBSVM's format"),
        "cut in a value": (is_(b"-1 3:1\n+1 3:1 4:"), r"a9a is damaged: not LIBSVM's format"),
        "one class": (is_(b"1 3:1\n1 4:1\n"), r"a9a is damaged: expected labels of two classes, found 1"),
        "three classes": (is_(b"1 3:1\n2 4:1\n3 1:1\n"), r"two classes, found 3"),
        "a table": (is_(ROWS), r"a9a is damaged: not LIBSVM's format"),
        "unsorted": (is_(b"1 5:1 3:1\n2 4:1\n"), r"a9a is damaged: not LIBSVM's format"),
        "infinite": (is_(b"1 3:inf\n2 4:1\n"), r"a9a is damaged: it holds numbers that are not finite"),
    },
    ("mushrooms", "libsvm/mushrooms"): {
        "constant": (is_(b"1 3:1\n2 3:1\n"), r"none of its columns varies"),
        "binary": (is_(BYTES), r"mushrooms is damaged"),
        "missing": (Path.unlink, r"data set 'mushrooms' not found: put mushrooms from"),
    },
    ("djia", MAT): {
        "empty": (is_(b""), r"djia.mat is damaged: it is empty"),
        "cut": (cut, r"djia.mat is damaged"),
        "flipped": (flipped, r"djia.mat is damaged"),
        "random": (is_(BYTES), r"djia.mat is damaged: no table `data`"),
        "text": (lambda p: market(p.parents[1], "price"), r"djia.mat is damaged"),
        "variable": (lambda p: market(p.parents[1], name="x"), r"no table `data`"),
        "one period": (lambda p: market(p.parents[1], np.ones((1, 5))), r"two periods and two assets, found \(1, 5\)"),
        "zero": (lambda p: market(p.parents[1], np.zeros((5, 5))), r"expected positive price relatives"),
        "nan": (lambda p: market(p.parents[1], np.full((5, 5), np.nan)), r"expected positive price relatives"),
        "cube": (lambda p: market(p.parents[1], np.ones((5, 5, 5))), r"two periods and two assets"),
    },
}


@pytest.mark.parametrize("name", LOADERS)
def test_small_sound_files_are_read(name, tmp_path):
    """What is done to them below is what is refused."""
    SOUND[name](tmp_path)
    assert LOADERS[name](str(tmp_path)) is not None


CASES = {
    f"{name}: {Path(file).name}, {case}": (name, file, *how)
    for (name, file), cases in DAMAGED.items()
    for case, how in cases.items()
}


@pytest.mark.parametrize(("name", "file", "damage", "said"), CASES.values(), ids=CASES)
def test_a_damaged_file_is_one_line(name, file, damage, said, tmp_path):
    SOUND[name](tmp_path)
    damage(tmp_path / file)
    with pytest.raises(UserError, match=said) as caught:
        LOADERS[name](str(tmp_path))
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value) or str(caught.value).startswith("train_")


def test_every_layout_is_damaged_in_at_least_sixty_ways():
    assert len(CASES) >= 60
    assert {name for name, _ in DAMAGED} == set(LOADERS)


# ---- through the program


@pytest.mark.parametrize(
    ("dataset", "name", "file", "damage", "said"),
    [
        (
            "cifar10",
            "cifar10",
            f"{BINARY}/data_batch_2.bin",
            is_(records(20, 1, 77).tobytes()),
            "data_batch_2.bin is not",
        ),
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
