"""What synthetic images are good for: classifiers trained on them and tested on real ones.

A classifier is trained on four fifths of the synthetic images and chosen (logistic regression's C, a network's epoch) by the other fifth. It never
sees a real image: real held-out ones are tested on, once.
"""

from __future__ import annotations

import copy
import hashlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from bench.models.small import mlp, small_cnn
from bench.seeding import generator
from bench.tasks.generation.fitting import Fitting, fit, outputs, started
from bench.tasks.generation.pair import as_float

Kind = Literal["logreg", "mlp", "cnn"]
KINDS: tuple[Kind, ...] = ("logreg", "mlp", "cnn")
CHOSEN_BY = 0.2  # share of the synthetic images
STRENGTHS = (0.001, 0.01, 0.1, 1.0)  # C of logistic regression
HIDDEN, WIDTH = 100, 32  # of the MLP's hidden layer, of the CNN's first convolution
STREAMS = {"logreg": 82, "mlp": 83, "cnn": 84}
SPLIT = 85


@dataclass(frozen=True)
class Fitted:
    """A classifier of images uint8 [N, C, S, S].

    Attributes:
        predict: images to classes int64 [N].
        chosen_at: its accuracy (share) on the synthetic images that chose it.
        digest: sha256, hexadecimal, of its weights.
    """

    predict: Callable[[Tensor], Tensor]
    chosen_at: float
    digest: str

    def accuracy(self, x: Tensor, y: Tensor) -> float:
        """Share of images [N, C, S, S] whose class [N] it finds."""
        return _share(self.predict(x), y)


def downstream(
    synthetic: tuple[Tensor, Tensor],
    held: tuple[Tensor, Tensor],
    classes: int,
    seed: int,
    how: Fitting | None = None,
    kinds: tuple[Kind, ...] = KINDS,
) -> dict[str, float]:
    """`accuracy_<kind>`: the share of real held-out images that a classifier trained on synthetic ones finds; of all kinds asked for.

    Args:
        synthetic, held: images uint8 [N, C, S, S] and labels int64 [N].
    """
    return {f"accuracy_{kind}": fitted(kind, *synthetic, classes, seed, how).accuracy(*held) for kind in kinds}


def fitted(kind: Kind, x: Tensor, y: Tensor, classes: int, seed: int, how: Fitting | None = None) -> Fitted:
    """The classifier of one kind, from synthetic images uint8 [N, C, S, S] and labels [N].

    Raises:
        ValueError: fewer than ten images, or labels of one class.
    """
    if len(y) < 10 or not (y != y[0]).any():
        raise ValueError(f"{len(y)} synthetic images of {len(y.unique())} classes; ten of two are needed")
    order = torch.randperm(len(y), generator=generator(seed, "data", SPLIT)).to(y.device)
    chosen_by = order[: round(CHOSEN_BY * len(y))]
    trained_on = order[len(chosen_by) :]
    parts = (x[trained_on], y[trained_on]), (x[chosen_by], y[chosen_by])
    if kind == "logreg":
        return _logistic(*parts)
    channels, side = x.shape[1:3]
    build = {
        "mlp": lambda: mlp(channels, classes, side, hidden=[HIDDEN]),
        "cnn": lambda: small_cnn(channels, classes, side, width=WIDTH),
    }[kind]
    return _network(started(build, seed, STREAMS[kind], x.device), *parts, how or Fitting(), seed, STREAMS[kind])


def _network(
    network: nn.Module,
    train: tuple[Tensor, Tensor],
    chosen_by: tuple[Tensor, Tensor],
    how: Fitting,
    seed: int,
    stream: int,
) -> Fitted:
    """The epoch, the first of equal ones, that finds most of the images it is chosen by."""
    best, kept = -1.0, network.state_dict()

    def look() -> None:
        nonlocal best, kept
        found = _share(outputs(network, chosen_by[0]).argmax(1), chosen_by[1])
        if found > best:
            best, kept = found, copy.deepcopy(network.state_dict())

    fit(network, *train, how, seed, stream, look)
    network.load_state_dict(kept)
    digest = hashlib.sha256()
    for name, value in sorted(kept.items()):
        digest.update(name.encode() + value.cpu().numpy().tobytes())
    return Fitted(lambda x: outputs(network, x).argmax(1), best, digest.hexdigest())


def _logistic(train: tuple[Tensor, Tensor], chosen_by: tuple[Tensor, Tensor]) -> Fitted:
    """scikit-learn's, on pixels from -1 to 1; the smallest of the best C."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    def rows(x: Tensor) -> np.ndarray:
        return as_float(x).flatten(1).cpu().numpy()

    best, kept = -1.0, None
    for strength in STRENGTHS:
        model = LogisticRegression(C=strength, max_iter=200)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(rows(train[0]), train[1].cpu().numpy())
        found = float(model.score(rows(chosen_by[0]), chosen_by[1].cpu().numpy()))
        if found > best:
            best, kept = found, model
    digest = hashlib.sha256(kept.coef_.tobytes() + kept.intercept_.tobytes()).hexdigest()  # type: ignore[union-attr]
    return Fitted(lambda x: torch.from_numpy(kept.predict(rows(x))).to(x.device), best, digest)  # type: ignore[union-attr]


def _share(found: Tensor, y: Tensor) -> float:
    return (found == y).double().mean().item()
