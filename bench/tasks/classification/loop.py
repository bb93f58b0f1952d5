"""Classification: train a network with an optimizer; the task feeds batches, counts gradients and computes every metric.

Batches are a pure function of (seed, epoch, index): the order, the augmentation and the dropout noise come from named streams. So a
method's second gradient sees the same inputs, methods are compared under common random numbers, and a run resumes at any step.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import torch
import torch.nn.functional as F
from hydra.utils import get_object
from torch import Tensor, nn

from bench.errors import UserError
from bench.run.build import build
from bench.run.session import Session
from bench.seeding import generator, stream_seed
from bench.tasks.classification.augment import Augmenter
from bench.tasks.classification.images import LabelledImages
from bench.tasks.classification.metrics import ClassifierMetrics
from bench.types import NonNegativeInt, PositiveInt, Probability

BATCHES_SEEDS = False
EVALUATION_BATCH = 1000


class Method(Protocol):
    """What a classification method is: a torch optimizer whose `step` takes a closure.

    The closure recomputes loss and gradients of the minibatch at hand and may be called more than once. A method with a
    `snapshot(full_closure, num_components)` is given the full gradient of the coming epoch's minibatches at each epoch's start.
    """

    param_groups: list[dict[str, Any]]

    def step(self, closure: Callable[[], Tensor]) -> Tensor: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state_dict: dict[str, Any]) -> None: ...


@dataclass
class Options:
    """The task's own keys, see conf/task/classification.yaml."""

    epochs: int
    batch_size: int
    crop_padding: int | None
    flip: bool
    cutout: int
    label_smoothing: float
    selection: str
    evaluate_every: int
    gradient_subset: int


@dataclass
class Position:
    """Where a run stands; with model, optimizer and schedule this is all that a checkpoint holds."""

    step: int = 0
    loss_sum: Tensor | None = None  # of the epoch under way, on the device
    best_val: float = -1.0
    best: dict[str, float] = field(default_factory=dict)


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
) -> None:
    """Train for `epochs`, log a row an epoch, finish with the metrics of the last epoch (or the best on validation data)."""
    options = Options(
        epochs, batch_size, crop_padding, flip, cutout, label_smoothing, selection, evaluate_every, gradient_subset
    )
    Training(session, options).run(state)


