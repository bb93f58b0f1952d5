"""Classic mistakes in votes over the wire, planted one at a time. Tests notice each (tests/tasks/vote_images/test_vote_mistakes.py)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from unittest.mock import patch

from mistakes.ssvr import ties_plus


@contextmanager
def unsent_direction() -> Iterator[None]:
    """The server's own workers step along the answer as it was computed, not as it was sent."""
    from bench.tasks.vote_images.coding import Coding

    pack, unpack, last = Coding.pack, Coding.unpack, {}

    def remembered(self: Any, tensors: Any, sound: Any) -> Any:
        last["packed"] = tensors
        return pack(self, tensors, sound)

    def computed(self: Any, packets: Any, *more: Any) -> Any:
        return [v[None] for v in last["packed"]] if len(packets) == 1 else unpack(self, packets, *more)

    with patch.object(Coding, "pack", remembered), patch.object(Coding, "unpack", computed):
        yield


@contextmanager
def redrawn_split() -> Iterator[None]:
    """Who has which images is drawn again each time that it is asked: over a run every worker sees all of them."""
    import itertools

    from bench.tasks.vote_images import shards

    right, times = shards.split, itertools.count()

    def again(labels: Any, workers: int, law: Any, seed: int, **more: Any) -> Any:
        return right(labels, workers, law, seed + next(times), **more)

    with patch.object(shards, "split", again):
        yield


@contextmanager
def pooled_images() -> Iterator[None]:
    """What is measured is the mean over all images alike, so that a worker with more of them counts for more."""
    from dataclasses import replace

    import torch

    from bench.tasks.vote_images import shards

    def pooled(data: Any, parts: Any, count: int, seed: int) -> Any:
        rows = torch.cat(list(parts))[:count]
        return replace(
            data, train_x=data.train_x[rows], train_y=data.train_y[rows], train_y_clean=data.train_y_clean[rows]
        )

    with patch.object(shards, "measured", pooled):
        yield


@contextmanager
def nan_votes() -> Iterator[None]:
    """Nobody looks whether a gradient is finite: a NaN is packed as a -1."""
    import torch

    from bench.tasks.vote_images.coding import Coding

    with patch.object(Coding, "sound", staticmethod(lambda packets: torch.tensor(True))):
        yield


@contextmanager
def common_coins() -> Iterator[None]:
    """All workers flip one coin: their random signs err together, and the mean vote is no better than one."""
    from bench.tasks.vote_images.ballot import Ballot

    coins = Ballot._coins
    with patch.object(Ballot, "_coins", lambda self, kind, sender, step, p: coins(self, kind, 0, step, p)):
        yield


@contextmanager
def statistics_twice() -> Iterator[None]:
    """The pass at x_{t-1} moves the running statistics too."""
    from bench.tasks.vote_images.gradients import Gradients

    call = Gradients.__call__
    with patch.object(
        Gradients, "__call__", lambda self, point, batches, step, remember: call(self, point, batches, step, True)
    ):
        yield


@contextmanager
def shuffled_bits() -> Iterator[None]:
    """Bits are packed with the first one lowest and unpacked with the first one topmost."""
    from bench.tasks.vote_images import coding

    unpacked = coding._unpacked

    def topmost(packed: Any, count: int) -> Any:
        whole = unpacked(packed, 8 * packed.shape[1])
        return whole.unflatten(1, (-1, 8)).flip(2).flatten(1)[:, :count]

    with patch.object(coding, "_unpacked", topmost):
        yield


PLANTS: dict[str, Callable[[], AbstractContextManager[None]]] = {
    "ties-plus": ties_plus,
    "unsent-direction": unsent_direction,
    "redrawn-split": redrawn_split,
    "pooled-images": pooled_images,
    "nan-votes": nan_votes,
    "common-coins": common_coins,
    "statistics-twice": statistics_twice,
    "shuffled-bits": shuffled_bits,
}
