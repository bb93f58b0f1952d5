"""Train a network on labelled images by the vote of n workers, each with images of its own; in one process or in several, to the same bit.

Minimised is f = (1/n) sum_j f_j, f_j the mean loss over worker j's images. Minibatches, dropout and random signs are pure functions of (seed,
worker, step). Running statistics of BatchNorm are each worker's own, and the network that is measured has their mean.

Shapes: n workers, m of them in this process.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from bench.errors import UserError
from bench.run.build import build
from bench.run.loading import load
from bench.run.session import Session
from bench.seeding import stream_seed
from bench.tasks.classification.augment import Augmenter
from bench.tasks.classification.evaluation import Evaluation
from bench.tasks.classification.images import LabelledImages
from bench.tasks.vote.theory import scaled
from bench.tasks.vote_images.ballot import Ballot
from bench.tasks.vote_images.gradients import Gradients
from bench.tasks.vote_images.protocol import Method
from bench.tasks.vote_images.shards import WorkerBatches, measured, shards
from bench.tasks.vote_images.wire import Wire
from bench.types import NonNegativeInt, PositiveFloat, PositiveInt

BATCHES_SEEDS = False


def run(
    session: Session,
    state: dict[str, Any] | None,
    *,
    workers: PositiveInt,
    split: Literal["iid", "dirichlet", "shards"],
    alpha: PositiveFloat,
    shards: PositiveInt,
    epochs: PositiveInt,
    batch_size: PositiveInt,
    crop_padding: NonNegativeInt | None,
    flip: bool,
    theory: bool,
    gradients: Literal["looped", "batched"],
    evaluate_every: PositiveInt,
    gradient_subset: PositiveInt,
) -> None:
    """Train for `epochs`, log a row an epoch, finish with the metrics of the last one.

    Metrics: classification's of the network (its gradient norms are of f, over equally many images of each worker); `train_loss`, the mean
    over the epoch's steps and all workers; `bits_up` and `bits_down` of one worker, a coordinate and step; `wire_megabytes`, of all workers
    both ways since the start; `wire_saving`, how many times more single-precision gradients up and their mean down would take.
    """
    device, (seed,) = session.device, session.seeds
    data: LabelledImages = build("dataset", session.job.parts["dataset"], session.job.settings.data_root, seed)
    size = data.train_x.shape[-1]
    if crop_padding is not None and crop_padding > size:
        raise UserError(f"task.crop_padding = {crop_padding}: more than the images' {size} pixels; at most {size}")
    wire = Wire(workers)
    parts = who_has(data, workers, split, seed, alpha=alpha, pieces=shards, batch_size=batch_size)
    data = data.to(device.device)
    layout = device.settings.channels_last
    how = {"crop_padding": size // 8 if crop_padding is None else crop_padding, "flip": flip, "channels_last": layout}
    batches = WorkerBatches(data, parts, wire.own, seed, batch_size, **how)  # type: ignore[arg-type]
    shown = measured(data, parts, gradient_subset, seed)
    plain = Augmenter(shown.train_x, data.mean, data.std, channels_last=layout)
    evaluation = Evaluation(shown, plain, device.autocast, len(shown.train_y), batch_size)
    model = _model(session, data)
    length = max(1, len(data.train_y) // (workers * batch_size))
    dim = sum(p.numel() for p in model.parameters())
    node = session.job.parts["method"]
    factors = load(str(node["_target_"])).theory(epochs * length, dim) if theory else None
    method = build("method", scaled(node, factors))
    training = Training(
        session, model, method, batches, wire, batched=gradients == "batched", epochs=epochs, length=length
    )
    training.sizes = {
        "smallest_shard": min(len(part) for part in parts),
        "largest_shard": max(len(part) for part in parts),
    }
    if state is not None:
        training.restore(state)
    training.run(evaluation, evaluate_every, batch_size)


who_has = shards  # `shards` is a key of the task


def _model(session: Session, data: LabelledImages) -> nn.Module:
    """The network on the device; its parameters depend on the seed alone."""
    _, channels, size, _ = data.train_x.shape
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(session.seeds[0], "init"))
        return session.device.place(build("model", session.job.parts["model"], channels, data.num_classes, size))


@dataclass
class Position:
    """Where a run stands, in every process the same but for `losses`, which are those of its own workers."""

    step: int = 0
    skipped: int = 0
    losses: list[Tensor] = field(default_factory=list)  # [m] of each step of the epoch under way


class Training:
    """One seed's training run, as this process sees it."""

    def __init__(
        self,
        session: Session,
        model: nn.Module,
        method: Method,
        batches: WorkerBatches,
        wire: Wire,
        *,
        batched: bool,
        epochs: int,
        length: int,
    ) -> None:
        self.session, self.model, self.method, self.batches, self.wire = session, model, method, batches, wire
        self.epochs, self.length, self.total = epochs, length, epochs * length
        (seed,), device = session.seeds, session.device
        self.point = dict(model.named_parameters())
        self.before: dict[str, Tensor] = {}  # x_{t-1}, of the last vote
        sizes = [p.numel() for p in self.point.values()]
        self.ballot = Ballot(method, sizes, wire, seed, device.device, next(model.parameters()).dtype)
        self.gradients = Gradients(model, wire.own, seed, device.autocast, batched)
        up, down = (sum(counts) for counts in zip(*(method.bits(d, wire.workers) for d in sizes)))
        self.bits = {"bits_up": up / sum(sizes), "bits_down": down / sum(sizes)}
        self.bits["wire_saving"] = wire.workers * 8 * sum(sizes) / self.ballot.bytes_a_step
        self.sizes: dict[str, int] = {}
        self.at = Position()

    @torch.no_grad()
    def run(self, evaluation: Evaluation, every: int, batch_size: int) -> None:
        """From where the run stands to the last epoch, or to one whose numbers are not finite."""
        self.model.train()
        session, (run,) = self.session, self.session.runs
        session.begin(self.total, self.at.step)
        while self.at.step < self.total:
            self._step(batch_size)
            session.progress.step(self.at.step)
            epoch, rest = divmod(self.at.step, self.length)
            if rest == 0 and not self._end_of_epoch(epoch, evaluation, every):
                return
            if session.due() and self.at.step < self.total:
                session.save(self._state())
        run.finish(**{name: value for name, value in run.latest.items() if name != "step"})

    def _step(self, batch_size: int) -> None:
        """One vote, and the step along it."""
        step, minibatches, previous = self.at.step, self.batches.get(self.at.step), None
        losses, gradients = self.gradients(self.point, minibatches, step, remember=True)  # type: ignore[arg-type]
        if self.ballot.wants_previous:
            _, previous = self.gradients(self.before, minibatches, step, remember=False)
        taken = self.wire.workers * batch_size
        self.session.gradient_evaluations[0] += taken if previous is None else 2 * taken
        self.session.examples += taken
        self.at.losses.append(losses)
        directions = self.ballot(step, gradients, previous)
        self.at.step += 1
        if directions is None:
            self.at.skipped += 1
            return
        if self.ballot.wants_previous:
            self.before = {name: p.detach().clone() for name, p in self.point.items()}
        for p, direction in zip(self.point.values(), directions):
            p.sub_(self.method.lr * direction.view(p.shape))

    def _end_of_epoch(self, epoch: int, evaluation: Evaluation, every: int) -> bool:
        """Log the epoch's row; False when the run has diverged: a number of it is not finite."""
        losses = self.wire.share(torch.stack(self.at.losses, 1)).double()  # [n, steps]
        self.at.losses = []
        sound = losses[losses.isfinite()]
        last_lost = not bool(losses[:, -1].isfinite().all())
        row: dict[str, float] = {
            "epoch": epoch,
            "train_loss": sound.mean().item() if len(sound) else math.nan,
            "lr": self.method.lr,
        }
        if self.at.skipped:
            row["skipped_steps"] = self.at.skipped
        told = epoch % every == 0 or epoch == self.epochs or last_lost or not len(sound)
        with self.session.clock.paused():
            if told:
                self._average_statistics()
                with torch.enable_grad():
                    row |= evaluation(self.model)
        row |= {**self.bits, **self.sizes, "wire_megabytes": self.at.step * self.ballot.bytes_a_step / 1e6}
        row["gradient_evaluations"] = self.session.gradient_evaluations[0]
        (run,) = self.session.runs
        run.log(self.at.step, **row)
        figures = {"epoch": epoch, "loss": row["train_loss"]}
        if "test_accuracy" in row:
            figures["accuracy"] = row["test_accuracy"]
        self.session.progress.note(self.at.step, **figures)
        diverged = (last_lost and epoch == self.epochs) or not all(math.isfinite(v) for v in row.values())
        if diverged:
            run.finish(status="diverged", **row)
        return not diverged

    def _average_statistics(self) -> None:
        """The network's running statistics become the mean of all workers'."""
        for name, buffer in self.model.named_buffers():
            rows = self.wire.share(torch.stack([own[name] for own in self.gradients.buffers]))
            buffer.copy_(rows.mean(0) if rows.is_floating_point() else rows[0])

    def _state(self) -> dict[str, Any]:
        """What a checkpoint holds: whole at the server, and of no use elsewhere."""
        own = self.gradients.buffers
        statistics = {name: self.wire.collect(torch.stack([one[name] for one in own])) for name in own[0]}
        losses = self.wire.collect(torch.stack(self.at.losses, 1)) if self.at.losses else None
        return {
            "point": {name: p.detach() for name, p in self.point.items()},
            "before": self.before,
            "ballot": self.ballot.state(),
            "statistics": statistics,
            "at": {"step": self.at.step, "skipped": self.at.skipped, "losses": losses},
        }

    @torch.no_grad()
    def restore(self, state: dict[str, Any]) -> None:
        """From a checkpoint's state, whatever number of processes wrote it."""
        for name, p in self.point.items():
            p.copy_(state["point"][name])
        self.before = state["before"]
        self.ballot.restore(state["ballot"])
        for k, worker in enumerate(self.wire.own):
            for name, rows in state["statistics"].items():
                self.gradients.buffers[k][name].copy_(rows[worker])
        at = state["at"]
        losses = [] if at["losses"] is None else list(at["losses"][self.wire.own.start : self.wire.own.stop].unbind(1))
        self.at = Position(at["step"], at["skipped"], losses)
