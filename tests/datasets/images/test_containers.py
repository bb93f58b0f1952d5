"""What a person's own data set hands over: one line says what the containers expect, what was given, and what to do."""

from __future__ import annotations

import dataclasses
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.errors import UserError
from bench.run.build import build
from bench.tasks.classification.images import LabelledImages
from datasets.images.selection import RawImages, Selection, select

N, NAMES = 600, [str(k) for k in range(10)]
ALL = Selection(None, 0, None, None, 0.0, 0)


def images(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def given(**other: object) -> dict:
    """Sound arrays, with others in place of some."""
    y = np.arange(N) % 10
    parts = {"train_x": images(N, 3, 32, 32), "train_y": y, "test_x": images(90, 3, 32, 32), "test_y": y[:90]}
    return parts | {"class_names": NAMES, "mirror": False} | other


X, Y = images(N, 3, 32, 32), np.arange(N) % 10
NAN = X.astype(np.float32)
NAN[3, 0, 0, :5] = np.nan
HOT = np.eye(10, dtype=np.float32)[Y]
BAD = {
    "float NHWC": (
        {"train_x": X.transpose(0, 2, 3, 1).astype(np.float32) / 255},
        r"train_x: expected uint8 \[N, C, H, W\], found float32 \[600, 32, 32, 3\]; multiply by 255 and train_x.astype\('uint8'\) "
        r"and train_x.transpose\(0, 3, 1, 2\)",
    ),
    "float": (
        {"train_x": X / 255},
        r"found float64 \[600, 3, 32, 32\]; multiply by 255 and train_x.astype\('uint8'\)$",
    ),
    "float to 255": (
        {"train_x": X.astype(np.float32)},
        r"found float32 \[600, 3, 32, 32\]; train_x.astype\('uint8'\)$",
    ),
    "standardised": ({"test_x": X[:90] / 64.0 - 2}, r"test_x: .* bring the values, -2 to 1.984, to 0 to 255"),
    "int64": ({"train_x": X.astype(np.int64)}, r"found int64 .*; train_x.astype\('uint8'\)$"),
    "NaN": ({"train_x": NAN}, r"found float32 .*; 5 values are not finite: remove those images"),
    "bool": ({"train_x": X > 99}, r"found bool .*; multiply by 255"),
    "NHWC": ({"train_x": X.transpose(0, 2, 3, 1)}, r"found uint8 \[600, 32, 32, 3\]; train_x.transpose\(0, 3, 1, 2\)$"),
    "grey": ({"train_x": X[:, 0]}, r"found uint8 \[600, 32, 32\]; train_x\[:, None\] for grey images"),
    "flat": ({"train_x": X.reshape(N, -1)}, r"found uint8 \[600, 3072\]; train_x.reshape\(-1, C, H, W\)"),
    "a list": ({"train_x": X.tolist()}, r"train_x: expected uint8 \[N, C, H, W\], found list"),
    "objects": ({"train_x": X.astype(object)}, r"train_x: .* found object"),
    "nothing": ({"train_x": X[:0], "train_y": Y[:0]}, r"train_x: expected at least one image .*found \[0, 3, 32, 32\]"),
    "no test": ({"test_x": X[:0], "test_y": Y[:0]}, r"test_x: expected at least one image"),
    "no pixels": ({"train_x": X[:, :, :0]}, r"train_x: expected at least one image .*found \[600, 3, 0, 32\]"),
    "from 1": ({"train_y": Y + 1}, r"train_y: expected labels 0 to 9, one a class name, found 1 to 10; train_y - 1$"),
    "negative": ({"train_y": Y - 1}, r"train_y: expected labels 0 to 9, one a class name, found -1 to 8"),
    "more classes": ({"test_y": Y[:90] * 2}, r"test_y: expected labels 0 to 9.*found 0 to 18; or name all the classes"),
    "float labels": (
        {"train_y": Y.astype(float)},
        r"train_y: expected whole numbers \[N\], found float64 \[600\]; train_y.astype\(int\)",
    ),
    "one-hot": (
        {"train_y": HOT},
        r"train_y: expected whole numbers \[N\], found float32 \[600, 10\]; train_y.argmax\(1\) if they are one-hot",
    ),
    "a column": ({"train_y": Y[:, None]}, r"found int64 \[600, 1\]; train_y.ravel\(\)"),
    "texts": ({"train_y": np.array(NAMES)[Y]}, r"found <U1 \[600\]; np.unique\(train_y, return_inverse=True\)\[1\]"),
    "fewer labels": ({"train_y": Y[:500]}, r"train_y: 500 labels for 600 images"),
    "more labels": ({"test_y": Y}, r"test_y: 600 labels for 90 images"),
    "other size": (
        {"test_x": images(90, 3, 28, 28)},
        r"test_x: images of 3 x 28 x 28, but the training images are 3 x 32 x 32",
    ),
    "one name": ({"class_names": ["cat"]}, r"class_names: expected a list of at least two texts, found \['cat'\]"),
    "a text": ({"class_names": "cat"}, r"class_names: expected a list of at least two texts, found 'cat'"),
    "a number": ({"class_names": 10}, r"class_names: expected a list of at least two texts, found 10"),
    "bfloat16": ({"train_x": torch.zeros(N, 3, 32, 32, dtype=torch.bfloat16)}, r"found bfloat16 .*; multiply by 255"),
    "black": ({"train_x": X * 0}, r"train_x: all 600 images are of one colour"),
    "one class": ({"train_y": Y * 0 + 4}, r"train_y: all 600 labels are 4; at least two classes must occur"),
}


@pytest.mark.parametrize(("other", "said"), BAD.values(), ids=BAD)
def test_arrays_that_do_not_fit_are_one_line(other, said):
    with pytest.raises(UserError, match=said) as caught:
        select(RawImages(**given(**other)), ALL)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 250


DIRECT = {
    "float images": (
        {"val_x": torch.rand(5, 3, 32, 32), "val_y": torch.zeros(5).long()},
        r"val_x: expected uint8 .*found float32",
    ),
    "labels of validation": ({"val_y": torch.zeros(5).long()}, r"val_y: 5 labels for 0 images"),
    "clean labels": ({"train_y_clean": torch.zeros(5).long()}, r"train_y_clean: 5 labels for 600 images"),
    "mean": ({"mean": [0.5]}, r"mean: expected 3 finite numbers, one a channel, found \[0.5\]"),
    "std": ({"std": [0.5, 0.5, float("nan")]}, r"std: expected 3 finite numbers"),
    "float labels": ({"test_y": torch.zeros(90)}, r"test_y: expected whole numbers \[N\], found float32 \[90\]"),
}


@pytest.mark.parametrize(("other", "said"), DIRECT.values(), ids=DIRECT)
def test_tensors_that_do_not_fit_are_one_line(other, said):
    with pytest.raises(UserError, match=said):
        dataclasses.replace(select(RawImages(**given()), ALL), **other)


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a.astype(a.dtype.newbyteorder(">")),
        lambda a: a[::-1][::-1],
        lambda a: np.asfortranarray(a),
        lambda a: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape),
        lambda a: torch.from_numpy(a),
    ],
    ids=["byte order", "reversed views", "Fortran order", "read-only", "tensors"],
)
def test_sound_arrays_of_any_kind_give_the_same_data(change):
    plain, parts = select(RawImages(**given()), ALL), given()
    changed = {k: change(v) if isinstance(v, np.ndarray) else v for k, v in parts.items()}
    assert select(RawImages(**changed), ALL).fingerprint() == plain.fingerprint()
    small = {k: v.astype(np.uint8) if k.endswith("_y") else v for k, v in parts.items()}
    assert select(RawImages(**small), ALL).fingerprint() == plain.fingerprint()


