"""Which images each worker has: a pure function of labels, number of workers, law and seed."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from bench.errors import UserError
from bench.seeding import generator, stream_seed

SPLIT = 4  # of the streams "data" of images: the first ones choose, split and corrupt
DRAWS = 1000  # of Dirichlet shares, until every worker has enough
Law = Literal["iid", "dirichlet", "shards"]


def split(
    labels: Tensor, workers: int, law: Law, seed: int, *, alpha: float = 0.1, shards: int = 2, smallest: int = 1
) -> list[Tensor]:
    """Indices of each worker's images, in rising order; every image belongs to one worker.

    "iid": a random order cut into parts whose sizes differ by one at most. "dirichlet": each class is cut at shares that are drawn from a
    symmetric Dirichlet law, drawn again until every worker has at least `smallest` images. "shards": images by label, in random order within
    one, cut into workers * shards pieces whose sizes differ by one at most, and each worker is dealt `shards` of them.

    Args:
        labels: integer labels [N], from 0.
        workers: n.
        seed: of the streams ("data", 4, ...); nothing else decides.
        alpha: of the Dirichlet law; the smaller, the fewer classes a worker has.
        shards: of each worker.
        smallest: images that a worker has at least, of "dirichlet".

    Raises:
        UserError: fewer images than pieces, an alpha that is not positive, or one with which no draw gives every worker enough.

    References: Hsu, Qi and Brown, 2019, for the Dirichlet law; McMahan et al., 2017, for shards.
    """
    n, pieces = len(labels), workers * shards if law == "shards" else workers
    if workers < 1 or shards < 1 or n < pieces:
        raise UserError(
            f"workers = {workers}: {pieces} parts of {n} images; at least one image a part, one part a worker"
        )
    order = torch.randperm(n, generator=generator(seed, "data", SPLIT))
    if law == "iid":
        parts = list(order.tensor_split(workers))
    elif law == "shards":
        pieces_ = order[torch.argsort(labels[order], stable=True)].tensor_split(pieces)
        dealt = torch.randperm(pieces, generator=generator(seed, "data", SPLIT, 1)).tensor_split(workers)
        parts = [torch.cat([pieces_[k] for k in own.tolist()]) for own in dealt]
    else:
        parts = _dirichlet(labels, order, workers, seed, alpha, smallest)
    return [part.sort().values for part in parts]


def _dirichlet(labels: Tensor, order: Tensor, workers: int, seed: int, alpha: float, smallest: int) -> list[Tensor]:
    if not alpha > 0 or not np.isfinite(alpha):
        raise UserError(f"alpha = {alpha}: of a Dirichlet law, above 0; large values split evenly")
    if workers * smallest > len(labels):
        raise UserError(f"smallest = {smallest}: {workers} workers share {len(labels)} images; choose fewer")
    classes = [order[labels[order] == c] for c in labels.unique().tolist()]  # in random order within a class
    counts = np.array([len(of_class) for of_class in classes])[:, None]
    for draw in range(DRAWS):
        rng = np.random.default_rng(stream_seed(seed, "data", SPLIT, 2, draw))
        shares = rng.dirichlet([alpha] * workers, len(classes)).cumsum(1)[:, :-1]
        ends = np.rint(shares * counts).astype(int)  # [classes, workers - 1], where one worker's part ends
        sizes = np.diff(ends, axis=1, prepend=0, append=counts).sum(0)
        if sizes.min() >= smallest:
            cut = [of_class.tensor_split(own) for of_class, own in zip(classes, ends.tolist())]
            return [torch.cat(own) for own in zip(*cut)]
    raise UserError(
        f"alpha = {alpha}: none of {DRAWS} draws gives each of {workers} workers {smallest} of {len(labels)} images; choose a larger alpha"
    )
