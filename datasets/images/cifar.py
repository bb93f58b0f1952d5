"""CIFAR-10 and CIFAR-100 (Krizhevsky, 2009): 50,000 + 10,000 colour images, 32 x 32."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from bench.errors import UserError
from bench.tasks.classification.images import LabelledImages
from bench.types import NonNegativeInt, PositiveInt, Probability
from datasets.images.selection import RawImages, Selection, select
from datasets.images.vision import download, sized, torchvision

PIXELS = 3 * 32 * 32


def cifar10(
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
    """CIFAR-10 from `root`, in the binary layout or torchvision's. See datasets.images.selection for the arguments."""
    files = ([f"data_batch_{k}.bin" for k in range(1, 6)], ["test_batch.bin"])
    raw = _read(
        Path(root), "cifar10", "CIFAR10", "cifar-10-batches-bin", "cifar-10-batches-py", files, 1, "batches.meta.txt"
    )
    return select(raw, Selection(train_size, val_size, test_size, classes, label_noise, split_seed))


def cifar100(
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
    """CIFAR-100 (fine labels) from `root`, in the binary layout or torchvision's. See datasets.images.selection for the arguments."""
    files = (["train.bin"], ["test.bin"])
    raw = _read(
        Path(root), "cifar100", "CIFAR100", "cifar-100-binary", "cifar-100-python", files, 2, "fine_label_names.txt"
    )
    return select(raw, Selection(train_size, val_size, test_size, classes, label_noise, split_seed))


def _read(
    root: Path,
    name: str,
    reader: str,
    binary: str,
    python: str,
    files: tuple[list[str], list[str]],
    label_bytes: int,
    names: str,
) -> RawImages:
    folder = root / binary
    if folder.is_dir():
        parts = [_records(folder, split, 50_000 if k == 0 else 10_000, label_bytes) for k, split in enumerate(files)]
        labels = (folder / names).read_text(encoding="utf-8").split()
        return RawImages(*parts[0], *parts[1], class_names=labels, mirror=True)
    archive = f"the official binary archive (folder {binary})"
    return download(
        lambda: _torchvision(root, reader, not (root / python).is_dir()), name, [folder, root / python], archive
    )


def _records(folder: Path, files: list[str], total: int, label_bytes: int) -> tuple[np.ndarray, np.ndarray]:
    """Images [N, 3, 32, 32] and labels [N] of binary records: label bytes (the last one counts), then planes R, G, B."""
    length = label_bytes + PIXELS
    missing = [name for name in files if not (folder / name).is_file()]
    if missing:
        raise UserError(f"{folder} is incomplete: {', '.join(missing)} not found; unpack the archive again")
    bytes_ = b"".join(sized(folder / name, total // len(files) * length) for name in files)
    rows = np.frombuffer(bytes_, dtype=np.uint8).reshape(-1, length)
    return rows[:, label_bytes:].reshape(-1, 3, 32, 32).copy(), rows[:, label_bytes - 1].astype(np.int64)


def _torchvision(root: Path, reader: str, fetch: bool) -> RawImages:
    make: Any = getattr(torchvision().datasets, reader)
    try:
        train, test = make(root, train=True, download=fetch), make(root, train=False, download=fetch)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        if fetch:
            raise
        raise UserError(
            f"{root}: torchvision cannot read its layout of {reader} ({error}); remove the folder and fetch it again"
        ) from None
    images = [np.ascontiguousarray(part.data.transpose(0, 3, 1, 2)) for part in (train, test)]
    labels = [np.asarray(part.targets, dtype=np.int64) for part in (train, test)]
    return RawImages(images[0], labels[0], images[1], labels[1], class_names=list(train.classes), mirror=True)
