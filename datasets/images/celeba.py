"""CelebA (Liu et al., 2015), aligned and cropped: 202,599 faces of 10,177 people, below data_root/celeba in the official layout.

`img_align_celeba/000001.jpg`, ..., and the lists identity_CelebA.txt, list_eval_partition.txt and, for labels, list_attr_celeba.txt. A folder with part of the
images is read as that part. Images are decoded once for each side length, in processes of their own, into `decoded-<side>-<digits>.npy` in that folder,
which is all that a run reads of them; the digits change with the images' names and sizes.
"""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from bench.errors import UserError, allowed_list, nearest
from datasets.images.cropping import all_cropped
from datasets.reading import contents, damaged

IMAGES = "img_align_celeba"
IDENTITIES, PARTITION, ATTRIBUTES = "identity_CelebA.txt", "list_eval_partition.txt", "list_attr_celeba.txt"
AT_ONCE = 500  # images that a process decodes before it hands them over


@dataclass(frozen=True)
class Faces:
    """The M images that are there, by name.

    Attributes:
        folder: where the images and lists lie.
        names: [M], sorted.
        people: [M], the number of the person in each.
        partition: [M], 0 training, 1 validation, 2 test, all images of a person in one; None: no such list.
    """

    folder: Path
    names: list[str]
    people: np.ndarray
    partition: np.ndarray | None


def read_faces(root: str) -> Faces:
    """What the folder and its lists say there is.

    Raises:
        UserError: the folder or the list of identities is not there or not so, or an image has no identity.
    """
    folder = Path(root) / "celeba"
    names = sorted(name for name in _listed(folder / IMAGES) if name.endswith((".jpg", ".png")))
    if not names or not (folder / IDENTITIES).is_file():
        looked = folder / IMAGES if not names else folder / IDENTITIES
        raise UserError(
            f"data set 'celeba' not found: looked for {looked}; unpack img_align_celeba.zip and put the lists beside it, as the authors give them "
            "(mmlab.ie.cuhk.edu.hk/projects/CelebA.html); another folder: data_root=DIR or CLAIMBENCH_DATA"
        )
    people = _numbers(folder / IDENTITIES, names)
    partition = _numbers(folder / PARTITION, names) if (folder / PARTITION).is_file() else None
    if partition is not None and not np.isin(partition, (0, 1, 2)).all():
        raise damaged(folder / PARTITION, f"parts are 0, 1 and 2, found {sorted(set(partition.tolist()))}")
    return Faces(folder, names, people, partition)


def has_attribute(faces: Faces, name: str) -> np.ndarray:
    """Whether each image [M] has an attribute, such as Male: 0 or 1, int64.

    Raises:
        UserError: the list is not there or not so, has no such attribute, or lacks an image.
    """
    path = faces.folder / ATTRIBUTES
    if not path.is_file():
        raise UserError(f"dataset.attribute = '{name}': {path} not found; put it there, or dataset.attribute=null")
    rows = [row.split() for row in _rows(path)]
    head = next((k for k, row in enumerate(rows[:2]) if name in row), None)
    if head is None:
        known = rows[1] if len(rows) > 1 and len(rows[0]) == 1 else rows[0]
        raise UserError(f"dataset.attribute = '{name}': {path} has {allowed_list(known, name)}{nearest(name, known)}")
    column = rows[head].index(name) + 1
    values = {row[0]: row[column] for row in rows[head + 1 :] if len(row) == len(rows[head]) + 1}
    found = _chosen(path, values, faces.names)
    if strange := next((value for value in found if value not in ("1", "-1")), None):
        raise damaged(path, f"'{strange}' for an attribute, which is 1 or -1")
    return (np.array(found) == "1").astype(np.int64)


def decoded(faces: Faces, side: int) -> np.ndarray:
    """uint8 [M, 3, side, side], not in memory until rows are taken: the shorter side resized, the centre cut out.

    Raises:
        UserError: an image that cannot be read, or a folder that cannot hold the decoded images.
    """
    path = faces.folder / f"decoded-{side}-{_fingerprint(faces)}.npy"
    found = _kept(path, (len(faces.names), 3, side, side))
    if found is None:
        _write(path, _decode(faces, side))
        for old in faces.folder.glob(f"decoded-{side}-*.npy"):
            if old != path:
                old.unlink(missing_ok=True)
        found = _kept(path, (len(faces.names), 3, side, side))
    if found is None:
        raise damaged(path, "it cannot be read back")
    return found


def _decode(faces: Faces, side: int) -> np.ndarray:
    """In other processes, so that the image files are not what a run is known to have read: their decoded images are."""
    pieces = [faces.names[start : start + AT_ONCE] for start in range(0, len(faces.names), AT_ONCE)]
    workers, folder = min(8, os.cpu_count() or 1, len(pieces)), faces.folder / IMAGES
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        found = pool.map(all_cropped, [folder] * len(pieces), pieces, [side] * len(pieces))
        return np.concatenate(list(found))


def _kept(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """What lies there; None where it is nothing, or not of that shape."""
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return found if found.shape == shape and found.dtype == np.uint8 else None


def _write(path: Path, images: np.ndarray) -> None:
    """Under another name first: a file of this name is always whole."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(temporary, "wb") as file:
            np.save(file, images, allow_pickle=False)
        os.replace(temporary, path)
    except OSError as error:
        reason = error.strerror
        raise UserError(f"{path}: the decoded images cannot be written ({reason}); make the folder writable") from None
    finally:
        temporary.unlink(missing_ok=True)


def _fingerprint(faces: Faces) -> str:
    """12 hexadecimal digits over the names and sizes of all images; opens none of them."""
    digest = hashlib.sha256()
    for name in faces.names:
        digest.update(f"{name}\0{os.stat(faces.folder / IMAGES / name).st_size}\0".encode())
    return digest.hexdigest()[:12]


def _listed(folder: Path) -> list[str]:
    return os.listdir(folder) if folder.is_dir() else []


def _rows(path: Path) -> list[str]:
    try:
        return [row for row in contents(path).decode("utf-8").splitlines() if row.strip()]
    except UnicodeDecodeError as error:
        raise damaged(path, error) from None


def _numbers(path: Path, names: list[str]) -> np.ndarray:
    """The number beside each name, int64, of a list of names and numbers; other rows, such as a heading, are passed over."""
    pairs = (row.split() for row in _rows(path))
    values = {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdecimal()}
    return np.array(_chosen(path, values, names), dtype=np.int64)


def _chosen(path: Path, values: dict[str, Any], names: list[str]) -> list[Any]:
    missing = [name for name in names if name not in values]
    if missing:
        raise UserError(
            f"{path}: no row for {missing[0]} and {len(missing) - 1:,} more of {len(names):,} images; fetch it"
        )
    return [values[name] for name in names]
