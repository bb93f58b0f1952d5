"""CIFAR-10 and CIFAR-100 (Krizhevsky, 2009): 50,000 + 10,000 colour images, 32 x 32."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench.errors import UserError
from bench.tasks.classification.images import LabelledImages
from bench.types import NonNegativeInt, PositiveInt, Probability
from datasets.images import pickles
from datasets.images.selection import RawImages, Selection, facts_of_labels, select
from datasets.images.vision import download, torchvision
from datasets.reading import contents, damaged

PIXELS = 3 * 32 * 32
Part = tuple[np.ndarray, np.ndarray]  # images [N, 3, 32, 32], labels [N]


@dataclass(frozen=True)
class Files:
    """Where a set's parts lie below data_root, by layout: training and test files, and the file of the class names."""

    name: str
    binary: str
    records: tuple[list[str], list[str]]
    words: str
    label_bytes: int
    reader: str  # torchvision's
    python: str
    pickles: tuple[list[str], list[str]]
    meta: str
    labels: str  # key of a batch


TEN = Files(
    name="cifar10",
    binary="cifar-10-batches-bin",
    records=([f"data_batch_{k}.bin" for k in range(1, 6)], ["test_batch.bin"]),
    words="batches.meta.txt",
    label_bytes=1,
    reader="CIFAR10",
    python="cifar-10-batches-py",
    pickles=([f"data_batch_{k}" for k in range(1, 6)], ["test_batch"]),
    meta="batches.meta",
    labels="labels",
)
HUNDRED = Files(
    name="cifar100",
    binary="cifar-100-binary",
    records=(["train.bin"], ["test.bin"]),
    words="fine_label_names.txt",
    label_bytes=2,
    reader="CIFAR100",
    python="cifar-100-python",
    pickles=(["train"], ["test"]),
    meta="meta",
    labels="fine_labels",
)


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
    raw = _read(Path(root), TEN)
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
    raw = _read(Path(root), HUNDRED)
    return select(raw, Selection(train_size, val_size, test_size, classes, label_noise, split_seed))


def _read(root: Path, files: Files) -> RawImages:
    """The binary layout where its folder is, else torchvision's, else its download."""
    binary, python = root / files.binary, root / files.python
    if not binary.is_dir() and not python.is_dir():
        archive = f"the official binary archive (folder {files.binary})"
        download(
            lambda: getattr(torchvision().datasets, files.reader)(root, download=True),
            files.name,
            [binary, python],
            archive,
        )
    if binary.is_dir():
        _complete(binary, [*files.records[0], *files.records[1], files.words])
        names = _parsed(binary / files.words, class_names)
        read = partial(records, label_bytes=files.label_bytes)
        parts = [_part(binary, split, read, names, files.words) for split in files.records]
    else:
        _complete(python, [*files.pickles[0], *files.pickles[1], files.meta])
        names = _parsed(python / files.meta, lambda content: meta_names(content, f"{files.labels[:-1]}_names"))
        parts = [_part(python, split, batch, names, files.meta) for split in files.pickles]
    return RawImages(*parts[0], *parts[1], class_names=names, mirror=True)


def _complete(folder: Path, names: list[str]) -> None:
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise UserError(
            f"{folder} is incomplete: {', '.join(missing)} not found; unpack the archive again, or remove the folder to fetch it"
        )


def _parsed(path: Path, parse: Callable[[bytes], Any]) -> Any:
    content = contents(path)
    try:
        return parse(content)
    except ValueError as error:
        raise damaged(path, error) from None


def _part(folder: Path, files: list[str], read: Callable[[bytes], Part], names: list[str], named_in: str) -> Part:
    """Files one after another; every label has a name."""
    parts = []
    for file in files:
        images, labels = _parsed(folder / file, read)
        if labels.max() >= len(names):
            reason = f"it has a label of {labels.max()}, and {named_in} names classes 0 to {len(names) - 1}"
            raise damaged(folder / file, reason)
        parts.append((images, labels))
    return np.concatenate([images for images, _ in parts]), np.concatenate([labels for _, labels in parts])


def records(content: bytes, label_bytes: int) -> Part:
    """Binary records: label bytes (the last one counts), then planes R, G, B. Raises ValueError: no whole number of them."""
    length = label_bytes + PIXELS
    if not content or len(content) % length:
        raise ValueError(f"expected records of {length:,} bytes, found {len(content):,} bytes")
    rows = np.frombuffer(content, dtype=np.uint8).reshape(-1, length)
    return rows[:, label_bytes:].reshape(-1, 3, 32, 32), rows[:, label_bytes - 1].astype(np.int64)


def batch(content: bytes) -> Part:
    """A batch of torchvision's layout, a pickle. Raises ValueError: it is none."""
    found = pickles.load(content)
    images, labels = found.get("data"), found.get("labels", found.get("fine_labels"))
    if not isinstance(images, np.ndarray) or images.ndim != 2 or images.shape[1] != PIXELS or not len(images):
        raise ValueError(f"expected a pickle with `data`, bytes [N, {PIXELS:,}]")
    if not isinstance(labels, list) or len(labels) != len(images):
        raise ValueError(f"expected a pickle with a list of {len(images):,} labels, one an image")
    if not all(type(label) is int and 0 <= label < 256 for label in labels):
        raise ValueError("expected labels from 0 to 255")
    return images.reshape(-1, 3, 32, 32), np.asarray(labels, dtype=np.int64)


def class_names(content: bytes) -> list[str]:
    """Words of a text. Raises ValueError: none, or not UTF-8."""
    names = content.decode("utf-8").split()
    if not names:
        raise ValueError("no class names")
    return names


def meta_names(content: bytes, key: str) -> list[str]:
    """Class names of torchvision's layout, a pickle. Raises ValueError: it is none."""
    names = pickles.load(content).get(key)
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise ValueError(f"expected a pickle with `{key}`, a list of texts")
    return names


def facts10(content: bytes) -> dict[str, Any]:
    """Shape, labels and counts of a file of CIFAR-10's binary layout. Raises ValueError, as those below."""
    return _facts(records(content, 1))


def facts100(content: bytes) -> dict[str, Any]:
    """The same of CIFAR-100's; fine labels."""
    return _facts(records(content, 2))


def facts_of_batch(content: bytes) -> dict[str, Any]:
    """The same of a batch in torchvision's layout."""
    return _facts(batch(content))


def facts_of_names(content: bytes) -> dict[str, Any]:
    """How many class names a text has."""
    return {"shape": [len(class_names(content))]}


def _facts(part: Part) -> dict[str, Any]:
    return {"shape": list(part[0].shape), **facts_of_labels(part[1])}
