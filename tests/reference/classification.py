"""A run of the classification task, an image at a time where it can be: batches, schedule, counts, evaluation, the choice of an epoch."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from reference.networks import Network
from reference.sign_steps import SNAPSHOTS, Steps
from torch import Tensor

from bench.seeding import generator, stream_seed
from bench.tasks.classification.images import LabelledImages


@dataclass
class Protocol:
    """The task's keys, and its schedule's."""

    epochs: int = 3
    batch_size: int = 16
    crop_padding: int | None = None
    flip: bool = True
    cutout: int = 0
    label_smoothing: float = 0.0
    selection: str = "last"
    evaluate_every: int = 1
    gradient_subset: int = 21
    schedule: str = "constant"
    more: dict[str, Any] = field(default_factory=dict)  # of the schedule


def step_sizes(lr: float, how: Protocol, total: int, epoch: int) -> list[float]:
    """The step size of each step, and the one after the last."""
    warm, sizes = round(how.more.get("warmup_epochs", 0.0) * epoch), []
    drops = [max(warm + 1, round(m * total)) for m in how.more.get("milestones", [0.5, 0.75])]
    for t in range(total + 1):
        factor = 1.0
        if t < warm:
            factor = 0.01 + 0.99 * t / warm
        elif how.schedule == "cosine":
            factor = (1 + math.cos(math.pi * (t - warm) / max(1, total - warm))) / 2
        elif how.schedule == "steps":
            factor = how.more.get("gamma", 0.1) ** sum(t >= drop for drop in drops)
        sizes.append(lr * factor)
    return sizes


def of_theory(name: str, lr: float, total: int, d: int, m: int) -> tuple[float, float | None]:
    """lr and beta of each method's theorem for a run of `total` steps over m minibatches an epoch."""
    return {
        "signsgd": (lr / math.sqrt(d * total), None),
        "signsgd_sim": (lr / math.sqrt(d) / total**0.75, 1 / math.sqrt(total)),
        "ssvr": (lr / math.sqrt(d) / total ** (2 / 3), total ** (-2 / 3)),
        "signsvrg": (lr / math.sqrt(m * d * total), None),
        "ssvr_fs": (lr / m**0.25 / math.sqrt(d * total), 1 / m),
        "ssvr_fs_spider": (lr / m**0.25 / math.sqrt(d * total), None),
        "ef_signsgd": (lr / math.sqrt(total), None),
        "sgd": (lr / math.sqrt(total), None),
        "adamw": (lr / math.sqrt(total), None),
    }[name]


class Images:
    """Normalised images, plain or as an epoch sees them."""

    def __init__(self, data: LabelledImages, how: Protocol, seed: int) -> None:
        self.data, self.how, self.seed = data, how, seed
        self.pad = data.train_x.shape[3] // 8 if how.crop_padding is None else how.crop_padding
        self.std = np.array(data.std, np.float32)
        self.mean = np.array(data.mean, np.float32)

    def normalised(self, x: np.ndarray) -> np.ndarray:
        """One image [C, H, W], in single precision as the task hands it over."""
        scale, shift = np.float32(1) / (np.float32(255) * self.std), -self.mean / self.std
        return x.astype(np.float32) * scale[:, None, None] + shift[:, None, None]

    def plain(self, x: Tensor) -> Tensor:
        return torch.from_numpy(np.stack([self.normalised(image) for image in x.numpy()]))

    def minibatch(self, epoch: int, index: int) -> tuple[Tensor, Tensor]:
        """Its images, cropped, mirrored, normalised and blanked one by one, and their labels."""
        how, n = self.how, len(self.data.train_y)
        order = torch.randperm(n, generator=generator(self.seed, "order", epoch)).tolist()
        chosen = order[index * how.batch_size : (index + 1) * how.batch_size]
        drawn = torch.rand(5, how.batch_size, generator=generator(self.seed, "augment", epoch, index)).numpy()
        images = [self.seen(self.data.train_x[i].numpy(), u) for i, u in zip(chosen, drawn.T)]
        return torch.from_numpy(np.stack(images)), self.data.train_y[chosen]

    def seen(self, x: np.ndarray, u: np.ndarray) -> np.ndarray:
        _, height, width = x.shape
        pad, k = self.pad, self.how.cutout
        top, left = (min(int(v * np.float32(2 * pad + 1)), 2 * pad) for v in u[:2])
        x = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))[:, top : top + height, left : left + width]
        if self.how.flip and self.data.mirror and u[2] < 0.5:
            x = x[:, :, ::-1]
        x = self.normalised(x)
        if k:
            row, column = int(u[3] * np.float32(height)) - k // 2, int(u[4] * np.float32(width)) - k // 2
            x[:, max(row, 0) : max(row + k, 0), max(column, 0) : max(column + k, 0)] = 0
        return x


def run(name: str, keys: dict, data: LabelledImages, kind: str, seed: int, how: Protocol) -> tuple[list, dict, str]:
    """The rows of the curve, the final metrics, and the run's status."""
    return Run(name, keys, data, kind, seed, how).all()


