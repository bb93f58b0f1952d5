"""Several processes that compute one job: what they tell each other, and how they notice that one is gone.

Numbers travel through torch.distributed: gloo between CPUs, NCCL between GPUs. What is decided by the first process alone, and how an attempt has
ended, travels through the store that torchrun keeps. Nothing waits longer than `hardware.timeout` for a process that should answer.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from bench.errors import UserError, in_one_line
from bench.run import world
from bench.run.crash import crash_line
from bench.run.schema import Hardware
from bench.run.stopping import Stopped, WorkerLost

AFTER_A_FAILURE = 10.0  # seconds in which the others fail too, if it is for the same reason
SIGNS = ("closed by peer", "reset by peer", "Broken pipe", "imed out", "timeout", "Socket", "NCCL", "gloo", "store")
AGAIN = "run the same command again to go on from the checkpoint"


class Group:
    """The processes of a job.

    Attributes:
        rank, size: the number of this one, and how many there are.
        whole: False once another one is known to be gone.
    """

    def __init__(self, hardware: Hardware) -> None:
        self.whole = True
        self._wait = timedelta(seconds=hardware.timeout)
        cuda = hardware.device != "cpu" and torch.cuda.is_available()
        if cuda:
            torch.cuda.set_device(world.local_rank())
        with self._told():
            self._store, self.rank, self.size = next(dist.rendezvous("env://", timeout=self._wait))
            backend = "cpu:gloo,cuda:nccl" if cuda else "gloo"
            dist.init_process_group(
                backend, store=self._store, rank=self.rank, world_size=self.size, timeout=self._wait
            )
            self._control = dist.new_group(backend="gloo", timeout=self._wait)
        self._plans = self._attempts = self._jobs = 0

    def sum_(self, x: Tensor) -> Tensor:
        """x, replaced by its sum over the processes: the same bits in each."""
        with self._told():
            dist.all_reduce(x)
        return x

    def gather(self, x: Tensor) -> list[Tensor]:
        """The x of each process; all of one shape."""
        parts = [torch.empty_like(x) for _ in range(self.size)]
        with self._told():
            dist.all_gather(parts, x)
        return parts

    def largest(self, number: int) -> int:
        """The largest number that a process has."""
        held = torch.tensor(number)
        with self._told():
            dist.all_reduce(held, dist.ReduceOp.MAX, group=self._control)
        return int(held)

    def given(self, content: bytes | None) -> bytes | None:
        """The first process's bytes, or its None, in each."""
        length = self.largest(-1 if self.rank or content is None else len(content))
        if length < 0:
            return None
        held = torch.empty(length, dtype=torch.uint8)
        if self.rank == 0 and content:
            held = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        with self._told():
            dist.broadcast(held, 0, group=self._control)
        return held.numpy().tobytes()

    def agree(self, given: Mapping[str, Any]) -> None:
        """Compare in the first process what each was given: the config's dotted keys with their values, which JSON holds.

        Raises:
            UserError: another one was given something else. It is raised in the first process alone, before anything is computed.
        """
        self._jobs += 1
        keys = [f"given/{self._jobs}/{rank}" for rank in range(self.size)]
        with self._told():
            self._store.set(keys[self.rank], json.dumps(given))
            if self.rank:
                return
            self._store.wait(keys, self._wait)
            told = [json.loads(self._store.get(key)) for key in keys]
        for rank, other in enumerate(told):
            if apart := [key for key in {**told[0], **other} if told[0].get(key) != other.get(key)]:
                name, (own, its) = apart[0], (json.dumps(part.get(apart[0])) for part in (told[0], other))
                raise UserError(
                    f"process {rank} of {self.size} was given {name} = {its}, and the first one {own}; all processes of a job need the same command and code"
                )

    def tell(self, plan: dict[str, Any] | None) -> None:
        """The first process says what is to be computed next; None: it refuses."""
        self._plans += 1
        with self._told():
            self._store.set(f"plan/{self._plans}", json.dumps(plan))

    def hear(self) -> dict[str, Any] | None:
        """What it says. It may take hours where it waits for other programs."""
        self._plans += 1
        key = f"plan/{self._plans}"
        with self._told():
            while True:
                with contextlib.suppress(dist.DistStoreError):  # not yet
                    self._store.wait([key], timedelta(seconds=5))
                    return json.loads(self._store.get(key))

    @contextlib.contextmanager
    def attempt(self) -> Iterator[None]:
        """Inside, all processes do the same; at the end they compare whether they have come to the same end.

        Raises:
            WorkerLost: they have not, or another one is gone.
        """
        self._attempts += 1
        try:
            yield
        except (Stopped, WorkerLost, KeyboardInterrupt):
            raise
        except BaseException as error:
            if isinstance(error, RuntimeError) and _is_a_loss(error):
                raise self._gone(error) from error
            self._compare(crash_line(error))
            raise
        self._compare("")

    def _compare(self, line: str) -> None:
        """Wait for the others' ends, and be sure that they are as this one's."""
        keys = [f"end/{self._attempts}/{rank}" for rank in range(self.size)]
        patience = min(self._wait, timedelta(seconds=AFTER_A_FAILURE)) if line else self._wait
        with contextlib.suppress(RuntimeError):
            self._store.set(keys[self.rank], line)
            self._store.wait(keys, patience)
            if all(bool(self._store.get(key)) == bool(line) for key in keys):
                return
        raise self._lost(line or self._said() or "another process has come to no end")

    def _said(self) -> str:
        """What the first of the others that failed has said of it; empty where none has."""
        for rank in range(self.size):
            with contextlib.suppress(RuntimeError):
                key = f"end/{self._attempts}/{rank}"
                if rank != self.rank and self._store.check([key]) and (line := self._store.get(key).decode()):
                    return f"process {rank} failed: {line}"
        return ""

    def says(self, line: str) -> None:
        """Tell the others of a failure before the next attempt: they are about to begin it, and lose this process."""
        with contextlib.suppress(RuntimeError):
            self._store.set(f"end/{self._attempts + 1}/{self.rank}", line)

    def _lost(self, why: str) -> WorkerLost:
        """Said at once: torchrun ends this process soon."""
        if self.whole:
            self.whole = False
            print(
                f"failed: process {world.rank()} of {world.size()} stops: {why}; {AGAIN}", file=sys.stderr, flush=True
            )
        return WorkerLost(1)

    def _gone(self, error: BaseException) -> WorkerLost:
        text = in_one_line((str(error).rpartition("] ")[2] or str(error)).partition(". ")[0])[:120]
        return self._lost(self._said() or f"another process is gone ({text})")

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """An error of torch.distributed means that another process is gone."""
        try:
            yield
        except RuntimeError as error:
            raise self._gone(error) from error


def _is_a_loss(error: RuntimeError) -> bool:
    """Was it raised by a collective, called by a task or a library itself?"""
    return isinstance(error, dist.DistError) or any(sign in str(error) for sign in SIGNS)


_groups: list[Group] = []


def joined(hardware: Hardware) -> Group:
    """The processes of this command; they find each other the first time."""
    if not _groups:
        _groups.append(Group(hardware))
        atexit.register(_leave, _groups[0])
    return _groups[0]


def _leave(group: Group) -> None:
    """At the end of the program; what is left of a broken group goes with the process."""
    if group.whole:
        dist.destroy_process_group()


@contextlib.contextmanager
def telling(group: Group | None) -> Iterator[Callable[[dict[str, Any]], None]]:
    """In the first process, around what it decides alone: gives what tells the others, and tells them of a refusal before that."""
    told = False

    def tell(plan: dict[str, Any]) -> None:
        nonlocal told
        told = True
        if group is not None:
            group.tell(plan)

    try:
        yield tell
    finally:
        if group is not None and not told:
            group.tell(None)
