"""Prune and retrain: networks trained, by the loop of the classification task, on what is left when the points of low value are left out."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.errors import UserError
from bench.run.build import build
from bench.run.loading import load
from bench.run.session import Session
from bench.seeding import stream_seed
from bench.tasks.classification.augment import Augmenter
from bench.tasks.classification.batches import Batches
from bench.tasks.valuation.loop_options import Node, is_network, option, serves
from bench.tasks.valuation.points import Points

BATCH = 1000  # test points at a time


@dataclass(frozen=True)
class Recipe:
    """How the networks are trained: typed nodes, and what the classification task is asked for."""

    loop: str
    network: Node
    optimizer: Node
    schedule: Node
    epochs: int
    batch_size: int
    crop_padding: int | None
    flip: bool

    @classmethod
    def of(cls, scale: str, network: str, optimizer: str, lr: float | None, schedule: str, **more: Any) -> Recipe:
        """From options' names; lr in place of the optimizer's own where it is a number.

        Raises:
            UserError: an option that is none, or does not fit.
        """
        step = option("retrain_method", "method", optimizer, scale, serves("classification"))
        if lr is not None:
            if "lr" not in step:
                raise UserError(f"task.retrain_lr = {lr}: '{optimizer}' has no lr; use null")
            step["lr"] = lr
        network_node = option("network", "model", network, scale, is_network)
        return cls(
            network=network_node,
            optimizer=step,
            schedule=option("retrain_schedule", "schedule", schedule, scale),
            **more,
        )


class QuietRun:
    """Takes the rows of a training run and keeps the last one."""

    def __init__(self, seed: int) -> None:
        self.seed, self.latest = seed, dict[str, Any]()

    def log(self, step: int, **metrics: Any) -> None:
        """Kept until the next."""
        self.latest = {"step": step, **metrics}

    def finish(self, status: str = "finished", **metrics: Any) -> None:
        """Nothing is written."""


class QuietSession:
    """What the classification loop sees of a session: it logs nothing, counts nothing, and its checkpoints are part of the valuation's."""

    def __init__(self, session: Session, recipe: Recipe, save: Callable[[dict[str, Any]], None]) -> None:
        self._session, self.device, self.seeds = session, session.device, session.seeds
        self.runs = [QuietRun(session.seeds[0])]
        parts = {"method": recipe.optimizer, "schedule": recipe.schedule, "model": recipe.network}
        self.job = SimpleNamespace(
            parts=parts, names=session.job.names, title=session.job.title, settings=session.job.settings
        )
        self.progress = SimpleNamespace(step=lambda k: None, note=lambda k, **figures: None)
        self.clock = SimpleNamespace(paused=contextlib.nullcontext)
        self.gradient_evaluations, self.examples = [0], 0
        self.save, self.report = save, session.report

    def begin(self, total: int, first: int = 0) -> None:
        """The valuation's session has begun long since."""

    def due(self) -> bool:
        """As the valuation's."""
        return self._session.due()


class Pruning:
    """The networks of one run: the same start, order and crops whatever is left out.

    Raises:
        UserError: there are no test points, or too few points would be left for a minibatch.
    """

    def __init__(self, session: Session, points: Points, recipe: Recipe, fractions: list[float]) -> None:
        if points.test_x is None or points.test_y is None:
            raise UserError(f"task.prune = {fractions}: the data set has no test points; use null")
        left = len(points.train_y) - int(max(fractions) * len(points.train_y))
        if left < recipe.batch_size:
            raise UserError(
                f"task.prune = {fractions}: leaves {left} points, less than task.retrain_batch_size = {recipe.batch_size}"
            )
        size = points.train_x.shape[-1] if points.images else 1
        if recipe.crop_padding is not None and recipe.crop_padding > size:
            raise UserError(
                f"task.crop_padding = {recipe.crop_padding}: more than the images' {size} pixels; at most {size}"
            )
        self.session, self.points, self.recipe, self.fractions = session, points, recipe, fractions
        self.seed = session.seeds[0]

    def kept(self, order: NDArray[np.int64], fraction: float) -> Tensor:
        """Positions, ascending, of the points that stay when the first floor(fraction N) of `order` go; on the device of the points."""
        kept = np.sort(order[int(fraction * len(order)) :])
        return torch.from_numpy(kept).to(self.points.train_y.device)

    def accuracy(
        self, order: NDArray[np.int64], fraction: float, save: Callable[[dict[str, Any]], None], state: Any
    ) -> float:
        """Share of the test points that a network trained on the kept points gets right.

        Args:
            save: takes the training's state whenever a checkpoint is due.
            state: what it took, to go on from; None: from the start.
        """
        kept, recipe = self.kept(order, fraction), self.recipe
        images = self._augmenter(kept)
        batches = Batches(images, self.points.train_y[kept], self.seed, recipe.batch_size)
        model = self._model()
        quiet = QuietSession(self.session, recipe, save)
        training = load(recipe.loop)(quiet, model, batches, recipe.epochs, 0.0)
        if state is not None:
            training.restore(state)
        training.run(lambda network: {}, recipe.epochs)
        return self._measured(model, images)

    def _augmenter(self, kept: Tensor) -> Augmenter:
        points, recipe = self.points, self.recipe
        x = _as_images(points.train_x[kept])
        channels, size = x.shape[1], x.shape[-1]
        mean, std = (list(points.mean), list(points.std)) if points.mean else ([0.0] * channels, [1 / 255] * channels)
        padding = size // 8 if recipe.crop_padding is None else recipe.crop_padding
        layout = self.session.device.settings.channels_last
        flip = recipe.flip and points.mirror
        return Augmenter(x, mean, std, crop_padding=padding, flip=flip, channels_last=layout)

    def _model(self) -> nn.Module:
        """Its parameters depend on the seed alone."""
        _, channels, _, size = _as_images(self.points.train_x[:1]).shape
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream_seed(self.seed, "init"))
            model = build("model", self.recipe.network, channels, self.points.num_classes, size)
            return self.session.device.place(model)

    @torch.no_grad()
    def _measured(self, model: nn.Module, images: Augmenter) -> float:
        x, y = self.points.test_x, self.points.test_y
        assert x is not None
        assert y is not None
        model.eval()
        right = 0
        for part, labels in zip(x.split(BATCH), y.split(BATCH)):
            with self.session.device.autocast():  # cloned: float images would be normalised in place
                right += int((model(images.normalise(_as_images(part).clone())).argmax(1) == labels).sum())
        return right / len(y)


def _as_images(x: Tensor) -> Tensor:
    """Images as they are; features [N, d] as images [N, d, 1, 1] of one pixel."""
    return x if x.ndim == 4 else x[:, :, None, None]
