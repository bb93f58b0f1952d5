"""Tiny ImageNet (Stanford's CS231N): 100,000 + 10,000 colour images of 200 classes, 64 x 64, from the official folder of JPEG files.

The files are decoded once, in processes of their own, into `decoded.npz` in that folder, which is all that a run reads. It is made again where
a file's name or size is another. The official test images have no labels: the validation images are the test set, as everywhere.
"""

from __future__ import annotations

import os
import tempfile
import zipfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from bench.errors import UserError
from bench.tasks.classification.images import LabelledImages
from bench.types import NonNegativeInt, PositiveInt, Probability
from datasets.images.jpeg_tree import decoded, fingerprint, read_tree
from datasets.images.selection import RawImages, Selection, select
from datasets.reading import damaged

FOLDER = "tiny-imagenet-200"
KEPT = "decoded.npz"
ARRAYS = ("train_x", "train_y", "test_x", "test_y", "class_names")
AT_ONCE = 500  # images that a process decodes before it hands them over


def tiny_imagenet(
    root: str,
    seed: int,
    *,
    train_size: PositiveInt | None = None,
    val_size: NonNegativeInt = 0,
    test_size: PositiveInt | None = None,
    classes: list[NonNegativeInt] | None = None,
    label_noise: Probability = 0.0,
    split_seed: NonNegativeInt = 0,
) -> LabelledImages:
    """Tiny ImageNet from `root`/tiny-imagenet-200. See datasets.images.selection for the arguments.

    Raises:
        UserError: the folder is not there, not whole, or cannot hold the decoded images.
    """
    folder = Path(root) / FOLDER
    kept = _kept(folder)
    raw = RawImages(
        kept["train_x"], kept["train_y"], kept["test_x"], kept["test_y"], kept["class_names"].tolist(), mirror=True
    )
    return select(raw, Selection(train_size, val_size, test_size, classes, label_noise, split_seed))


def _kept(folder: Path) -> dict[str, np.ndarray]:
    """The decoded images, made first where they are not there or not of the files that are."""
    path, whole = folder / KEPT, (folder / "train").is_dir()
    if not whole and not path.is_file():
        raise UserError(
            f"data set 'tiny_imagenet' not found: looked for {folder / 'train'}; unpack tiny-imagenet-200.zip "
            f"(cs231n.stanford.edu/tiny-imagenet-200.zip) in {folder.parent} (another folder: data_root=DIR or CLAIMBENCH_DATA)"
        )
    of_files = fingerprint(folder) if whole else None
    found = _loaded(path) if path.is_file() else None
    if found is not None and of_files in (None, str(found.pop("of"))):
        return found
    if of_files is None:
        raise damaged(path, "not the decoded images of Tiny ImageNet")
    _write(path, _decode(folder) | {"of": np.array(of_files)})
    found = _loaded(path)
    if found is None:
        raise damaged(path, "it cannot be read back")
    return found


def _loaded(path: Path) -> dict[str, np.ndarray] | None:
    """What the file holds; None where it is no such file."""
    try:
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            found = {name: file[name] for name in (*ARRAYS, "of")}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return found


def _decode(folder: Path) -> dict[str, np.ndarray]:
    """In other processes, so that the JPEG files are not what a run is known to have read: their decoded images are."""
    with ProcessPoolExecutor(min(8, os.cpu_count() or 1), mp_context=get_context("spawn")) as pool:
        tree = pool.submit(read_tree, folder).result()
        found: dict[str, Any] = {"class_names": np.array(tree.class_names)}
        for part, files in (("train", tree.train), ("test", tree.val)):
            names = [name for name, _ in files]
            pieces = [names[start : start + AT_ONCE] for start in range(0, len(names), AT_ONCE)]
            found[f"{part}_x"] = np.concatenate(list(pool.map(decoded, [folder] * len(pieces), pieces)))
            found[f"{part}_y"] = np.array([label for _, label in files], dtype=np.int64)
    return found


def _write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Under another name first: a file of this name is always whole."""
    try:
        handle, name = tempfile.mkstemp(suffix=".tmp", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez(file, **arrays)
            os.replace(name, path)
        finally:
            Path(name).unlink(missing_ok=True)
    except OSError as error:
        raise UserError(
            f"{path}: the decoded images cannot be written ({error.strerror}); make the folder writable"
        ) from None
