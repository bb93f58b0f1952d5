"""Whole runs of the vote on images once more: one worker, one tensor, one coordinate at a time, on the tiny networks in double precision."""

from __future__ import annotations

import dataclasses
import math
from types import SimpleNamespace
from typing import Any

import torch
from reference import classification, vote
from reference.networks import Network

from bench.seeding import generator, stream_seed
from bench.tasks.classification.images import LabelledImages


def rows_of(data: LabelledImages, rows: torch.Tensor) -> LabelledImages:
    """The data with these training images alone."""
    found = {name: getattr(data, name)[rows] for name in ("train_x", "train_y", "train_y_clean")}
    return dataclasses.replace(data, **found)


class Run:
    """n workers with `parts` of the images; `kind` as of `Network`."""

    def __init__(
        self,
        name: str,
        keys: dict[str, Any],
        data: LabelledImages,
        parts: list[torch.Tensor],
        kind: str,
        seed: int,
        how: classification.Protocol,
        theory: bool,
    ) -> None:
        self.name, self.data, self.parts, self.seed, self.how, self.n = name, data, parts, seed, how, len(parts)
        own = [rows_of(data, part) for part in parts]
        seeds = [stream_seed(seed, "order", 4, j) for j in range(self.n)]
        self.images = [classification.Images(one, how, s) for one, s in zip(own, seeds)]
        self.lengths = [len(part) // how.batch_size for part in parts]
        self.networks = [Network(kind, seed) for _ in parts]
        self.x, self.before, self.calls = self.networks[0].params, None, 0
        self.per_epoch = len(data.train_y) // (self.n * how.batch_size)
        self.dims = [p.numel() for p in self.x]
        total = how.epochs * self.per_epoch
        self.keys = vote.theory(name, keys, total, sum(self.dims)) if theory else keys
        self.votes = [vote.Vote(name, self.keys, self.n) for _ in self.x]

    def all(self) -> list[dict[str, float]]:
        rows = []
        for epoch in range(1, self.how.epochs + 1):
            first = (epoch - 1) * self.per_epoch
            losses = [loss for t in range(first, first + self.per_epoch) for loss in self.step(t)]
            rows.append(self.row(epoch, losses))
        return rows

    def gradient(self, j: int, x: list, t: int, keep: bool) -> tuple[float, list]:
        torch.manual_seed(stream_seed(self.seed, "noise", 3, j, t))
        self.calls += self.how.batch_size
        batch = self.images[j].minibatch(*divmod(t, self.lengths[j]))
        loss, g = self.networks[j].gradient(x, *batch, 0.0, keep_running=keep)
        return loss, [one.flatten().numpy() for one in g]

    def step(self, t: int) -> list[float]:
        here = [self.gradient(j, self.x, t, False) for j in range(self.n)]
        there = None
        if self.votes[0].twice and self.before is not None:
            there = [self.gradient(j, self.before, t, True)[1] for j in range(self.n)]
        moved = []
        for p, (one, dim) in enumerate(zip(self.votes, self.dims)):
            coins = [self.coins((1, j), t, p, dim) for j in range(self.n)]
            estimates = [one.estimate(j, here[j][1][p], None if there is None else there[j][p]) for j in range(self.n)]
            s = one.direction(estimates, coins, self.coins((2, 0), t, p, dim))
            moved.append(self.x[p] - self.keys["lr"] * torch.from_numpy(s).view(self.x[p].shape))
        self.before, self.x = self.x, moved
        return [loss for loss, _ in here]

    def coins(self, sender: tuple[int, int], t: int, p: int, dim: int) -> Any:
        return torch.rand(dim, generator=generator(self.seed, "noise", *sender, t, p)).double().numpy()

    def measured(self) -> LabelledImages:
        """Equally many training images of each worker, one worker's after another's."""
        each = max(1, min(self.how.gradient_subset // self.n, *map(len, self.parts)))
        chosen = []
        for j, part in enumerate(self.parts):
            order = torch.randperm(len(part), generator=generator(self.seed, "data", 4, 3, j)).tolist()
            chosen += [int(part[i]) for i in order[:each]]
        return rows_of(self.data, torch.tensor(chosen))

    def row(self, epoch: int, losses: list[float]) -> dict[str, float]:
        network, shown = self.networks[0], self.measured()
        mine = network.running
        network.running = tuple(sum(n.running[k] for n in self.networks) / self.n for k in (0, 1))
        how = dataclasses.replace(self.how, gradient_subset=len(shown.train_y))
        whole = SimpleNamespace(data=shown, how=how, network=network, steps=SimpleNamespace(x=self.x))
        whole.images = classification.Images(shown, self.how, self.seed)
        held = [classification.Run.held_out(whole, part) for part in ("test", "val")]
        norms = classification.Run.norms(whole)
        network.running = mine
        wires = [vote.wire(self.name, self.keys, self.n, d) for d in self.dims]
        up, down = (sum(w[k] * d for w, d in zip(wires, self.dims)) / sum(self.dims) for k in (0, 1))
        sizes = [len(part) for part in self.parts]
        row = {"step": epoch * self.per_epoch, "epoch": epoch, "train_loss": sum(losses) / len(losses)}
        row |= {"lr": self.keys["lr"], **held[0], **held[1], **norms, "bits_up": up, "bits_down": down}
        row |= {"smallest_shard": min(sizes), "largest_shard": max(sizes), "gradient_evaluations": self.calls}
        row["wire_saving"] = 8 * self.n * sum(self.dims) / self.bytes_a_step()
        return row | {"wire_megabytes": row["step"] * self.bytes_a_step() / 1e6}

    def bytes_a_step(self) -> int:
        """A byte of state and whole bytes of bits each way, four bytes a number."""
        d, tensors = sum(self.dims), len(self.dims)
        wires = vote.wire(self.name, self.keys, self.n, 1 << 40)  # bits alone
        numbers = sum(w - math.floor(w + 1e-6) > 0 for w in wires)
        return self.n * sum(math.floor(w + 1e-6) * math.ceil(d / 8) + 1 for w in wires) + self.n * 4 * tensors * numbers