def test_a_sound_container_moves_between_devices():
    data = select(RawImages(**given()), Selection(500, 100, None, None, 0.1, 0))
    assert isinstance(data.to(torch.device("cpu")), LabelledImages)
    assert data.to(torch.device("cpu")).fingerprint() == data.fingerprint()


OWN = """
import numpy as np
import json, zipfile, zlib


def missing(root):
    return np.load(f"{root}/absent.npz")


def array(root):
    with np.load(f"{root}/mine.npz") as z:
        return z["test_x"]


def index(root):
    return [1][3]


def cut(root):
    with open(f"{root}/cut.npz", "rb") as file: return np.load(file)


def pickled(root):
    return np.load(f"{root}/pickled.npy")


def twice(root):
    raise ValueError("two\\nlines")


def folder(root):
    return open(root)
"""
ENDS = {
    "missing": r"^dataset: FileNotFoundError at {file}:7: No such file or directory: .*absent.npz$",
    "array": r"^dataset: KeyError at {file}:12: .*test_x is not a file in the archive",
    "index": r"^dataset: IndexError at {file}:16: list index out of range$",
    "cut": r"^dataset: BadZipFile at {file}:20: ",
    "pickled": r"^dataset: .*allow_pickle",
    "twice": r"^dataset: two lines$",
    "folder": r"^dataset: IsADirectoryError at {file}:32: Is a directory: ",
}


@pytest.mark.parametrize("name", ENDS)
def test_what_a_data_set_s_function_meets_is_one_line_with_its_place(name, tmp_path: Path, monkeypatch):
    file = tmp_path / "own_data_set.py"
    file.write_text(OWN)
    np.savez(tmp_path / "mine.npz", x=np.zeros(3))
    (tmp_path / "cut.npz").write_bytes((tmp_path / "mine.npz").read_bytes()[:-30])
    np.save(tmp_path / "pickled.npy", np.array([{}], dtype=object))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_data_set", raising=False)
    with pytest.raises(UserError) as caught:
        build("dataset", {"_target_": f"own_data_set.{name}"}, str(tmp_path))
    assert re.search(ENDS[name].format(file=re.escape(str(file))), str(caught.value)), str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_method_s_own_mistake_stays_one(tmp_path, monkeypatch):
    """Only a data set is what its files make it."""
    (tmp_path / "own_method_set.py").write_text("def make():\n    return {}['x']\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(KeyError):
        build("method", {"_target_": "own_method_set.make"})
