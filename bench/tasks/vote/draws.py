"""Random numbers of workers and server: each sender has streams of its own, so that they are the same however workers are spread.

Shapes: S seeds, d dimension.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from bench.seeding import generator

CHUNK = 256  # steps whose numbers are drawn at once
SAMPLES, WORKERS, SERVER = 0, 1, 2  # kinds of streams: of a worker's samples, of its random signs, of the server's


class Uniforms:
    """Numbers in [0, 1) of every step, in double precision, from the streams ("noise", kind, sender, chunk of steps) of each seed.

    Args:
        seeds: S of them.
        kind: SAMPLES, WORKERS or SERVER.
        senders: numbers of the workers, from 0; [0] is the server's.
        dim: d.
    """

    def __init__(
        self, seeds: Sequence[int], kind: int, senders: Sequence[int], dim: int, device: torch.device | str = "cpu"
    ) -> None:
        self._seeds, self._kind, self._senders, self._dim, self._device = list(seeds), kind, list(senders), dim, device
        self._chunk, self._drawn = -1, torch.empty(0)

    def at(self, step: int) -> Tensor:
        """Of a step, counted from 0: [senders, S, d]."""
        chunk, offset = divmod(step, CHUNK)
        if chunk != self._chunk:
            drawn = [[self._of(seed, sender, chunk) for seed in self._seeds] for sender in self._senders]
            stacked = torch.stack([torch.stack(own, dim=1) for own in drawn], dim=1)  # [CHUNK, senders, S, d]
            self._chunk, self._drawn = chunk, stacked.to(self._device)
        return self._drawn[offset]

    def _of(self, seed: int, sender: int, chunk: int) -> Tensor:
        stream = generator(seed, "noise", self._kind, sender, chunk)
        return torch.rand(CHUNK, self._dim, generator=stream, dtype=torch.float64)
