"""Mixed images: what a network sees of one minibatch under a mixing method, a row of the curve for each image.

Data, minibatches, the network's start and what is random in mixing are those of classification, from the same streams: the images are those of
the first step of a run of that task. Before, plain SGD trains the network on the images as they are, so that saliency has something to
go by; it is the same network for every method.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.errors import UserError
from bench.optimizers import check_constructor, check_members
from bench.run.build import build
from bench.run.loading import load
from bench.run.session import Session
from bench.seeding import generator, stream_seed
from bench.tasks.classification.augment import Augmenter
from bench.tasks.classification.batches import Batches
from bench.tasks.classification.images import LabelledImages
from bench.tasks.mixed_images.recorded import Mixes, mixes, off_segment
from bench.tasks.valuation.loop_sheet import picture, text_of
from bench.types import NonNegativeInt, PositiveFloat, PositiveInt

BATCHES_SEEDS = False
FIRST = 0, 0  # epoch and index of the minibatch that is shown
MOMENTUM = 0.9


def run(
    session: Session,
    state: dict[str, Any] | None,
    *,
    batch_size: PositiveInt,
    pairs: PositiveInt,
    epochs: NonNegativeInt,
    lr: PositiveFloat,
    crop_padding: NonNegativeInt | None,
    flip: bool,
) -> None:
    """Train for `epochs`, log the images of the first `pairs` pairs of the first minibatch.

    Rows have the `pair` (1, 2, ...), the `place` in its row (0 the image, then what the network sees of it, last its partner; of a method without
    pairs there is no partner), `weight` of the image's own label, `label` (class, or both weights) and `thumbnail`. Final: the mean
    `weight` over the minibatch, `interpolations` K, `off_segment` in units where white is 1.
    """
    (seed_run,), device, seed = session.runs, session.device, session.seeds[0]
    data: LabelledImages = build("dataset", session.job.parts["dataset"], session.job.settings.data_root, seed)
    _check(data, batch_size, pairs, crop_padding)
    data = data.to(device.device)
    batches = _batches(session, data, batch_size, crop_padding, flip)
    model = _model(session, data)
    method = _method(session.job.parts["method"], model, batches, seed)
    training = Training(session, model, batches, epochs, lr)
    if state is not None:
        training.restore(state)
    if not training.run():
        seed_run.finish(status="diverged")
        return
    x, y = batches.get(*FIRST)
    found = mixes(method, model, x, y, data.num_classes, lambda: generator(seed, "mix", *FIRST, device=y.device))  # type: ignore[arg-type]
    scale = {name: value.to(x.device) for name, value in batches.normalisation.items()}
    for number, row in enumerate(_rows(found, x, y, data.class_names, scale, pairs), training.total + 1):
        seed_run.log(number, **row)
    seed_run.finish(
        weight=found.weights.mean().item(),
        interpolations=len(found.images),
        off_segment=off_segment(_in_colours(found, scale["std"]), x * scale["std"]),
    )


def _check(data: LabelledImages, batch_size: int, pairs: int, crop_padding: int | None) -> None:
    """UserError where there are too few images, or they are too small."""
    n, size = len(data.train_y), data.train_x.shape[-1]
    if n < batch_size:
        raise UserError(f"task.batch_size = {batch_size}: more than the {n} training images; at most {n}")
    if pairs > batch_size:
        raise UserError(f"task.pairs = {pairs}: more than task.batch_size = {batch_size}; at most that")
    if crop_padding is not None and crop_padding > size:
        raise UserError(f"task.crop_padding = {crop_padding}: more than the images' {size} pixels; at most {size}")


def _batches(session: Session, data: LabelledImages, batch_size: int, crop_padding: int | None, flip: bool) -> Batches:
    images = Augmenter(
        data.train_x,
        data.mean,
        data.std,
        crop_padding=data.train_x.shape[-1] // 8 if crop_padding is None else crop_padding,
        flip=flip and data.mirror,
        channels_last=session.device.settings.channels_last,
    )
    return Batches(images, data.train_y, session.seeds[0], batch_size)


def _model(session: Session, data: LabelledImages) -> nn.Module:
    """The network on the device; its parameters depend on the seed alone."""
    _, channels, size, _ = data.train_x.shape
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(session.seeds[0], "init"))
        return session.device.place(build("model", session.job.parts["model"], channels, data.num_classes, size))


def _method(node: dict[str, Any], model: nn.Module, batches: Batches, seed: int) -> Any:
    """The method, supplied with what classification supplies; it takes no step."""
    offered: dict[str, Any] = {"num_examples": batches.examples, "seed": seed, "total_steps": len(batches)}
    offered |= {**batches.normalisation, "buffers": list(model.buffers()), "model": model}
    takes = inspect.signature(load(node["_target_"])).parameters
    more = {name: value for name, value in offered.items() if name in takes and name not in node}
    check_constructor(node, **more)
    method = build("method", node, list(model.parameters()), **more)
    check_members(method)
    return method


class Training:
    """Plain SGD on the images as they are; a checkpoint holds network, momentum and step."""

    def __init__(self, session: Session, model: nn.Module, batches: Batches, epochs: int, lr: float) -> None:
        self.session, self.model, self.batches = session, model, batches
        self.total, self.step = epochs * len(batches), 0
        self.optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=MOMENTUM)

    def run(self) -> bool:
        """To the last step; False where a loss is not finite."""
        session, loss = self.session, torch.zeros(())
        self.model.train()
        session.begin(self.total + 1, self.step)
        while self.step < self.total:
            at = divmod(self.step, len(self.batches))
            torch.manual_seed(stream_seed(session.seeds[0], "noise", *at))
            x, y = self.batches.get(*at)
            self.optimizer.zero_grad(set_to_none=True)
            with session.device.autocast():
                loss = F.cross_entropy(self.model(x), y)
            loss.backward()
            self.optimizer.step()
            self.step += 1
            session.progress.step(self.step)
            if session.due():
                session.save(self._state())
        return math.isfinite(loss.item())

    def _state(self) -> dict[str, Any]:
        return {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(), "step": self.step}

    def restore(self, state: dict[str, Any]) -> None:
        """From a checkpoint's state."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]


def _in_colours(found: Mixes, std: Tensor) -> Mixes:
    """The mixes times the colours' deviations: distances are those of images in which white is 1."""
    return Mixes(found.images * std, found.weights, found.partners, found.paired)


def _rows(
    found: Mixes, x: Tensor, y: Tensor, names: list[str], scale: dict[str, Tensor], pairs: int
) -> Iterator[dict[str, Any]]:
    """The rows of the first pairs."""

    def row(pair: int, place: int, image: Tensor, label: str, weight: float) -> dict[str, Any]:
        """That of an image as the network sees it."""
        pixels = (image * scale["std"][0] + scale["mean"][0]) * 255
        return {
            "pair": pair + 1,
            "place": place,
            "weight": weight,
            "label": label,
            "thumbnail": text_of(picture(pixels)),
        }

    seen = found.images[1:] if not found.paired and torch.equal(found.images[0], x) else found.images
    for i in range(pairs):
        yield row(i, 0, x[i], names[int(y[i])], 1.0)
        for k, (image, weight) in enumerate(zip(seen[:, i], found.weights[:, i].tolist()), 1):
            label = f"{weight:.2f} : {1 - weight:.2f}" if found.paired else f"version {k}"
            yield row(i, k, image, label, weight)
        if found.paired:
            j = int(found.partners[i])
            yield row(i, len(seen) + 1, x[j], names[int(y[j])], 0.0)
