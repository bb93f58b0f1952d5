"""The classifier of the public images, whose features samples are compared in: trained once, kept on disk by the content of what it was trained on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from bench.tasks.generation.features import SEED, public_network, train_public
from bench.tasks.generation.fitting import Fitting
from bench.tasks.generation.pair import Pair
from bench.tasks.generation.pretraining import read_tensors, write_tensors

FORM = "public classifier 1"


def public_classifier(
    pair: Pair, folder: Path | str, steps: int, seed: int = SEED, report: Callable[[str], None] = lambda line: None
) -> nn.Module:
    """The trained classifier of the public images: read from `folder` where it lies there, else trained and kept.

    Its weights have no gradients: where images are trained through it, theirs are all that is needed. A file that is not what was written is moved aside.
    """
    network = public_network(pair, seed)
    path = Path(folder) / f"{_digest(pair, network, steps, seed)}.classifier"
    state = read_tensors(path, pair.public_x.device)
    if state is None:
        report(f"training a classifier of {len(pair.public_y):,} public images, {steps:,} steps, kept in {path}")
        train_public(network, pair, steps, seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_tensors(path, network.state_dict())
    else:
        network.load_state_dict(state)
    return network.eval().requires_grad_(False)


def _digest(pair: Pair, network: nn.Module, steps: int, seed: int) -> str:
    """sha256 of the public images, the network, its training, and what computes both."""
    facts = f"{FORM}\n{pair.digest('public')}\n{pair.public_classes}\n{network}\n{Fitting()} {steps} {seed}\n"
    return hashlib.sha256(f"{facts}{torch.__version__} {pair.public_x.device.type}".encode()).hexdigest()
