"""From points to features, once: kept on disk by the content of the points and the identity of the embedder."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bench.errors import UserError
from bench.run.atomic import set_aside, write_atomic
from bench.tasks.valuation.points import Points
from bench.tasks.valuation.protocol import Embedder

BATCH = 500  # points at a time
FORM = "valuation features 1"


def embed(points: Points, embedder: Embedder, folder: Path | str, seed: int) -> tuple[Tensor, Tensor]:
    """Features of the training points [N, d] and of the reference points [M, d], float32, on the points' device.

    The embedder is prepared in any case, with the seed. What lies in `folder` for these points and this embedder is read; where there is nothing,
    or a file is not what was written (it is moved aside), features are computed and kept. An embedder with `cached = False` is quicker than the disk.

    Raises:
        UserError: features that are not finite, or not [B, d].
    """
    embedder.prepare(points, seed)
    if not getattr(embedder, "cached", True):
        return _embedded("train", points.train_x, embedder), _embedded("reference", points.reference_x, embedder)
    path = Path(folder) / f"{_digest(points, embedder)}.features"
    kept = _read(path)
    if kept is None:
        kept = [_embedded(name, x, embedder) for name, x in _parts(points)]
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, kept)
    device = points.train_x.device
    return kept[0].to(device), kept[1].to(device)


def _parts(points: Points) -> list[tuple[str, Tensor]]:
    return [("train", points.train_x), ("reference", points.reference_x)]


@torch.no_grad()
def _embedded(name: str, x: Tensor, embedder: Embedder) -> Tensor:
    """Features of all, in batches."""
    found: Tensor | None = None
    for start in range(0, len(x), BATCH):
        part = embedder(x[start : start + BATCH])
        if part.ndim != 2 or len(part) != len(x[start : start + BATCH]):
            raise UserError(f"model: gives features of shape {list(part.shape)}; [B, d] is expected")
        if not part.isfinite().all():
            row = start + int((~part.isfinite()).any(1).nonzero()[0])
            raise UserError(f"model: the features of {name} point {row} are not finite")
        if found is None:
            found = torch.empty(len(x), part.shape[1], device=x.device)
        found[start : start + len(part)] = part
    if found is None:
        raise UserError(f"dataset: no {name} points")
    return found


def _digest(points: Points, embedder: Embedder) -> str:
    """sha256 of the points' content and of what else the features depend on."""
    digest = hashlib.sha256(f"{FORM}\n{embedder.identity()}\n".encode())
    for name, x in _parts(points):
        digest.update(f"{name} {x.dtype} {tuple(x.shape)}\n".encode())
        digest.update(memoryview(x.detach().cpu().contiguous().numpy()).cast("B"))  # type: ignore[arg-type]
    return digest.hexdigest()


def _write(path: Path, kept: list[Tensor]) -> None:
    """A line of JSON (shapes, sha256), then float32 numbers, little-endian."""
    arrays = [np.ascontiguousarray(part.cpu().numpy(), "<f4") for part in kept]
    shapes = [list(array.shape) for array in arrays]
    digest = hashlib.sha256(str(shapes).encode())
    for array in arrays:
        digest.update(memoryview(array).cast("B"))  # type: ignore[arg-type]
    head = {"form": FORM, "shapes": shapes, "sha256": digest.hexdigest()}

    def write(file) -> None:  # type: ignore[no-untyped-def]
        file.write(json.dumps(head).encode() + b"\n")
        for array in arrays:
            file.write(memoryview(array).cast("B"))  # type: ignore[arg-type]

    write_atomic(path, write)


def _read(path: Path) -> list[Tensor] | None:
    """What was written; None: there is nothing, or it is damaged and now lies aside."""
    try:
        with open(path, "rb") as file:
            head = json.loads(file.readline())
            content = bytearray(file.read())
        shapes = [tuple(map(int, shape)) for shape in head["shapes"]]
        sizes = [rows * width for rows, width in shapes]
        digest = hashlib.sha256(str(head["shapes"]).encode())
        digest.update(content)
        if head["sha256"] != digest.hexdigest() or 4 * sum(sizes) != len(content):
            raise ValueError("not what was written")
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        set_aside(path)
        return None
    numbers = np.frombuffer(content, "<f4").astype(np.float32, copy=False)
    return [torch.from_numpy(part).view(shape) for part, shape in zip(np.split(numbers, np.cumsum(sizes)[:-1]), shapes)]
