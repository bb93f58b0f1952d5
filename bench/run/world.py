"""The processes that torchrun has started for one command: which of them this one is, and how they end with one line between them."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

from bench.errors import UserError

if TYPE_CHECKING:
    from bench.run.schema import Hardware

STARTED = "TORCHELASTIC_RUN_ID"  # torchrun sets it
PATIENCE = 20.0  # seconds in which the first process is expected to say what they all have to say
COMMAND = "torchrun --nproc_per_node=4 run.py method=... dataset=... hardware=ddp"


def rank() -> int:
    """The number of this process, from 0; 0 where torchrun has not started it."""
    return _number("RANK", 0)


def size() -> int:
    """How many processes torchrun has started, on all machines; 1 without it."""
    return _number("WORLD_SIZE", 1)


def local_rank() -> int:
    """The number of this process among those of its machine."""
    return _number("LOCAL_RANK", 0)


def check_start(hardware: Hardware, cuda_devices: int) -> None:
    """Was the program started in the way that `hardware` says?

    Raises:
        UserError: several processes without hardware=ddp, hardware=ddp without torchrun, or more processes than GPUs here.
    """
    if hardware.processes == "one":
        if size() > 1:
            raise UserError(
                f"torchrun has started {size()} processes, and each would compute the same; add hardware=ddp"
            )
        return
    if STARTED not in os.environ:
        raise UserError(f"hardware = 'ddp': its processes are started by torchrun; write {COMMAND}")
    here = _number("LOCAL_WORLD_SIZE", 1)
    if hardware.device != "cpu" and 0 < cuda_devices < here:
        raise UserError(
            f"torchrun has started {here} processes here, and there are {cuda_devices} CUDA devices; one process a device"
        )


def stand_back(code: int) -> None:
    """In another process than the first: leave it to that one to say what they all have to say.

    Torchrun ends the others as soon as one has ended; that ends this process with `code`. It returns where the first process goes on:
    then what is to be said is this process's alone.
    """
    if rank() == 0:
        return
    signal.signal(signal.SIGTERM, lambda *_: os._exit(code))
    time.sleep(PATIENCE)


def signed(line: str) -> str:
    """A line with the number of the process that says it, where that is not the first one."""
    return f"{line} (process {rank()} of {size()})" if rank() else line


def _number(name: str, default: int) -> int:
    return int(os.environ.get(name, default)) if STARTED in os.environ else default
