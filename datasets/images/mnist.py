"""MNIST (LeCun et al., 1998): 60,000 + 10,000 digits, 28 x 28, from IDX files."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np

from bench.errors import UserError
from bench.tasks.classification.images import LabelledImages
from bench.types import NonNegativeInt, PositiveInt, Probability
from datasets.images.selection import RawImages, Selection, select
from datasets.images.vision import download, torchvision

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
    if not all(_path(folder, name) for name in FILES):
        download(
            lambda: torchvision().datasets.MNIST(root, download=True),
            "mnist",
            [folder],
            "the four IDX files (folder MNIST/raw)",
        )
    train_x, train_y, test_x, test_y = (read_idx(_path(folder, name) or folder / name) for name in FILES)
    raw = RawImages(train_x[:, None], train_y, test_x[:, None], test_y, [str(d) for d in range(10)], mirror=False)
    return select(raw, Selection(train_size, val_size, test_size, classes, label_noise, split_seed))


def _path(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def read_idx(path: Path) -> np.ndarray:
    """An IDX file of unsigned bytes: magic 00 00 08 <dimensions>, big-endian sizes, then the data."""
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, OSError) as error:
        raise UserError(f"{path} is damaged ({error}); remove it and fetch it again") from None
    dimensions = content[3] if len(content) > 3 and content[:3] == b"\0\0\x08" else 0
    if dimensions == 0 or len(content) < 4 + 4 * dimensions:
        raise UserError(
            f"{path} is damaged: not an IDX file of bytes, {len(content)} bytes found; remove it and fetch it again"
        )
    shape = np.frombuffer(content, dtype=">u4", count=dimensions, offset=4).astype(int)
    expected = 4 + 4 * dimensions + int(np.prod(shape))
    if len(content) != expected:
        raise UserError(
            f"{path} is damaged: expected {expected} bytes, found {len(content)}; remove it and fetch it again"
        )
    return np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * dimensions).reshape(shape).copy()
