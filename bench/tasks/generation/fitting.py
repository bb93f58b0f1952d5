"""How classifiers of images are trained here: Adam on cross-entropy, orders of batches from a named stream."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.seeding import generator, stream_seed
from bench.tasks.generation.pair import as_float

BATCH = 500  # images at a time where nothing is trained


@dataclass(frozen=True)
class Fitting:
    """epochs: passes over the images; the last batch of a pass is smaller where they do not divide; lr: constant."""

    epochs: int = 50
    batch_size: int = 64
    lr: float = 1e-3


def started(build: Callable[[], nn.Module], seed: int, stream: int, device: torch.device) -> nn.Module:
    """A network whose initial weights depend on (seed, stream) alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(seed, "init", stream))
        return build().to(device)


def fit(
    network: nn.Module,
    x: Tensor,
    y: Tensor,
    how: Fitting,
    seed: int,
    stream: int,
    after_epoch: Callable[[], None] = lambda: None,
) -> None:
    """Train on images uint8 [N, C, S, S], which the network sees as -1 to 1, with labels [N]; ends in evaluation mode."""
    optimizer = torch.optim.Adam(network.parameters(), lr=how.lr)
    for epoch in range(how.epochs):
        order = torch.randperm(len(y), generator=generator(seed, "order", stream, epoch)).to(x.device)
        network.train()
        for chosen in order.split(how.batch_size):
            optimizer.zero_grad()
            F.cross_entropy(network(as_float(x[chosen])), y[chosen]).backward()
            optimizer.step()
        network.eval()
        after_epoch()


@torch.no_grad()
def outputs(network: nn.Module, x: Tensor) -> Tensor:
    """What a network in evaluation mode gives for images uint8 [N, C, S, S], in batches: [N, d]."""
    return torch.cat([network(as_float(part)) for part in x.split(BATCH)])
