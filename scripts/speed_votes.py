"""What a step of a vote takes on real processes beside one of data-parallel SGD, and the bytes that each sends."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import torch
import torch.distributed as dist
from stopwatch import Row, interleaved
from torch import nn
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel

from bench.models import resnet18, resnet20
from bench.run.multirun import cores_each
from bench.tasks.vote_images.ballot import Ballot
from bench.tasks.vote_images.gradients import Gradients
from bench.tasks.vote_images.wire import Wire
from methods.vote.baselines import SignSGDMV
from methods.vote.ssvr_mv import SSVRMV

BATCH = 32  # of a worker
METHODS = {
    "SSVR-MV, ties are coins": lambda: SSVRMV(lr=1e-3, beta=0.5, ties="random"),
    "signSGD-MV, ties are coins": lambda: SignSGDMV(lr=1e-3, ties="random"),
}
OTHER = "torch's DistributedDataParallel, SGD"


def votes(rounds: int) -> list[Row]:
    """A step of 2 and 4 workers, a process each: majority votes against an all-reduce of gradients; megabytes that go over the wire for a worker."""
    rows: list[Row] = []
    for workers in (2, 4):
        with tempfile.TemporaryDirectory() as folder:
            torch.multiprocessing.spawn(_process, (workers, rounds, folder), workers)
            found = torch.load(Path(folder) / "found.pt")
        theirs = statistics.median(found[OTHER][0])
        for name, (seconds, megabytes) in found.items():
            middle = statistics.median(seconds)
            rows.append(
                (
                    f"{workers} workers: {name}",
                    f"{1e3 * middle:,.0f} ms, {megabytes:,.2f} MB",
                    f"{theirs / middle:.2f} x",
                )
            )
    return rows


def _process(rank: int, workers: int, rounds: int, folder: str) -> None:
    """One worker; the first writes what it measured."""
    cuda = torch.cuda.device_count() >= workers
    device = torch.device("cuda", rank) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
    torch.set_num_threads(cores_each(workers))
    store = f"file://{folder}/store"
    dist.init_process_group("nccl" if cuda else "gloo", init_method=store, rank=rank, world_size=workers)
    torch.manual_seed(0)
    make = resnet18 if cuda else resnet20
    x = torch.randn(BATCH, 3, 32, 32, device=device)
    y = torch.randint(0, 100, (BATCH,), device=device)
    works = {OTHER: _descent(make(3, 100, 32).to(device), x, y, cuda)}
    wires = {OTHER: 2 * 4 * sum(p.numel() for p in make(3, 100, 32).parameters())}
    for name, method in METHODS.items():
        works[name], wires[name] = _vote(make(3, 100, 32).to(device), method(), Wire(workers), x, y)
    seconds = interleaved({name: _together(work) for name, work in works.items()}, rounds)
    if rank == 0:
        torch.save({name: (seconds[name], wires[name] / 1e6) for name in works}, Path(folder) / "found.pt")
    dist.barrier()
    dist.destroy_process_group()


def _together(work: Callable[[], object]) -> Callable[[], object]:
    """A step that ends when all processes have made it."""

    def step() -> None:
        work()
        dist.barrier()

    return step


def _descent(model: nn.Module, x: torch.Tensor, y: torch.Tensor, cuda: bool) -> Callable[[], object]:
    parallel = DistributedDataParallel(model, device_ids=[x.device.index] if cuda else None)
    optimizer = torch.optim.SGD(parallel.parameters(), lr=1e-3)

    def step() -> None:
        optimizer.zero_grad()
        cross_entropy(parallel(x), y).backward()
        optimizer.step()

    return step


def _vote(
    model: nn.Module, method: SSVRMV | SignSGDMV, wire: Wire, x: torch.Tensor, y: torch.Tensor
) -> tuple[Callable[[], object], float]:
    """A step of this process's worker, and bytes that go over the wire for one worker in it, both ways."""
    point = dict(model.named_parameters())
    ballot = Ballot(method, [p.numel() for p in point.values()], wire, 0, x.device)
    gradients = Gradients(model, wire.own, 0, nullcontext, False)
    at = {"step": 0, "before": {}}

    @torch.no_grad()
    def step() -> None:
        batches = [(x, y)]
        _, now = gradients(point, batches, at["step"], True)
        old = gradients(at["before"], batches, at["step"], False)[1] if ballot.wants_previous else None
        directions = ballot(at["step"], now, old)
        at["step"] += 1
        at["before"] = {name: p.detach().clone() for name, p in point.items()} if ballot.wants_previous else {}
        for p, direction in zip(point.values(), directions or ()):
            p.sub_(method.lr * direction.view(p.shape))

    return step, ballot.bytes_a_step / wire.workers
