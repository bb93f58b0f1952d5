"""Images of workers: who has which, their minibatches, and equally many of each for what is measured of f = (1/n) sum_j f_j.

f_j is the mean loss over worker j's images, and every worker counts alike, whether it has many images or few.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from bench.errors import UserError
from bench.seeding import generator, stream_seed
from bench.tasks.classification.augment import Augmenter
from bench.tasks.classification.batches import Batches
from bench.tasks.classification.images import LabelledImages
from bench.tasks.vote_images.split import SPLIT, Law, split

MEASURED, ORDER = (
    3,
    4,
)  # streams ("data", SPLIT, ...) of the images that are measured, and ("order", ORDER, ...) of workers' seeds


def shards(
    data: LabelledImages, workers: int, law: Law, seed: int, *, alpha: float, pieces: int, batch_size: int
) -> list[Tensor]:
    """Indices of each worker's training images, a minibatch at least; they follow from the labels, these arguments and the seed.

    Raises:
        UserError: a worker would have less than a minibatch.
    """
    parts = split(data.train_y.cpu(), workers, law, seed, alpha=alpha, shards=pieces, smallest=batch_size)
    fewest = min(len(part) for part in parts)
    if fewest < batch_size:
        raise UserError(
            f"task.batch_size = {batch_size}: more than the {fewest} images of a worker ({workers} share {len(data.train_y):,}); at most {fewest}"
        )
    return parts


class WorkerBatches:
    """Minibatches of workers: each goes through its own images in an order of its own, again and again.

    Args:
        data: on the device.
        parts: indices of each worker's images.
        own: numbers of the workers that are asked for.
        seed: the run's; a worker's streams depend on it and its number alone.
        size: B, of each worker.
        crop_padding, flip, channels_last: as classification's.
    """

    def __init__(
        self,
        data: LabelledImages,
        parts: Sequence[Tensor],
        own: Sequence[int],
        seed: int,
        size: int,
        *,
        crop_padding: int,
        flip: bool,
        channels_last: bool,
    ) -> None:
        self._batches = []
        for worker in own:
            part = parts[worker].to(data.train_y.device)
            how = {"crop_padding": crop_padding, "flip": flip and data.mirror, "channels_last": channels_last}
            images = Augmenter(data.train_x[part], data.mean, data.std, **how)  # type: ignore[arg-type]
            self._batches.append(Batches(images, data.train_y[part], stream_seed(seed, "order", ORDER, worker), size))

    def get(self, step: int) -> list[tuple[Tensor, Tensor]]:
        """Each worker's minibatch x [B, C, H, W], y [B] of a step, counted from 0."""
        return [batches.get(*divmod(step, len(batches))) for batches in self._batches]


def measured(data: LabelledImages, parts: Sequence[Tensor], count: int, seed: int) -> LabelledImages:
    """The data with equally many training images of each worker, about `count` in all: their mean loss is one of f = (1/n) sum_j f_j.

    As many of each as the worker with fewest has, and one at least; drawn from the seed, one worker's after another's.
    """
    each = max(1, min(count // len(parts), *(len(part) for part in parts)))
    chosen = []
    for worker, part in enumerate(parts):
        order = torch.randperm(len(part), generator=generator(seed, "data", SPLIT, MEASURED, worker))
        chosen.append(part[order[:each]])
    rows = torch.cat(chosen).to(data.train_y.device)
    return dataclasses.replace(
        data, train_x=data.train_x[rows], train_y=data.train_y[rows], train_y_clean=data.train_y_clean[rows]
    )
