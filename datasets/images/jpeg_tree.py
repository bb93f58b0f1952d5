"""The official folder of Tiny ImageNet: what it should hold, whether it does, and its images decoded. Imports no torch: runs in processes of its own."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.errors import UserError, in_one_line
from datasets.reading import contents, damaged

SIDE = 64  # pixels
AGAIN = "unpack tiny-imagenet-200.zip again"


@dataclass(frozen=True)
class Tree:
    """Files by part, with the class of each; classes are numbered by their sorted identifiers, as torchvision's ImageFolder numbers folders."""

    class_names: list[str]
    train: list[tuple[str, int]]  # path below the folder, class
    val: list[tuple[str, int]]


def read_tree(folder: Path) -> Tree:
    """What `wnids.txt`, `words.txt`, each class's `<wnid>_boxes.txt` and `val/val_annotations.txt` say there is.

    Raises:
        UserError: one of them is not there or not so, or an image that it names is not there.
    """
    wnids = sorted(row.strip() for row in _rows(folder / "wnids.txt"))
    if len(wnids) < 2 or len(set(wnids)) < len(wnids):
        raise damaged(folder / "wnids.txt", f"expected at least two different classes, a row each, found {wnids[:5]}")
    words = dict(row.split("\t", 1) for row in _rows(folder / "words.txt") if "\t" in row)
    number = {wnid: k for k, wnid in enumerate(wnids)}
    train = []
    for wnid in wnids:
        listed = _named_in(folder / "train" / wnid / f"{wnid}_boxes.txt")
        _complete(folder / "train" / wnid / "images", [name for name, *_ in listed])
        train += [(f"train/{wnid}/images/{name}", number[wnid]) for name, *_ in listed]
    listed = _named_in(folder / "val" / "val_annotations.txt")
    if unknown := next((row for row in listed if len(row) < 2 or row[1] not in number), None):
        raise damaged(folder / "val/val_annotations.txt", f"no class of wnids.txt in its row {' '.join(unknown)}")
    _complete(folder / "val" / "images", [name for name, *_ in listed])
    val = [(f"val/images/{name}", number[wnid]) for name, wnid, *_ in listed]
    return Tree([words.get(wnid, wnid).split(",")[0].strip() for wnid in wnids], train, val)


def decoded(folder: Path, names: list[str]) -> np.ndarray:
    """uint8 [N, 3, 64, 64], grey images with three equal channels. UserError: a file that is no image of this size."""
    from PIL import Image, UnidentifiedImageError

    found = np.empty((len(names), 3, SIDE, SIDE), dtype=np.uint8)
    for k, name in enumerate(names):
        try:
            with Image.open(folder / name) as file:
                image = np.asarray(file.convert("RGB"))
        except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
            raise UserError(f"{folder / name}: no image that can be read ({in_one_line(error)}); {AGAIN}") from None
        if image.shape != (SIDE, SIDE, 3):
            size = f"{image.shape[1]} x {image.shape[0]}"
            raise UserError(f"{folder / name}: an image of {size}, and Tiny ImageNet's are {SIDE} x {SIDE}")
        found[k] = image.transpose(2, 0, 1)
    return found


def fingerprint(folder: Path) -> str:
    """Hexadecimal digits over the names and sizes of all files that the decoded images come from; opens none of them."""
    digest = hashlib.sha256()
    for below in ("train", "val"):
        for place, folders, files in os.walk(folder / below):
            folders.sort()
            for name in sorted(files):
                path = os.path.join(place, name)
                digest.update(f"{os.path.relpath(path, folder)}\0{os.stat(path).st_size}\0".encode(errors="replace"))
    for name in ("wnids.txt", "words.txt"):
        path = folder / name
        digest.update(f"{name}\0{path.stat().st_size if path.is_file() else None}\0".encode())
    return digest.hexdigest()


def _rows(path: Path) -> list[str]:
    if not path.is_file():
        raise UserError(f"{path.parent} is incomplete: {path.name} not found; {AGAIN}")
    try:
        return [row for row in contents(path).decode("utf-8").splitlines() if row.strip()]
    except UnicodeDecodeError as error:
        raise damaged(path, error) from None


def _named_in(path: Path) -> list[list[str]]:
    """Rows of a list of images, each with an image's name first: a plain one, in no other folder."""
    rows = [row.split("\t") for row in _rows(path)]
    if strange := next((name for name, *_ in rows if Path(name).name != name or name in ("", "..")), None):
        raise damaged(path, f"'{strange}' is no name of an image")
    return rows


def _complete(folder: Path, names: list[str]) -> None:
    there = set(os.listdir(folder)) if folder.is_dir() else set()
    if missing := [name for name in names if name not in there]:
        raise UserError(
            f"{folder} is incomplete: {len(missing):,} of {len(names):,} images not found, {missing[0]} first; {AGAIN}"
        )