class Training:
    """One seed's training run."""

    def __init__(self, session: Session, options: Options) -> None:
        self.session, self.options, self.device = session, options, session.device
        parts, self.seed = session.job.parts, session.seeds[0]
        data: LabelledImages = build("dataset", parts["dataset"], session.job.settings.data_root, self.seed)
        self._check(data)
        self.data = data.to(self.device.device)
        self.images = self._augmenter(self.data)
        self.batches = len(data.train_y) // options.batch_size  # an epoch drops the incomplete batch
        self.model = self._build_model(parts["model"])
        self.forward = self.device.compiled(self.model)
        self.noisy = any(isinstance(m, nn.Dropout | nn.Dropout2d) and m.p > 0 for m in self.model.modules())
        self.optimizer = self._build_method(parts["method"])
        total = options.epochs * self.batches
        self.schedule = build("schedule", parts["schedule"], self.optimizer, total, self.batches)
        self.at = Position()

    def _check(self, data: LabelledImages) -> None:
        n = len(data.train_y)
        if n < self.options.batch_size:
            raise UserError(
                f"task.batch_size = {self.options.batch_size}: more than the {n} training images; at most {n}"
            )
        if self.options.selection == "best_val" and len(data.val_y) == 0:
            raise UserError("task.selection = 'best_val': needs validation images; set dataset.val_size")

    def _augmenter(self, data: LabelledImages) -> Augmenter:
        size = data.train_x.shape[-1]
        padding = size // 8 if self.options.crop_padding is None else self.options.crop_padding
        return Augmenter(
            data.train_x,
            data.mean,
            data.std,
            crop_padding=padding,
            flip=self.options.flip and data.mirror,
            cutout=self.options.cutout,
            channels_last=self.device.settings.channels_last,
            dtype=torch.float32,
        )

    def _build_model(self, node: dict[str, Any]) -> nn.Module:
        _, channels, size, _ = self.data.train_x.shape
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream_seed(self.seed, "init"))
            return self.device.place(build("model", node, channels, self.data.num_classes, size))

    def _build_method(self, node: dict[str, Any]) -> Any:
        takes = inspect.signature(get_object(node["_target_"])).parameters
        more = {"buffers": list(self.model.buffers())} if "buffers" in takes else {}
        return build("method", node, list(self.model.parameters()), **more)

    # ---- the loop

    def run(self, state: dict[str, Any] | None) -> None:
        """From the start or a checkpoint's state to the final metrics."""
        if state is not None:
            self._restore(state)
        self.model.train()
        session, total = self.session, self.options.epochs * self.batches
        session.begin(total, self.at.step)
        while self.at.step < total:
            epoch, index = divmod(self.at.step, self.batches)
            self._step(epoch, index)
            self.at.step += 1
            session.progress.step(self.at.step)
            if index + 1 == self.batches and not self._end_of_epoch(epoch + 1):
                return
            if session.due() and self.at.step < total:
                session.save(self._state())
        row = session.runs[0].latest
        chosen = self.at.best if self.options.selection == "best_val" else {k: v for k, v in row.items() if k != "step"}
        session.runs[0].finish(**chosen)

    def _step(self, epoch: int, index: int) -> None:
        if index == 0:
            self.at.loss_sum = torch.zeros((), device=self.device.device)
            if hasattr(self.optimizer, "snapshot"):
                self.optimizer.snapshot(lambda: self._full_gradient(epoch), self.batches)
        x, y = self._batch(epoch, index)
        if self.noisy:
            torch.manual_seed(stream_seed(self.seed, "noise", epoch, index))
        loss = self.optimizer.step(lambda: self._backward(x, y))
        self.schedule.step()
        self.at.loss_sum += loss.detach()
        self.session.examples += len(y)

    def _batch(self, epoch: int, index: int) -> tuple[Tensor, Tensor]:
        """Minibatch `index` of `epoch`: x [B, C, H, W] augmented, y [B]."""
        device, size = self.device.device, self.options.batch_size
        if index == 0 or getattr(self, "_order_epoch", None) != epoch:
            stream = generator(self.seed, "order", epoch, device=device)
            self._order = torch.randperm(len(self.data.train_y), generator=stream, device=device)
            self._order_epoch = epoch
        chosen = self._order[index * size : (index + 1) * size]
        return self.images.batch(
            chosen, generator(self.seed, "augment", epoch, index, device=device)
        ), self.data.train_y[chosen]

    def _loss(self, x: Tensor, y: Tensor) -> Tensor:
        with self.device.autocast():
            return F.cross_entropy(self.forward(x), y, label_smoothing=self.options.label_smoothing)

    def _backward(self, x: Tensor, y: Tensor, weight: float = 1.0, zero: bool = True) -> Tensor:
        """Loss [] and gradients of one minibatch; each call is counted."""
        if zero:
            self.optimizer.zero_grad(set_to_none=True)
        loss = self._loss(x, y)
        (loss * weight).backward()
        self.session.gradient_evaluations[0] += len(y)
        return loss.detach()

    def _full_gradient(self, epoch: int) -> None:
        """Mean gradient of the epoch's minibatches, with the crops and flips that the epoch will use: the finite sum of the paper."""
        self.optimizer.zero_grad(set_to_none=True)
        for index in range(self.batches):
            self._backward(*self._batch(epoch, index), weight=1 / self.batches, zero=False)

    # ---- measuring

    def _end_of_epoch(self, epoch: int) -> bool:
        """Log the epoch's row; False when the run has diverged."""
        assert self.at.loss_sum is not None
        row = {
            "epoch": epoch,
            "train_loss": (self.at.loss_sum / self.batches).item(),
            "lr": self.optimizer.param_groups[0]["lr"],
        }
        last = epoch == self.options.epochs
        diverged = not math.isfinite(row["train_loss"])
        if epoch % self.options.evaluate_every == 0 or last or diverged:
            with self.session.clock.paused():
                row |= self._evaluate()
        row["gradient_evaluations"] = self.session.gradient_evaluations[0]
        run = self.session.runs[0]
        run.log(self.at.step, **row)
        diverged = diverged or not all(math.isfinite(v) for v in row.values())
        figures = {"epoch": epoch, "loss": row["train_loss"]}
        if "test_accuracy" in row:
            figures["accuracy"] = row["test_accuracy"]
        self.session.progress.note(self.at.step, **figures)
        if row.get("val_accuracy", -1.0) > self.at.best_val:
            self.at.best_val, self.at.best = row["val_accuracy"], dict(row)
        if diverged:
            run.finish(status="diverged", **row)
        return not diverged

    def _evaluate(self) -> dict[str, float]:
        """Metrics on test and validation images, and the norms of the training gradient on a fixed subset."""
        figures = {}
        self.model.eval()
        with torch.no_grad():
            for name, x, y in (("test", self.data.test_x, self.data.test_y), ("val", self.data.val_x, self.data.val_y)):
                if len(y):
                    metrics = ClassifierMetrics(self.device.device)
                    for part in _slices(len(y), EVALUATION_BATCH):
                        with self.device.autocast():
                            logits = self.model(self.images.normalise(x[part]))
                        metrics.update(logits, y[part])
                    figures |= metrics.read(name)
        self.model.train()
        return figures | self._gradient_norms()

    def _gradient_norms(self) -> dict[str, float]:
        """l1 and l2 norm of the mean training gradient on the first `gradient_subset` images, without augmentation.

        BatchNorm runs on batch statistics, as in training; its buffers are put back afterwards.
        """
        buffers = [b.clone() for b in self.model.buffers()]
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        total = [torch.zeros_like(p) for p in parameters]
        n = min(self.options.gradient_subset, len(self.data.train_y))
        for part in _slices(n, max(self.options.batch_size, 2)):
            chosen = torch.arange(n, device=self.device.device)[part]
            loss = F.cross_entropy(self.model(self.images.plain(chosen)), self.data.train_y[chosen])
            gradients = torch.autograd.grad(loss, parameters)
            torch._foreach_add_(total, gradients, alpha=len(chosen) / n)
        for buffer, before in zip(self.model.buffers(), buffers):
            buffer.copy_(before)
        l1, l2 = (torch.stack(torch._foreach_norm(total, order)) for order in (1, 2))
        return {"grad_l1": l1.sum().item(), "grad_l2": l2.norm().item()}

    # ---- checkpoint

    def _state(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "at": vars(self.at),
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.at = Position(**state["at"])


def _slices(n: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, n)) for start in range(0, n, size))
