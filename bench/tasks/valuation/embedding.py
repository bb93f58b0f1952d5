"""From points to features, in batches. A stand-in without a cache on disk."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from bench.tasks.valuation.points import Points
from bench.tasks.valuation.protocol import Embedder

BATCH = 1000


@torch.no_grad()
def embed(points: Points, embedder: Embedder, folder: Path, seed: int) -> tuple[Tensor, Tensor]:
    """Features [N, d] of the training points and [M, d] of the reference points."""
    embedder.prepare(points, seed)
    train, reference = (
        torch.cat([embedder(part) for part in x.split(BATCH)]) for x in (points.train_x, points.reference_x)
    )
    return train, reference
