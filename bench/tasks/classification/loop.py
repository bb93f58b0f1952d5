"""Classification: train a network with an optimizer; the task feeds batches, counts gradients and computes every metric.

Batches and dropout noise are pure functions of (seed, epoch, index). So a method's second gradient sees the same inputs, methods are
compared under common random numbers, and a run resumes at any step.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.errors import UserError, allowed_list, nearest
from bench.optimizers import check_constructor, check_members, step
from bench.run.build import build
from bench.run.loading import load
from bench.run.options import options, read_yaml, task_of
from bench.run.paths import CONF
from bench.run.session import Session
from bench.seeding import generator, stream_seed
from bench.tasks.classification.augment import Augmenter
from bench.tasks.classification.averaging import Average, in_the_form_of
from bench.tasks.classification.batches import Batches
from bench.tasks.classification.evaluation import Evaluation
from bench.tasks.classification.images import LabelledImages
from bench.tasks.classification.protocol import Losses, Method, Trained
from bench.types import Added, DottedName, NonNegativeInt, PositiveInt, Probability

BATCHES_SEEDS = False


def run(
    session: Session,
    state: dict[str, Any] | None,
    *,
    epochs: PositiveInt,
    batch_size: PositiveInt,
    crop_padding: NonNegativeInt | None,
    flip: bool,
    cutout: NonNegativeInt,
    label_smoothing: Probability,
    selection: Literal["last", "best_val"],
    evaluate_every: PositiveInt,
    gradient_subset: PositiveInt,
    ood: Added[str | None] = None,
    probes: Added[list[DottedName] | None] = None,
) -> None:
    """Train for `epochs`, log a row an epoch, finish with the metrics of the last epoch (or the best on validation data).

    Of a method that samples, probabilities are averaged over its networks at epochs' ends; `ood` is then the data set whose test images are
    to be told from this one's by the entropy of the average. `probes` are functions from a `protocol.Trained` to more metrics of the
    network of the last epoch.
    """
    device, (seed,) = session.device, session.seeds
    data: LabelledImages = build("dataset", session.job.parts["dataset"], session.job.settings.data_root, seed)
    n, size = len(data.train_y), data.train_x.shape[-1]
    if n < batch_size:
        raise UserError(f"task.batch_size = {batch_size}: more than the {n} training images; at most {n}")
    if selection == "best_val" and len(data.val_y) == 0:
        raise UserError("task.selection = 'best_val': needs validation images; set dataset.val_size")
    if crop_padding is not None and crop_padding > size:
        raise UserError(f"task.crop_padding = {crop_padding}: more than the images' {size} pixels; at most {size}")
    data = data.to(device.device)
    images = Augmenter(
        data.train_x,
        data.mean,
        data.std,
        crop_padding=size // 8 if crop_padding is None else crop_padding,
        flip=flip and data.mirror,
        cutout=cutout,
        channels_last=device.settings.channels_last,
    )
    batches = Batches(images, data.train_y, seed, batch_size)
    model = _model(session, data)
    evaluation = Evaluation(data, images, device.autocast, gradient_subset, batch_size)
    training = Training(session, model, batches, epochs, label_smoothing)
    training.probes = [load(name) for name in probes or []]
    if hasattr(training.optimizer, "collects"):
        training.average = Average(data, _other_images(session, ood, data), images.normalise, device.autocast)
    elif ood is not None:
        name = session.job.names["method"]
        raise UserError(f"task.ood = '{ood}': measured of an average of networks, and method '{name}' does not sample")
    if training.probes:
        training.trained = Trained(model, data, images, batches, training.optimizer, seed, device.autocast)
    if state is not None:
        training.restore(state)
    if training.run(evaluation, evaluate_every):
        training.finish(best=selection == "best_val")


def _model(session: Session, data: LabelledImages) -> nn.Module:
    """The network on the device; its parameters depend on the seed alone."""
    _, channels, size, _ = data.train_x.shape
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(session.seeds[0], "init"))
        return session.device.place(build("model", session.job.parts["model"], channels, data.num_classes, size))


def _other_images(session: Session, name: str | None, data: LabelledImages) -> Tensor | None:
    """As many test images of another data set as this one has, or all of them, in the form of this one's; on the device."""
    if name is None:
        return None
    fitting = [option for option in options("dataset") if task_of(option) == "classification"]
    if name not in fitting:
        raise UserError(f"task.ood = '{name}': allowed: null, {allowed_list(fitting, name)}{nearest(name, fitting)}")
    content = read_yaml(CONF / "dataset" / f"{name}.yaml")
    node = {key: value for key, value in content.items() if key != "defaults" and "${" not in str(value)}
    other: LabelledImages = build("dataset", node, session.job.settings.data_root, session.seeds[0])
    return in_the_form_of(other.test_x[: len(data.test_y)].to(data.test_x.device), data.test_x)


