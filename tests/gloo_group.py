"""`python run.py` on several real processes of one gloo group, each with a results folder of its own."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import ExitStack
from pathlib import Path

import forks
from conftest import QUIET, clean_env

GROUP = """
import datetime, torch.distributed
torch.distributed.init_process_group(
    "gloo", init_method="file://{store}", rank={rank}, world_size={size}, timeout=datetime.timedelta(seconds=30)
)
"""


class Ranks:
    """The processes of one run. Leaving the block kills those that still run.

    Args:
        folder: of the group's store and the results, those of rank r under folder/r; all begin with what rank 0 left there.
        more: a prelude of a rank.
    """

    def __init__(self, folder: Path, size: int, *arguments: str, more: dict[int, str] | None = None) -> None:
        self.folder, self.size, self._stack = folder, size, ExitStack()
        folder.mkdir(parents=True, exist_ok=True)
        store = folder / "store"
        store.unlink(missing_ok=True)
        self.processes = []
        for rank in range(size):
            if rank:
                shutil.rmtree(folder / str(rank), ignore_errors=True)
                if (folder / "0").exists():
                    shutil.copytree(folder / "0", folder / str(rank))
        for rank in range(size):
            line = [f"results_root={folder / str(rank)}", *QUIET, "hardware.threads=1", *arguments]
            prelude = GROUP.format(store=store, rank=rank, size=size) + (more or {}).get(rank, "")
            process = forks.Process(line, clean_env(), prelude=prelude, timeout=120)
            self.processes.append(self._stack.enter_context(process))

    def __enter__(self) -> Ranks:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def wait(self) -> list[int]:
        """All exit codes."""
        return [process.wait() for process in self.processes]

    def until_checkpoint(self) -> None:
        """Wait until rank 0 has written one, or ended."""
        while self.processes[0].poll() is None and not list((self.folder / "0").rglob("checkpoint.pt")):
            time.sleep(0.005)

    def kill(self, rank: int) -> None:
        os.kill(self.processes[rank].pid, 9)
