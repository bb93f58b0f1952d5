"""Clothing1M (Xiao et al., 2015), for a person who has it: a million web images of 14 classes with noisy labels, beside small clean lists.

The layout is the official one, below data_root/clothing1M: `images/...`; in the folder itself or in `annotations/` the lists noisy_train_key_list.txt,
clean_val_key_list.txt, clean_test_key_list.txt (an image's path a row) and noisy_label_kv.txt, clean_label_kv.txt (path and label, 0 to 13).
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bench.errors import UserError
from bench.seeding import generator
from bench.tasks.valuation.points import Points
from bench.types import NonNegativeInt, PositiveInt
from datasets.images.cropping import cropped
from datasets.reading import contents, damaged

NAMES = (
    "T-Shirt", "Shirt", "Knitwear", "Chiffon", "Sweater", "Hoodie", "Windbreaker", "Jacket", "Downcoat", "Suit", "Shawl", "Dress", "Vest",
    "Underwear",
)  # fmt: skip
MEAN, STD = (0.6959, 0.6537, 0.6371), (0.3113, 0.3192, 0.3214)
RESIZED = 256 / 224  # the shorter side, of the crop's
LISTS = {
    "train": ("noisy_train_key_list.txt", "noisy_label_kv.txt"),
    "reference": ("clean_val_key_list.txt", "clean_label_kv.txt"),
    "test": ("clean_test_key_list.txt", "clean_label_kv.txt"),
}
TRAIN, REFERENCE, TEST = 40, 41, 42  # streams


def clothing1m(
    root: str,
    seed: int,
    *,
    train_size: PositiveInt | None = None,
    reference_size: PositiveInt | None = None,
    test_size: NonNegativeInt | None = None,
    image_size: PositiveInt = 64,
) -> Points:
    """Noisy training images, the clean validation list as reference, the clean test list; nobody knows which labels are wrong.

    Images are resized so that the shorter side is 256/224 of `image_size`, and the centre is cut out, image_size x image_size.

    Args:
        root: data_root.
        train_size, reference_size, test_size: random images of each list; None: all.

    Raises:
        UserError: files that are not there or not so, or more images than memory holds (a million of 64 x 64 are 12 GB).
    """
    folder = Path(root) / "clothing1M"
    sizes = {"train": train_size, "reference": reference_size, "test": test_size}
    labels = {name: _labels(_list(folder, name)) for name in {file for _, file in LISTS.values()}}
    chosen = {}
    for stream, part in ((TRAIN, "train"), (REFERENCE, "reference"), (TEST, "test")):
        keys_in, labels_in = LISTS[part]
        keys = _keys(_list(folder, keys_in), labels[labels_in], labels_in)
        chosen[part] = _drawn(keys, sizes[part], f"{part}_size", seed, stream)
    _check_memory(sum(map(len, chosen.values())), image_size)
    x = {part: _images(folder, keys, image_size) for part, keys in chosen.items()}
    y = {part: torch.tensor([labels[LISTS[part][1]][key] for key in keys]) for part, keys in chosen.items()}
    tested = len(chosen["test"]) > 0
    return Points(
        train_x=x["train"],
        train_y=y["train"],
        reference_x=x["reference"],
        reference_y=y["reference"],
        num_classes=len(NAMES),
        test_x=x["test"] if tested else None,
        test_y=y["test"] if tested else None,
        mean=MEAN,
        std=STD,
        mirror=True,
        ids=tuple(chosen["train"]),
        class_names=NAMES,
    )


def _list(folder: Path, name: str) -> Path:
    places = (folder / "annotations" / name, folder / name)
    found = next((path for path in places if path.is_file()), None)
    if found is None:
        raise UserError(
            f"data set 'clothing1m' not found: looked for {places[0]} and {places[1]}; the data set is given on request by its authors "
            "(github.com/Cysu/noisy_label); another folder: data_root=DIR or CLAIMBENCH_DATA"
        )
    return found


def _rows(path: Path) -> list[str]:
    try:
        return [row for row in contents(path).decode("utf-8").splitlines() if row.strip()]
    except UnicodeDecodeError as error:
        raise damaged(path, error) from None


def _labels(path: Path) -> dict[str, int]:
    """Labels by image."""
    found = {}
    for number, row in enumerate(_rows(path), 1):
        key, _, label = row.strip().rpartition(" ")
        if not key or not label.isdecimal() or int(label) >= len(NAMES):
            raise UserError(f"{path}, row {number}: '{row}'; an image's path and a label from 0 to 13 are expected")
        found[key.strip()] = int(label)
    return found


def _keys(path: Path, labels: dict[str, int], labels_in: str) -> list[str]:
    keys = [row.strip() for row in _rows(path)]
    if absent := next((key for key in keys if key not in labels), None):
        raise UserError(f"{path}: {absent} has no label in {labels_in}")
    if outside := next((key for key in keys if Path(key).is_absolute() or ".." in Path(key).parts), None):
        raise UserError(f"{path}: {outside} lies outside the data set's folder")
    return keys


def _drawn(keys: list[str], size: int | None, key: str, seed: int, stream: int) -> list[str]:
    """`size` of the keys in random order."""
    if size is not None and size > len(keys):
        raise UserError(f"dataset.{key} = {size}: the list has {len(keys):,} images")
    order = torch.randperm(len(keys), generator=generator(seed, "data", stream))
    return [keys[k] for k in order[:size].tolist()]


def _check_memory(images: int, size: int) -> None:
    needed, held = images * 3 * size**2, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > 0.8 * held:
        raise UserError(
            f"{images:,} images of {size} x {size} take {needed / 1e9:.0f} GB, and this machine has {held / 1e9:.0f}; "
            "set dataset.train_size or a smaller dataset.image_size"
        )


def _images(folder: Path, keys: list[str], size: int) -> Tensor:
    """uint8 [N, 3, size, size]."""
    found = np.empty((len(keys), 3, size, size), dtype=np.uint8)

    def put(k: int) -> None:
        found[k] = read_image(folder / keys[k], size)

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for _ in pool.map(put, range(len(keys)), chunksize=256):
            pass
    return torch.from_numpy(found)


def read_image(path: Path, size: int) -> np.ndarray:
    """An image's centre, uint8 [3, size, size], after the shorter side was resized to 256/224 of it. UserError: no file, or no image."""
    if not path.is_file():
        raise UserError(f"{path}: no such image, and a list of data set 'clothing1m' names it")
    return cropped(path, size, round(RESIZED * size))