def _method(node: dict[str, Any], model: nn.Module, **offered: Any) -> Method:
    takes = inspect.signature(load(node["_target_"])).parameters
    offered |= {"buffers": list(model.buffers()), "model": model}
    more = {name: value for name, value in offered.items() if name in takes and name not in node}
    check_constructor(node, **more)
    method = build("method", node, list(model.parameters()), **more)
    check_members(method)
    return method


@dataclass
class Position:
    """Where a run stands; with model, optimizer and schedule this is all that a checkpoint holds."""

    step: int = 0
    losses: list[Tensor] = field(default_factory=list)  # of the epoch under way, on the device
    told: bool = False  # that steps were skipped
    best_val: float = -1.0
    best: dict[str, float] = field(default_factory=dict)


class Training:
    """One seed's training run."""

    def __init__(
        self, session: Session, model: nn.Module, batches: Batches, epochs: int, label_smoothing: float
    ) -> None:
        self.session, self.seed, self.model, self.batches = session, session.seeds[0], model, batches
        self.epochs, self.label_smoothing, self.total = epochs, label_smoothing, epochs * len(batches)
        self.forward = session.device.compiled(model)
        self.noisy = any(isinstance(m, nn.Dropout | nn.Dropout2d) and m.p > 0 for m in model.modules())
        parts = session.job.parts
        supplied = {"num_examples": batches.examples, "seed": self.seed, "total_steps": self.total}  # type: dict[str, Any]
        supplied |= batches.normalisation
        self.optimizer = _method(parts["method"], model, **supplied)
        self.schedule = build("schedule", parts["schedule"], self.optimizer, self.total, len(batches))
        self.at = Position()
        self.average: Average | None = None
        self.probes: list[Callable[[Trained], dict[str, float]]] = []
        self.trained: Trained | None = None

    def run(self, evaluation: Evaluation, every: int) -> bool:
        """From where the run stands to the last epoch; False when it diverged, and finished as such."""
        self.model.train()
        session = self.session
        session.begin(self.total, self.at.step)
        while self.at.step < self.total:
            epoch, index = divmod(self.at.step, len(self.batches))
            self._step(epoch, index)
            self.at.step += 1
            session.progress.step(self.at.step)
            if index + 1 == len(self.batches) and not self._end_of_epoch(epoch + 1, evaluation, every):
                return False
            if session.due() and self.at.step < self.total:
                session.save(self._state())
        return True

    def finish(self, best: bool) -> None:
        """The final metrics: of the best epoch on validation data, or of the last one."""
        (run,) = self.session.runs
        run.finish(**(self.at.best if best else {k: v for k, v in run.latest.items() if k != "step"}))

    def _step(self, epoch: int, index: int) -> None:
        if index == 0:
            self.at.losses = []
            if hasattr(self.optimizer, "snapshot"):
                self.optimizer.snapshot(lambda: self._full_gradient(epoch), len(self.batches))
        x, y = self.batches.get(epoch, index)
        counted = self.session.gradient_evaluations
        loss = step(self.optimizer, lambda: self._backward(x, y, (epoch, index)), lambda: counted[0])
        self.schedule.step()
        self.at.losses.append(loss.detach())
        self.session.examples += len(y)

    def _backward(self, x: Tensor, y: Tensor, at: tuple[int, int], weight: float = 1.0, zero: bool = True) -> Tensor:
        """Loss [] and gradients of the minibatch `at` (epoch, index), each time with the same noise; each call is counted."""
        if zero:
            self.optimizer.zero_grad(set_to_none=True)
        if self.noisy:
            torch.manual_seed(stream_seed(self.seed, "noise", *at))
        parts = []
        with torch.enable_grad():
            for loss, images in self._losses(x, y, at):
                (loss if weight == 1 else loss * weight).backward()
                self.session.gradient_evaluations[0] += images
                parts.append(loss.detach())
        return sum(parts[1:], parts[0])

    def _losses(self, x: Tensor, y: Tensor, at: tuple[int, int]) -> Losses:
        """Parts of the minibatch's loss: the cross-entropy, or what the method makes of it."""
        if hasattr(self.optimizer, "losses"):
            return self.optimizer.losses(
                self._logits, x, y, self._loss, generator(self.seed, "mix", *at, device=y.device)  # type: ignore[arg-type]
            )  # fmt: skip
        return [(self._loss(self._logits(x), y), len(y))]

    def _logits(self, x: Tensor) -> Tensor:
        with self.session.device.autocast():
            return self.forward(x)

    def _loss(self, logits: Tensor, y: Tensor) -> Tensor:
        with self.session.device.autocast():
            return F.cross_entropy(logits, y, label_smoothing=self.label_smoothing)

    def _full_gradient(self, epoch: int) -> None:
        """Mean gradient of the epoch's minibatches, with the crops, flips and noise that the epoch will use: the finite sum of the paper."""
        self.optimizer.zero_grad(set_to_none=True)
        for index in range(len(self.batches)):
            self._backward(*self.batches.get(epoch, index), (epoch, index), weight=1 / len(self.batches), zero=False)

    def _end_of_epoch(self, epoch: int, evaluation: Evaluation, every: int) -> bool:
        """Log the epoch's row; False when the run has diverged: a number of the row is not finite, or the run's last loss."""
        row, last_lost = self._epoch_row(epoch)
        told = epoch % every == 0 or epoch == self.epochs or last_lost or not math.isfinite(row["train_loss"])
        with self.session.clock.paused():
            if told:
                row |= evaluation(self.model)
            row |= self._averaged(told)
            if self.trained is not None and epoch == self.epochs:
                for probe in self.probes:
                    row |= probe(self.trained)
        row["gradient_evaluations"] = self.session.gradient_evaluations[0]
        (run,) = self.session.runs
        run.log(self.at.step, **row)
        diverged = (last_lost and epoch == self.epochs) or not all(math.isfinite(v) for v in row.values())
        figures = {"epoch": epoch, "loss": row["train_loss"]}
        if "test_accuracy" in row:
            figures["accuracy"] = row["test_accuracy"]
        self.session.progress.note(self.at.step, **figures)
        if row.get("val_accuracy", -1.0) > self.at.best_val:
            self.at.best_val, self.at.best = row["val_accuracy"], dict(row)
        if diverged:
            run.finish(status="diverged", **row)
        return not diverged

    def _averaged(self, told: bool) -> dict[str, float]:
        """Take the network into the average if it is a sample; the average's metrics and the exchange rates if they are to be `told`."""
        collects = getattr(self.optimizer, "collects", False)
        if self.average is None or not (told or collects):
            return {}
        figures = self.average(self.model, collects)
        if rates := getattr(self.optimizer, "swap_rates", ()):
            figures |= {"swap_rate": sum(rates) / len(rates)}
            figures |= {f"swap_rate_{pair}": rate for pair, rate in enumerate(rates, 1)}
        return figures if told else {}

    def _epoch_row(self, epoch: int) -> tuple[dict[str, float], bool]:
        """What training itself tells of the epoch: the mean of its finite losses, and how much was skipped. Was the last loss lost?"""
        finite = torch.stack(self.at.losses).isfinite().tolist()
        total = torch.zeros((), device=self.session.device.device)
        for loss, counts in zip(self.at.losses, finite):
            if counts:
                total += loss
        row: dict[str, float] = {
            "epoch": epoch,
            "train_loss": (total / sum(finite)).item() if any(finite) else math.nan,
            "lr": self.optimizer.param_groups[0]["lr"],
        }
        if not all(finite):
            row["nonfinite_losses"] = finite.count(False)
        if skipped := getattr(self.optimizer, "skipped_steps", 0):
            row["skipped_steps"] = skipped
        if skipped and not self.at.told:
            self.at.told = True
            self.session.report(
                f"{self.session.job.title}, seed {self.seed}: skipped {skipped} steps up to epoch {epoch}, "
                "whose gradients were NaN or infinite; skipped_steps counts them"
            )
        return row, not finite[-1]

    def _state(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "at": vars(self.at),
            "average": self.average and self.average.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """From a checkpoint's state."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.at = Position(**state["at"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
