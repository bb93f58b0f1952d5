"""One vote over the tensors of a network: gradients of this process's workers in, the direction that all workers step against out.

A worker's half is one object a worker and tensor, always of shape [d], and its numbers depend on (seed, worker, step, tensor) alone: so a worker
computes the same bit for bit whoever else is in its process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from bench.seeding import generator
from bench.tasks.vote.draws import SERVER, WORKERS
from bench.tasks.vote_images.coding import Coding
from bench.tasks.vote_images.protocol import Method, Worker
from bench.tasks.vote_images.wire import Wire

Gradients = Sequence[Sequence[Tensor]]  # of each worker of this process, of each tensor [d]


class _Asked(Exception):
    """A message waits for the largest of all workers' numbers."""

    def __init__(self, number: Tensor) -> None:
        super().__init__()
        self.number = number


class Ballot:
    """The halves of a method for every tensor, and what they send each other.

    Args:
        sizes: coordinates of each tensor.
        seed: of the workers' and the server's random numbers.
        dtype: of the network's parameters; numbers beside signs go over the wire in single precision.
    Attributes:
        steps: votes that were held.
        up, down: codings of a message and of an answer.
    """

    def __init__(
        self,
        method: Method,
        sizes: Sequence[int],
        wire: Wire,
        seed: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.wire, self.sizes, self.seed, self.device, self.dtype = wire, list(sizes), seed, device, dtype
        self.workers = [[method.worker() for _ in sizes] for _ in wire.own]
        self.servers = [method.server() for _ in sizes]
        encode, server = self.workers[0][0].encode, self.servers[0]  # type: ignore[attr-defined]
        self.up = Coding(self.sizes, encode.levels, encode.floats > encode.returned)
        self.down = Coding(self.sizes, server.levels(wire.workers, encode.levels), server.floats > 0)  # type: ignore[attr-defined]
        self.asks = encode.returned > 0
        self.steps = 0

    @property
    def wants_previous(self) -> bool:
        """Does the next vote need gradients at the last one's point?"""
        return self.steps > 0 and self.workers[0][0].wants_previous

    @property
    def bytes_a_step(self) -> int:
        """Bytes that a vote sends, by and to all workers, as if each had a process of its own and the server one more."""
        told = 2 * 4 * len(self.sizes) * self.asks
        return self.wire.workers * (self.up.length + self.down.length + told)

    def __call__(self, step: int, gradients: Gradients, previous: Gradients | None) -> list[Tensor] | None:
        """The direction, a tensor [d] each; None where a worker has a NaN or infinite gradient: nobody's vote counts, and none is remembered."""
        halves = [half for own in (*self.workers, self.servers) for half in own]  # type: ignore[attr-defined]
        kept = [dict(half.state) for half in halves]
        packets = torch.stack(self._packets(step, gradients, previous))
        packet = self._answer(step, self.wire.gather(packets))
        if not Coding.sound(packet):  # the one number of a step that the host waits for
            for half, state in zip(halves, kept):
                half.state = state
            return None
        self.steps += 1
        return [rows[0] for rows in self.down.unpack(packet[None], self.dtype)]

    def _packets(self, step: int, gradients: Gradients, previous: Gradients | None) -> list[Tensor]:
        """Each own worker's packet."""
        radii = self._radii(gradients, previous) if self.asks else None
        found = []
        for k, (worker, halves) in enumerate(zip(self.wire.own, self.workers)):
            messages = []
            for p, half in enumerate(halves):
                old = None if previous is None else previous[k][p]
                largest = _told(radii[p : p + 1] if radii is not None else None)
                messages.append(half.message(gradients[k][p], old, largest, self._coins(WORKERS, worker, step, p)))
            seen = [*gradients[k], *(previous[k] if previous is not None else ())]
            found.append(self.up.pack(messages, torch.stack(torch._foreach_norm(seen, torch.inf)).isfinite().all()))
        return found

    def _radii(self, gradients: Gradients, previous: Gradients | None) -> Tensor:
        """Of each tensor the number that messages ask for, the largest over all workers."""
        numbers = []
        for k, halves in enumerate(self.workers):
            own = [
                _asked(half, gradients[k][p], None if previous is None else previous[k][p])
                for p, half in enumerate(halves)
            ]
            numbers.append(torch.cat(own))
        return self.wire.largest(torch.stack(numbers).float()).to(self.dtype)

    def _answer(self, step: int, packets: Tensor | None) -> Tensor:
        """The server's packet, made of those of all workers where it is this process."""
        if packets is None:
            return self.wire.answer(torch.empty(self.down.length, dtype=torch.uint8, device=self.device))
        directions = [
            server.vote(messages, self._coins(SERVER, 0, step, p))
            for p, (server, messages) in enumerate(zip(self.servers, self.up.unpack(packets, self.dtype)))
        ]
        return self.wire.answer(self.down.pack(directions, Coding.sound(packets)))

    def _coins(self, kind: int, sender: int, step: int, tensor: int) -> Callable[[], Tensor]:
        """Numbers in [0, 1) of one sender, step and tensor, [d]."""

        def draw() -> Tensor:
            stream = generator(self.seed, "noise", kind, sender, step, tensor, device=self.device)
            return torch.rand(self.sizes[tensor], generator=stream, device=self.device)

        return draw

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds of it: of the workers' halves rows of all workers, at the server; {} elsewhere."""
        names = list(self.workers[0][0].state)
        stacked = [
            {name: self.wire.collect(torch.stack([halves[p].state[name] for halves in self.workers])) for name in names}
            for p in range(len(self.sizes))
        ]
        if not self.wire.serves:
            return {}
        return {"workers": stacked, "servers": [server.state for server in self.servers], "steps": self.steps}

    def restore(self, state: dict[str, Any]) -> None:
        """The inverse of the server's `state`, at every process."""
        self.steps = state["steps"]
        for p, rows in enumerate(state["workers"]):
            self.servers[p].state = dict(state["servers"][p])
            for worker, halves in zip(self.wire.own, self.workers):
                halves[p].state = {name: found[worker].clone() for name, found in rows.items()}


def _asked(half: Worker, gradient: Tensor, previous: Tensor | None) -> Tensor:
    """The number [1] that a message asks the largest of; the half is left as it was."""
    before = half.state
    half.state = dict(before)

    def ask(own: Tensor) -> Tensor:
        raise _Asked(own)

    def draw() -> Tensor:
        raise AssertionError("a message draws before it knows its radius")

    try:
        half.message(gradient, previous, ask, draw)
    except _Asked as asked:
        return asked.number.reshape(1)
    finally:
        half.state = before
    raise AssertionError("a message that asks for no number")


def _told(number: Tensor | None) -> Callable[[Tensor], Tensor]:
    """The answer to a message that asks; without a number a message has none to ask for but its own."""
    return lambda own: own if number is None else number
