"""Several processes of one command, started as torchrun starts them."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import forks
from conftest import clean_env
from torch.distributed import TCPStore

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def environments(size: int) -> Iterator[list[dict[str, str]]]:
    """What torchrun sets, on one machine; like it, this process keeps the store."""
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    shared = {"TORCHELASTIC_RUN_ID": "test", "TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RESTART_COUNT": "0"}
    shared |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port), "GLOO_SOCKET_IFNAME": "lo"}
    shared |= {"WORLD_SIZE": str(size), "LOCAL_WORLD_SIZE": str(size)}
    yield [clean_env() | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(size)]
    del store


@contextmanager
def ranks(size: int, arguments: list[str], **more: Any) -> Iterator[list[forks.Process]]:
    """`python run.py <arguments>`, or with `program` another one, in `size` processes; what is left of them at the end is killed."""
    with environments(size) as environs, ExitStack() as stack:
        yield [stack.enter_context(forks.Process(arguments, env, **more)) for env in environs]
