"""A person's own images: dataset=private_folder dataset.path=DIR with DIR/public and DIR/private, or two paths."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from bench.errors import MOST, UserError
from bench.tasks.generation.pair import Pair
from bench.types import Inner, NonNegativeInt, PositiveInt
from datasets.images.cropping import cropped
from datasets.images.selection import stratified
from datasets.pairs.making import Part, made

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
HELD = 95  # stream


@dataclass(frozen=True)
class Found:
    """Image files [N] of a folder, the class of each, and the classes' names: its folders with images, or none."""

    files: list[Path]
    labels: list[int]
    names: tuple[str, ...]
    left_out: int


def private_folder(
    root: str,
    seed: int,
    *,
    path: str | None = None,
    public_path: str | None = None,
    private_path: str | None = None,
    channels: Literal[1, 3] = 3,
    public_size: PositiveInt | None = None,
    private_size: PositiveInt | None = None,
    held_size: PositiveInt | None = None,
    held_share: Inner = 0.2,
    image_size: PositiveInt = 32,
    split_seed: NonNegativeInt = 0,
) -> Pair:
    """Images of a public and a private folder. A folder's own folders are its classes; one that holds its images itself has none.

    The privacy unit is one private image with its label, neighbours differ in one image that is added or removed: of a person with several images among them
    the guarantee for all together is weaker than the stated one. Images that show one person should not be held out and private at once; here they are drawn
    at random.

    Args:
        root, seed: not used; paths are relative to the current directory.
        path: a folder that holds `public` and `private`.
        public_path, private_path: the two folders themselves, in place of those of `path`.
        channels: 3, or 1 for grey.
        public_size, private_size, held_size: with the classes' shares; None: all.
        held_share: of the private images, held out for the metrics.
        image_size: side in pixels; the shorter side is resized to it, the centre cut out.

    Raises:
        UserError: a folder that is not there or without images, files that are no images (all of them in one line), or a size beyond what there is.
    """
    found = {
        name: _found(_folder(name, path, given)) for name, given in (("public", public_path), ("private", private_path))
    }
    _distinct(found)
    x = {name: _read(name, part.files, channels, image_size) for name, part in found.items()}
    y = {name: torch.tensor(part.labels) for name, part in found.items()}
    classes = {name: max(1, len(part.names)) for name, part in found.items()}
    held = round(held_share * len(y["private"]))
    if not 0 < held < len(y["private"]):
        raise UserError(
            f"dataset.held_share = {held_share}: of {len(y['private'])} private images {held} would be held out"
        )
    out, kept = stratified(y["private"], held, classes["private"], split_seed, HELD)
    parts = {
        "public": Part(x["public"], y["public"], classes["public"], public_size),
        "private": Part(x["private"][kept], y["private"][kept], classes["private"], private_size),
        "held": Part(x["private"][out], y["private"][out], classes["private"], held_size),
    }
    names = found["private"].names
    about = _about(found, held) + _known(x)
    return made(parts, image_size, split_seed, conditional=len(names) > 1, class_names=names, about=about)


def _folder(name: str, path: str | None, given: str | None) -> Path:
    if given is None and path is None:
        raise UserError(
            f"dataset.path = None: name your folder, dataset.path=DIR with DIR/public and DIR/private, or dataset.{name}_path=DIR"
        )
    key, folder = (f"{name}_path", Path(given)) if given is not None else ("path", Path(path) / name)
    if not folder.is_dir():
        raise UserError(f"dataset.{key} = '{given or path}': no folder {folder}; put the {name} images there")
    return folder


def _found(folder: Path) -> Found:
    """Hidden files and files of other suffixes are passed over."""
    listed = _entries(folder)
    inside = {entry.name: _entries(entry) for entry in listed if entry.is_dir()}
    classes = sorted(name for name, entries in inside.items() if any(map(_is_image, entries)))
    own = [entry for entry in listed if _is_image(entry)]
    if own and classes:
        raise UserError(
            f"{folder}: images beside the folder '{classes[0]}' of images; put all in folders, one a class, or none"
        )
    groups = [own] if own else [[entry for entry in inside[name] if _is_image(entry)] for name in classes]
    files = [entry for group in groups for entry in group]
    if not files:
        raise UserError(f"{folder}: no images ({', '.join(SUFFIXES)}), in it or in its folders")
    others = sum(entry.is_file() for entries in (listed, *inside.values()) for entry in entries) - len(files)
    return Found(files, [k for k, group in enumerate(groups) for _ in group], tuple(classes), others)


def _entries(folder: Path) -> list[Path]:
    return [folder / name for name in sorted(os.listdir(folder)) if not name.startswith(".")]


def _is_image(entry: Path) -> bool:
    return entry.suffix.lower() in SUFFIXES and entry.is_file()


def _distinct(found: dict[str, Found]) -> None:
    """UserError where an image file is public and private at once."""
    public = {file.resolve() for file in found["public"].files}
    if shared := next((file for file in found["private"].files if file.resolve() in public), None):
        raise UserError(f"{shared} is public and private at once; a private image is nobody else's")


def _known(x: dict[str, torch.Tensor]) -> str:
    """How many private images are, as they are read, also public ones, in other files."""
    public = {image.tobytes() for image in x["public"].numpy()}
    count = sum(image.tobytes() in public for image in x["private"].numpy())
    return (
        f"; {count:,} private images are among the public ones as well, and epsilon does not protect these"
        if count
        else ""
    )


def _read(name: str, files: list[Path], channels: int, side: int) -> torch.Tensor:
    """uint8 [N, channels, side, side]; all files that are no images in one line."""
    images = np.empty((len(files), channels, side, side), np.uint8)
    mode = "L" if channels == 1 else "RGB"

    def put(k: int) -> str | None:
        try:
            images[k] = cropped(files[k], side, side, mode)
        except UserError as error:
            return str(error)
        return None

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        bad = [line for line in pool.map(put, range(len(files))) if line is not None]
    if bad:
        more = f"; and {len(bad) - MOST:,} more" if len(bad) > MOST else ""
        raise UserError(f"{len(bad):,} of {len(files):,} {name} images cannot be used; {'; '.join(bad[:MOST])}{more}")
    return torch.from_numpy(images)


def _about(found: dict[str, Found], held: int) -> str:
    """`DIR/public: 90 images; DIR/private: 100 images of 2 classes (cat, dog), 20 of them held out`."""
    texts = []
    for part in found.values():
        folder = part.files[0].parent.parent if part.names else part.files[0].parent
        classes = f" of {len(part.names)} classes ({', '.join(part.names[:MOST])})" if part.names else ""
        passed = f", {part.left_out} other files passed over" if part.left_out else ""
        texts.append(f"{folder}: {len(part.files):,} images{classes}{passed}")
    return "; ".join(texts) + f", {held:,} of them held out"
