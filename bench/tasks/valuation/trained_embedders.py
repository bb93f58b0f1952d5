"""Embedders that are trained, shortly, before they embed: on the clean reference points, or on the training points with the labels they have.

Initial weights and order of batches come from named streams, so that one seed gives one embedder.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.errors import UserError
from bench.models.small import mlp, small_cnn
from bench.seeding import generator, stream_seed
from bench.tasks.valuation.embedders import Normalisation, need_images, without_gradients
from bench.tasks.valuation.points import Points
from bench.types import AtLeastTwo, NonNegativeFloat, PositiveFloat, PositiveInt

STREAM = 70  # of initial weights and orders, apart from those of networks that the task trains


class Trained:
    """A small network, trained with Adam and a cosine schedule; a last minibatch of one image joins the one before, for BatchNorm's sake.

    Args:
        root: not used.
        trained_on: reference, or train: with the labels as given, right or wrong.
        layer: logits (K numbers), or features: what the last layer sees.
    """

    name: str

    def __init__(
        self,
        root: str = "data",
        *,
        trained_on: Literal["reference", "train"] = "reference",
        layer: Literal["logits", "features"] = "logits",
        steps: PositiveInt = 300,
        batch_size: AtLeastTwo = 64,
        lr: PositiveFloat = 0.005,
        weight_decay: NonNegativeFloat = 0.0005,
    ) -> None:
        self._trained_on, self._layer, self._steps, self._batch_size = trained_on, layer, steps, batch_size
        self._lr, self._weight_decay = lr, weight_decay

    def network(self, channels: int, classes: int, size: int) -> nn.Sequential:
        """The network at its start, its last layer linear."""
        raise NotImplementedError

    def prepare(self, points: Points, seed: int) -> None:
        need_images(self.name, points)
        if not points.mean:
            raise UserError(f"model = {self.name}: the data set gives no mean and std of its images")
        self._normalise = Normalisation(points.mean, points.std)
        reference = self._trained_on == "reference"
        x, y = (points.reference_x, points.reference_y) if reference else (points.train_x, points.train_y)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream_seed(seed, "init", STREAM))
            network = self.network(x.shape[1], points.num_classes, x.shape[-1])
        network = network.to(x.device)
        with torch.enable_grad():
            self._train(network, x, y, points.mirror, seed)
        self._network = without_gradients(network if self._layer == "logits" else network[:-1], x.device)

    def _train(self, network: nn.Module, x: Tensor, y: Tensor, mirror: bool, seed: int) -> None:
        optimizer = torch.optim.Adam(network.parameters(), lr=self._lr, weight_decay=self._weight_decay)
        network.train()
        for step, (chosen, flipped) in enumerate(self._batches(len(y), seed)):
            chosen, flipped = chosen.to(x.device), flipped.to(x.device)
            batch = self._normalise(x[chosen])
            if mirror:
                batch = torch.where(flipped[:, None, None, None], batch.flip(3), batch)
            optimizer.param_groups[0]["lr"] = self._lr * 0.5 * (1 + math.cos(math.pi * step / self._steps))
            optimizer.zero_grad()
            F.cross_entropy(network(batch), y[chosen]).backward()
            optimizer.step()

    def _batches(self, points: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Indices of each step's minibatch, and which of them are mirrored; a new order every epoch."""
        if points < 2:
            raise UserError(f"model = {self.name}: {points} image to train on; more are needed")
        done, epoch = 0, 0
        while done < self._steps:
            draws = generator(seed, "order", STREAM, epoch)
            batches = list(torch.randperm(points, generator=draws).split(self._batch_size))
            if len(batches) > 1 and len(batches[-1]) == 1:
                batches[-2:] = [torch.cat(batches[-2:])]
            for chosen in batches[: self._steps - done]:
                yield chosen, torch.rand(len(chosen), generator=draws) < 0.5
            done, epoch = done + len(batches), epoch + 1

    def identity(self) -> str:
        """A digest of the weights."""
        digest = hashlib.sha256()
        for name, value in sorted(self._network.state_dict().items()):
            digest.update(f"{name} {tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
        return f"{self.name} {digest.hexdigest()} {self._layer}"

    def __call__(self, x: Tensor) -> Tensor:
        return self._network(self._normalise(x))


class SmallCNN(Trained):
    """Two convolutions (width, 2 width) with BatchNorm; images of any size."""

    name = "small_cnn_embedder"

    def __init__(self, root: str = "data", *, width: PositiveInt = 16, **shared) -> None:  # type: ignore[no-untyped-def]
        super().__init__(root, **shared)
        self._width = width

    def network(self, channels: int, classes: int, size: int) -> nn.Sequential:
        return small_cnn(channels, classes, size, width=self._width)  # type: ignore[return-value]


class MLP(Trained):
    """Fully connected ReLU network on small images, as digits."""

    name = "digits_mlp_embedder"

    def __init__(self, root: str = "data", *, hidden: list[PositiveInt] | None = None, **shared) -> None:  # type: ignore[no-untyped-def]
        super().__init__(root, **shared)
        self._hidden = hidden or [64]

    def network(self, channels: int, classes: int, size: int) -> nn.Sequential:
        return mlp(channels, classes, size, hidden=self._hidden)  # type: ignore[return-value]
