"""EMNIST letters (Cohen et al., 2017): 124,800 + 20,800 handwritten letters of 26 classes, 28 x 28, from IDX files in torchvision's layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.errors import UserError
from bench.tasks.classification.images import LabelledImages
from datasets.images.mnist import read_idx
from datasets.images.selection import RawImages, Selection, select
from datasets.images.vision import download, torchvision
from datasets.reading import damaged

LETTERS = [chr(ord("a") + k) for k in range(26)]
PARTS = ("train", "test")


def letters(root: str, seed: int) -> LabelledImages:
    """The letters from `root`/EMNIST/raw (plain or .gz), else through torchvision's download; upright, as MNIST's digits are.

    Args:
        seed: not used.

    Raises:
        UserError: files that are not there or not so.
    """
    folder = Path(root) / "EMNIST" / "raw"
    names = [f"emnist-letters-{part}-{kind}-ubyte" for part in PARTS for kind in ("images-idx3", "labels-idx1")]
    if not any(_path(folder, name) for name in names):
        archive = (
            f"the files emnist-letters-* of gzip.zip (nist.gov/itl/products-and-services/emnist-dataset) in {folder}"
        )
        reader = torchvision().datasets.EMNIST
        download(lambda: reader(root, split="letters", download=True), "emnist letters", [folder], archive)
    paths = [_path(folder, name) for name in names]
    if missing := [name for name, path in zip(names, paths) if path is None]:
        raise UserError(f"{folder} is incomplete: {', '.join(missing)} not found; put it there")
    raw = RawImages(*_part(*paths[:2]), *_part(*paths[2:]), class_names=LETTERS, mirror=False)
    return select(raw, Selection(None, 0, None, None, 0.0, 0))


def _path(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def _part(images: Path, labels: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images [N, 1, 28, 28], which the files hold transposed, and labels [N], which they count from 1."""
    x, y = read_idx(images), read_idx(labels)
    if x.ndim != 3 or x.shape[1:] != (28, 28) or not len(x):
        raise damaged(images, f"expected images [N, 28, 28], found {list(x.shape)}")
    if y.ndim != 1 or not len(y) or not 1 <= y.min() <= y.max() <= len(LETTERS):
        raise damaged(labels, f"expected labels [N] from 1 to {len(LETTERS)}")
    if len(x) != len(y):
        raise UserError(f"{labels} has {len(y):,} labels for {len(x):,} images of {images.name}; fetch both again")
    return x.transpose(0, 2, 1)[:, None], y.astype(np.int64) - 1