class Run:
    def __init__(self, name: str, keys: dict, data: LabelledImages, kind: str, seed: int, how: Protocol) -> None:
        self.name, self.data, self.seed, self.how = name, data, seed, how
        self.images, self.network = Images(data, how, seed), Network(kind, seed)
        self.per_epoch = len(data.train_y) // how.batch_size
        total, lr = how.epochs * self.per_epoch, keys["lr"]
        beta = keys.get("beta", {"ssvr": 0.5, "signsgd_sim": 0.1}.get(name))  # or the suite's defaults
        if how.schedule == "theory":
            d = sum(p.numel() for p in self.network.params)
            lr, theirs = of_theory(name, lr, total, d, self.per_epoch)
            beta = beta if theirs is None else theirs
        self.sizes = step_sizes(lr, how, total, self.per_epoch)
        self.steps = Steps(name, keys, self.network.params, beta)
        self.calls = 0

    def all(self) -> tuple[list[dict], dict, str]:
        rows: list[dict] = []
        for epoch in range(self.how.epochs):
            losses = [self.one_step(epoch, index) for index in range(self.per_epoch)]
            rows.append(self.row(epoch, losses))
            lost = not math.isfinite(losses[-1]) and epoch + 1 == self.how.epochs
            if lost or not all(math.isfinite(value) for value in rows[-1].values()):
                return rows, self.last(rows[-1]), "diverged"
        if self.how.selection == "last":
            return rows, self.last(rows[-1]), "finished"
        return (
            rows,
            self.last(max((r for r in rows if "val_accuracy" in r), key=lambda r: r["val_accuracy"])),
            "finished",
        )

    def last(self, row: dict) -> dict:
        """Whatever epoch is chosen, the whole run was paid for."""
        return {k: v for k, v in row.items() if k != "step"} | {"gradient_evaluations": self.calls}

    def gradient(self, params: list[Tensor], epoch: int, index: int, first: bool = False) -> tuple[float, list[Tensor]]:
        """A pass over one minibatch, with its own images and dropout; the first at a point moves running statistics."""
        torch.manual_seed(stream_seed(self.seed, "noise", epoch, index))
        self.calls += self.how.batch_size
        x, y = self.images.minibatch(epoch, index)
        return self.network.gradient(params, x, y, self.how.label_smoothing, keep_running=not first)

    def one_step(self, epoch: int, index: int) -> float:
        if index == 0 and self.name in SNAPSHOTS:
            passes = [self.gradient(self.steps.x, epoch, i)[1] for i in range(self.per_epoch)]
            self.steps.snapshot([sum(each) / self.per_epoch for each in zip(*passes)], self.per_epoch)
        loss, g = self.gradient(self.steps.x, epoch, index, first=True)
        size = self.sizes[epoch * self.per_epoch + index]
        self.steps.step(size, g, lambda point: self.gradient(point, epoch, index)[1])
        return loss

    def row(self, epoch: int, losses: list[float]) -> dict[str, float]:
        whole, step = [loss for loss in losses if math.isfinite(loss)], (epoch + 1) * self.per_epoch
        row: dict[str, float] = {
            "step": step,
            "epoch": epoch + 1,
            "train_loss": sum(whole) / len(whole) if whole else math.nan,
            "lr": self.sizes[step],
        }
        if len(whole) < len(losses):
            row["nonfinite_losses"] = len(losses) - len(whole)
        if self.steps.skipped:
            row["skipped_steps"] = self.steps.skipped
        due = (epoch + 1) % self.how.evaluate_every == 0 or epoch + 1 == self.how.epochs
        if due or not math.isfinite(losses[-1]) or not whole:
            row |= self.held_out("test") | (self.held_out("val") if len(self.data.val_y) else {}) | self.norms()
        return row | {"gradient_evaluations": self.calls}

    def held_out(self, part: str) -> dict[str, float]:
        """Accuracy, negative log likelihood and calibration error in 15 bins, over single images."""
        x, y = getattr(self.data, f"{part}_x"), getattr(self.data, f"{part}_y")
        right, nll, gaps = 0, 0.0, [0.0] * 15
        for scores, label in zip(self.network.scores(self.steps.x, self.images.plain(x), False), y.tolist()):
            logs = scores.numpy() - np.logaddexp.reduce(scores.numpy())
            p, hit = np.exp(logs), int(logs.argmax() == label)
            right, nll = right + hit, nll - logs[label]
            gaps[math.ceil(p.max() * 15) - 1] += hit - p.max()
        n = len(y)
        return {
            f"{part}_accuracy": right / n,
            f"{part}_nll": nll / n,
            f"{part}_ece": sum(abs(gap) for gap in gaps) / n,
        }

    def norms(self) -> dict[str, float]:
        """Of the mean gradient over the first training images as they are, in training mode, which leaves no trace."""
        n, total = min(self.how.gradient_subset, len(self.data.train_y)), 0.0
        for start in range(0, n, max(self.how.batch_size, 2)):
            part = slice(start, min(start + max(self.how.batch_size, 2), n))
            x, y = self.images.plain(self.data.train_x[part]), self.data.train_y[part]
            _, g = self.network.gradient(self.steps.x, x, y, 0.0, keep_running=True)
            total = total + torch.cat([one.flatten() for one in g]) * len(y) / n
        return {"grad_l1": float(total.abs().sum()), "grad_l2": math.sqrt(float(total.square().sum()))}
