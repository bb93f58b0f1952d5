"""What a run's training went through: a digest at every step of all that it trains, without what is only measured."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from bench.run.curve import read_metrics
from bench.run.hardware import open_device
from bench.run.progress import Display
from bench.run.session import Run, Session
from bench.run.stopping import StopSignal
from bench.tasks.portfolio import loop as portfolio

# of checkpoints' states, by key: sums and bests of metrics
MEASURED = {"best", "best_val", "sums", "logs", "errors", "finals", "points", "last", "largest", "accuracies"}


@dataclass
class Trained:
    """Digests of the training's state, one a step, and the rows of the curve with the final metrics behind them."""

    states: list[str]
    rows: list[dict[str, Any]]


def trained(made, folder: Path) -> Trained:
    """Run a job of one seed; its state is parameters, buffers, optimizers, weights, random generators and counts of gradients."""
    (seed,) = made.settings.seeds
    run = Run(seed, folder / f"seed{seed}")
    run.folder.mkdir(parents=True)
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002  the global generator is what is watched
    random.seed(0)
    session = Session(
        made, [run], open_device(made.settings.hardware), StopSignal(), Display(None, ""), lambda line: None
    )
    states: list[str] = []

    def watched(state: Any) -> None:
        if not state:
            return
        generators = [torch.get_rng_state(), np.random.get_state(), random.getstate()]  # noqa: NPY002
        states.append(digest([state, generators, session.gradient_evaluations]))

    session.due, session.save = (lambda: True), watched
    with _weights_of_strategies(watched):
        session.advance(session.start())
    assert states
    return Trained(states, [*read_metrics(run.folder), run.final or {}])


@contextmanager
def _weights_of_strategies(watched: Any) -> Iterator[None]:
    """A portfolio run has no checkpoints; its state is the weights of each period."""
    evaluate = portfolio.evaluate

    def observed(strategy: Any, *arguments: Any, **more: Any) -> Any:
        return evaluate(_Observed(strategy, watched), *arguments, **more)

    with patch.object(portfolio, "evaluate", observed):
        yield


class _Observed:
    """A strategy whose weights are shown to somebody."""

    def __init__(self, strategy: Any, watched: Any) -> None:
        self._strategy, self._watched, self.reads_accounts = strategy, watched, strategy.reads_accounts

    def begin(self, relatives: Tensor, costs: Tensor) -> Tensor:
        return self._seen(self._strategy.begin(relatives, costs))

    def update(self, t: int, weights: Tensor, held: Tensor, net: Tensor) -> Tensor:
        return self._seen(self._strategy.update(t, weights, held, net))

    def _seen(self, weights: Tensor) -> Tensor:
        self._watched({"weights": weights})
        return weights


def digest(value: Any) -> str:
    """Of numbers, tensors and arrays to the last bit, in any nesting; entries of MEASURED are left out."""
    found = hashlib.sha256()
    for part in _parts(value):
        found.update(part)
    return found.hexdigest()


def _parts(value: Any) -> Iterator[bytes]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if name not in MEASURED:
                yield f"{name}:".encode()
                yield from _parts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _parts(inner)
    elif isinstance(value, Tensor | np.ndarray):
        array = value.detach().cpu().contiguous().numpy() if isinstance(value, Tensor) else value
        yield f"{array.dtype}{array.shape}".encode() + array.tobytes()
    else:
        yield repr(value).encode()
