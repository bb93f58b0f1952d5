"""SVHN, cropped house numbers (Netzer et al., 2011): 73,257 + 26,032 colour images of digits, 32 x 32, from MATLAB files."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from bench.errors import UserError
from bench.tasks.classification.images import LabelledImages
from bench.types import NonNegativeInt, PositiveInt, Probability
from datasets.images.selection import RawImages, Selection, select
from datasets.images.vision import download, torchvision
from datasets.reading import contents, damaged

FILES = {"train": "train_32x32.mat", "test": "test_32x32.mat"}


def svhn(
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
    """SVHN from `root` in torchvision's layout, else through its download. See datasets.images.selection for the arguments."""
    paths = {split: Path(root) / name for split, name in FILES.items()}
    if not any(path.is_file() for path in paths.values()):
        archive = f"the files {' and '.join(FILES.values())}"
        reader = torchvision().datasets.SVHN
        download(lambda: [reader(root, split, download=True) for split in FILES], "svhn", [Path(root)], archive)
    if missing := [name for split, name in FILES.items() if not paths[split].is_file()]:
        raise UserError(f"{root}: {', '.join(missing)} not found, the other part is there; put it there too")
    parts = [_part(path) for path in paths.values()]
    raw = RawImages(*parts[0], *parts[1], [str(d) for d in range(10)], mirror=False)
    return select(raw, Selection(train_size, val_size, test_size, classes, label_noise, split_seed))


def _part(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images [N, 3, 32, 32] and labels [N]; the files' label 10 is the digit 0."""
    from scipy.io import loadmat

    content = contents(path)
    try:
        found = loadmat(io.BytesIO(content), variable_names=("X", "y"))
    except Exception as error:  # a damaged file raises whatever its bytes lead to
        raise damaged(path, f"no MATLAB file ({type(error).__name__})") from None
    x, y = found.get("X"), found.get("y")
    if x is None or x.dtype != np.uint8 or x.ndim != 4 or x.shape[:3] != (32, 32, 3):
        raise damaged(path, "expected images X, bytes [32, 32, 3, N]")
    if y is None or y.dtype.kind not in "iuf" or y.size != x.shape[3] or not np.isin(y, range(1, 11)).all():
        raise damaged(path, f"expected labels y from 1 to 10, one for each of {x.shape[3]:,} images")
    return np.ascontiguousarray(x.transpose(3, 2, 0, 1)), y.ravel().astype(np.int64) % 10
