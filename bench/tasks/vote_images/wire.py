"""How workers reach the server: over torch.distributed where there is a process group, and within the process where there is none.

The first process is the server, as well as the place of its own workers. A vote is a gather of packets to it and a broadcast of its answer,
(n - 1) packets and (n - 1) answers in all where each of n workers has a process; had every process all packets, to compute the answer itself,
n (n - 1) packets would go over the wire.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor

from bench.errors import UserError


class Wire:
    """The exchange of n workers that live in `size` processes, as many in each.

    Args:
        workers: n; rank r has workers r n / size to (r + 1) n / size - 1.
    Attributes:
        own: numbers of this process's workers.
        sent, received: bytes that this process sent to others and got from them, of votes alone.

    Raises:
        UserError: processes that do not divide the workers.
    """

    def __init__(self, workers: int) -> None:
        shared = dist.is_available() and dist.is_initialized()
        self.rank, self.size = (dist.get_rank(), dist.get_world_size()) if shared else (0, 1)
        if workers % self.size:
            raise UserError(
                f"task.workers = {workers}: {self.size} processes share them out evenly; choose a multiple of {self.size}"
            )
        each = workers // self.size
        self.workers, self.own = workers, range(self.rank * each, (self.rank + 1) * each)
        self.sent = self.received = 0

    @property
    def serves(self) -> bool:
        """Is this process the server?"""
        return self.rank == 0

    def gather(self, own: Tensor) -> Tensor | None:
        """At the server the rows [n, ...] of all workers, in their order; None elsewhere. own: [n / size, ...]."""
        if self.size == 1:
            return own
        self._count(sent=0 if self.serves else 1, received=self.size - 1 if self.serves else 0, bytes_=own.nbytes)
        return self.collect(own)

    def answer(self, packet: Tensor) -> Tensor:
        """The server's packet, at every process; elsewhere `packet` is room for it."""
        if self.size == 1:
            return packet
        self._count(sent=self.size - 1 if self.serves else 0, received=0 if self.serves else 1, bytes_=packet.nbytes)
        dist.broadcast(packet, 0)
        return packet

    def largest(self, own: Tensor) -> Tensor:
        """Of each column of rows [n / size, k] the largest over all workers, [k]."""
        found = own.amax(0)
        if self.size > 1:
            self._count(sent=1, received=1, bytes_=found.nbytes)
            dist.all_reduce(found, dist.ReduceOp.MAX)
        return found

    # ---- what is measured or kept, no part of a vote

    def collect(self, own: Tensor) -> Tensor | None:
        """As `gather`."""
        if self.size == 1:
            return own
        rows = [torch.empty_like(own) for _ in range(self.size)] if self.serves else None
        dist.gather(own.contiguous(), rows, 0)
        return torch.cat(rows) if rows is not None else None

    def share(self, own: Tensor) -> Tensor:
        """The rows [n, ...] of all workers at every process."""
        if self.size == 1:
            return own
        rows = [torch.empty_like(own) for _ in range(self.size)]
        dist.all_gather(rows, own.contiguous())
        return torch.cat(rows)

    def _count(self, *, sent: int, received: int, bytes_: int) -> None:
        self.sent += sent * bytes_
        self.received += received * bytes_
