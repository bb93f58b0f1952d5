"""MNIST (LeCun et al., 1998): 60,000 + 10,000 digits, 28 x 28, from IDX files."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from bench.errors import UserError
from bench.tasks.classification.images import LabelledImages
from bench.types import NonNegativeInt, PositiveInt, Probability
from datasets.images.selection import RawImages, Selection, facts_of_labels, select
from datasets.images.vision import download, torchvision
from datasets.reading import contents, damaged

FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def mnist(
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
    """MNIST from `root`/MNIST/raw (plain or .gz), else through torchvision's download. See datasets.images.selection for the arguments."""
    folder = Path(root) / "MNIST" / "raw"
    if not any(_path(folder, name) for name in FILES):
        download(
            lambda: torchvision().datasets.MNIST(root, download=True),
            "mnist",
            [folder],
            "the four IDX files (folder MNIST/raw)",
        )
    if missing := [name for name in FILES if not _path(folder, name)]:
        raise UserError(
            f"{folder} is incomplete: {', '.join(missing)} not found; put it there, or remove the folder to fetch all again"
        )
    paths = [_path(folder, name) for name in FILES]
    raw = RawImages(*_part(*paths[:2]), *_part(*paths[2:]), [str(d) for d in range(10)], mirror=False)
    return select(raw, Selection(train_size, val_size, test_size, classes, label_noise, split_seed))


def _path(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def _part(images: Path, labels: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images [N, 1, 28, 28] and labels [N], 0 to 9, that belong together."""
    x, y = read_idx(images), read_idx(labels)
    if x.ndim != 3 or x.shape[1:] != (28, 28) or not len(x):
        raise damaged(images, f"expected images [N, 28, 28], found {list(x.shape)}")
    if y.ndim != 1:
        raise damaged(labels, f"expected labels [N], found {list(y.shape)}")
    if len(x) != len(y):
        raise UserError(f"{labels} has {len(y):,} labels for {len(x):,} images of {images.name}; fetch both again")
    if y.max() > 9:
        raise damaged(labels, f"it has a label of {y.max()}, and digits are 0 to 9")
    return x[:, None], y


def read_idx(path: Path) -> np.ndarray:
    """The array of an IDX file, plain or .gz; UserError where it is none."""
    try:
        return parse_idx(contents(path))
    except ValueError as error:
        raise damaged(path, error) from None


def parse_idx(content: bytes) -> np.ndarray:
    """An IDX file of unsigned bytes: magic 00 00 08 <dimensions>, big-endian sizes, then the data.

    Raises:
        ValueError: it is none, or its size is not what its header says.
    """
    dimensions = content[3] if len(content) > 3 and content[:3] == b"\0\0\x08" else 0
    if not 0 < dimensions < 5 or len(content) < 4 + 4 * dimensions:
        raise ValueError(f"not an IDX file of bytes, {len(content):,} bytes found")
    shape = np.frombuffer(content, dtype=">u4", count=dimensions, offset=4).tolist()
    expected = 4 + 4 * dimensions + math.prod(shape)
    if len(content) != expected:
        sizes = " x ".join(f"{size:,}" for size in shape)
        raise ValueError(f"expected {expected:,} bytes ({sizes} by its header), found {len(content):,}")
    return np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * dimensions).reshape(shape).copy()


def facts(content: bytes) -> dict[str, Any]:
    """Shape of an IDX file; labels and counts where it has one dimension. Raises ValueError: it is none."""
    found = parse_idx(content)
    return {"shape": list(found.shape), **(facts_of_labels(found) if found.ndim == 1 else {})}
