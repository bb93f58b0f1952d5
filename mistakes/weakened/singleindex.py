"""Mistakes in the steps of batch reuse that change its course too little, or too slowly, for a claim; weaker baselines: tests/mistakes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from bench.judge.selftest import Mistake


@contextmanager
def swapped() -> Iterator[None]:
    """The inner step has the size of the net step and the other way round."""
    from methods.two_layer.reuse_sgd import LookaheadSGD

    begin = LookaheadSGD.begin

    def exchanged(self: Any, *arguments: Any) -> None:
        begin(self, *arguments)
        self.lr, self.inner_lr = self.inner_lr, self.lr

    with patch.object(LookaheadSGD, "begin", exchanged):
        yield


@contextmanager
def no_normalisation() -> Iterator[None]:
    """Gradients are projected to the tangent space, rows are not normalised after a pair of steps."""
    import torch

    from bench.tasks.feature_learning.one_pass import _Block

    def as_they_are(self: Any, alpha: Any, beta: Any, batch: Any) -> Any:
        return 1 - (beta * batch.h).sum(-1, keepdim=True) if alpha is None else alpha, beta

    def rows(self: Any, w: Any) -> Any:
        sums = torch.einsum("gcnl,cld->gcnd", self.table[..., : self.length], self.x)
        return torch.addcmul(sums, self.table[..., self.length : self.length + 1], w)

    with patch.object(_Block, "_projected", as_they_are), patch.object(_Block, "rows", rows):
        yield


SCALING = ("singleindex/scaling", {"method": "reuse_map"})
WEAKENED: list[Mistake] = []
FORGOTTEN = [
    Mistake("swapped", "the two step sizes swapped", *SCALING, swapped),
    Mistake("no-normalisation", "rows are not normalised after a pair of steps", *SCALING, no_normalisation),
]
