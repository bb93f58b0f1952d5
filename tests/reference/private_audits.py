"""Naive runs of the tasks that look at private tuning without diffusion training: an example at a time, by autograd or by hand.

What is drawn (a ledger's batches and noise, streams of a seed) is taken as it comes; what is computed of it is computed here.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.libraries import peft
from bench.seeding import generator, stream_seed
from bench.tasks.generation.ledger import Ledger

Row = dict[str, Any]
ABAR = np.cumprod(1 - np.linspace(math.sqrt(0.0015), math.sqrt(0.0195), 1000) ** 2)


def adapters(net: nn.Module, rank: int, targets: list[str], seed: int) -> None:
    """peft's, by itself."""
    torch.manual_seed(stream_seed(seed, "init"))
    config = peft().LoraConfig(r=rank, lora_alpha=rank, target_modules=targets, init_lora_weights="gaussian")
    peft().inject_adapter_in_model(config, net)


def trained(network: nn.Module) -> list[nn.Parameter]:
    return [p for p in network.parameters() if p.requires_grad]


def flat(parts: Any) -> Tensor:
    return torch.cat([part.detach().double().flatten() for part in parts])


# ---- private_step


class Steps:
    """One method's first steps, and its sums afterwards.

    apart: copies are clipped one by one.
    """

    def __init__(self, public: nn.Module, x: Tensor, y: Tensor, keys: Row, seed: int, sigma: float, apart: bool):
        self.public, self.network, self.x, self.y = public, copy.deepcopy(public), x, y
        self.keys, self.seed, self.apart = keys, seed, apart
        adapters(self.network.net, keys["rank"], ["to_qkv", "to_out.0"], seed)
        self.network.net.class_embedding.weight.requires_grad_(True)
        self.sigma, self.made = sigma, 0
        self.ledger = Ledger(len(y), keys["batch_size"] / len(y), sigma, keys["clip"], 99, keys["delta"], None, seed)
        self.optimizer = torch.optim.AdamW(trained(self.network), lr=keys["lr"], weight_decay=keys["weight_decay"])
        self.start = self.apart_from(public, self.network)
        for step in range(keys["warm_up"]):
            self.step(step)

    def apart_from(self, one: nn.Module, other: nn.Module) -> float:
        draw, worst = generator(self.seed, "noise", 70, 1), 0.0
        t = torch.randint(1000, (min(64, len(self.y)),), generator=draw)
        with torch.no_grad():
            for i, time in enumerate(t):
                found = [net(self.x[i][None], time[None], self.y[i][None]) for net in (one, other)]
                worst = max(worst, (found[0] - found[1]).abs().max().item())
        return worst

    def loss(self, i: int, t: Tensor, noise: Tensor) -> Tensor:
        """Of one image and its copies, mean over them."""
        total = 0.0
        for time, e in zip(t.tolist(), noise):
            noised = math.sqrt(ABAR[time]) * self.x[i] + math.sqrt(1 - ABAR[time]) * e
            guess = self.network(noised[None], torch.tensor([time]), self.y[i][None])[0]
            total = total + (e - guess).square().mean()
        return total / len(t)

    def clipped(self, i: int, t: Tensor, noise: Tensor) -> Tensor:
        """What one image adds to a sum."""
        parts = [(t[k : k + 1], noise[k : k + 1]) for k in range(len(t))] if self.apart else [(t, noise)]
        total = 0.0
        for part in parts:
            g = flat(torch.autograd.grad(self.loss(i, *part), trained(self.network)))
            total = total + g * min(1.0, self.keys["clip"] / float(g.norm()))
        return total

    def draws(self, count: int, step: int) -> tuple[Tensor, Tensor]:
        """The method's own of a batch, [B, K]."""
        size = count, self.keys["noise_multiplicity"]
        one, other = (generator(self.seed, "augment", step, part) for part in (0, 1))
        return torch.randint(1000, size, generator=one), torch.randn(*size, *self.x.shape[1:], generator=other)

    def sum(self, rows: list[int], t: Tensor, noise: Tensor) -> Tensor:
        parts = [self.clipped(i, t[k], noise[k]) for k, i in enumerate(rows)]
        return torch.stack(parts).sum(0)

    def step(self, step: int) -> None:
        rows, like = self.ledger.batch(step).tolist(), trained(self.network)
        total = self.sum(rows, *self.draws(len(rows), step)) + flat(self.ledger.noise(step, like))
        total = (total / self.keys["batch_size"]).float()
        for p, part in zip(like, total.split([p.numel() for p in like])):
            p.grad = part.view_as(p)
        self.optimizer.step()

    def chosen(self, k: int, count: int) -> list[int]:
        return sorted(torch.randperm(len(self.y), generator=generator(self.seed, "data", 71, k))[:count].tolist())

    def sensitivity(self) -> float:
        """The largest norm of what an image adds, which is what the sum changes by."""
        draw, copies, worst = generator(self.seed, "noise", 70), self.keys["noise_multiplicity"], 0.0
        t = torch.randint(1000, (len(self.y), 64), generator=draw)[:, :copies]
        noise = torch.randn(len(self.y), 64, *self.x.shape[1:], generator=draw)[:, :copies]
        for k in range(self.keys["batches"]):
            rows = self.chosen(k, 2 if k % 4 == 3 else self.keys["images"])
            worst = max(worst, *(float(self.clipped(i, t[i], noise[i]).norm()) for i in rows))
            self.made += len(rows) + 1
        return worst / self.keys["clip"]

    def noise_ratio(self, first: int) -> float:
        """Of the normals themselves; those of the first step follow the releases that were made of it."""
        squares, like = 0.0, trained(self.network)
        for k in range(self.keys["releases"]):
            draw = generator(self.seed, "noise", 97, first + k, self.made if k == 0 else 0)
            squares += sum(float(torch.randn(p.shape, generator=draw).double().square().sum()) for p in like)
        return math.sqrt(squares / (self.keys["releases"] * sum(p.numel() for p in like)))

    def repeated(self, first: int) -> Row:
        rows, like = self.chosen(0, self.keys["images"]), trained(self.network)
        found = [self.sum(rows, *self.draws(len(rows), first + k)) / len(rows) for k in range(self.keys["repetitions"])]
        mean = torch.stack(found).mean(0)
        variance = sum(float((g - mean).square().sum()) for g in found) / (len(found) - 1)
        count, draw = self.keys["reference_draws"], generator(self.seed, "noise", 72, 0)
        t = torch.randint(1000, (len(rows), count), generator=draw)
        noise = torch.randn(len(rows), count, *self.x.shape[1:], generator=draw)
        true = flat(torch.autograd.grad(sum(self.loss(i, t[k], noise[k]) for k, i in enumerate(rows)), like))
        cosines = [float(g @ true / (g.norm() * true.norm())) for g in found]
        return {"draw_variance": variance, "cosine": sum(cosines) / len(cosines)}


# ---- low_rank_shift


def shift(dim: int, rank: int, size: float, noise: float, n: int, seed: int) -> tuple[Any, ...]:
    """x, targets, W_0 and W*, float64."""
    draw = generator(seed, "data", 73)
    start = torch.randn(dim, dim, generator=draw) / math.sqrt(dim)
    u, v = (torch.linalg.qr(torch.randn(dim, rank, generator=draw)).Q.double().numpy() for _ in range(2))
    best = start.double().numpy() + size * u @ v.T
    x = torch.randn(n, dim, generator=draw).double().numpy()
    return x, x @ best.T + noise * torch.randn(n, dim, generator=draw).double().numpy(), start.double().numpy(), best


def tuned(data: tuple[Any, ...], keys: Row, seed: int, sigma: float) -> list[float]:
    """||W - W*||^2 after each step of DP-SGD by hand; with `rank` of adapters, else of W."""
    x, target, start, best = data
    ledger = Ledger(len(x), keys["batch_size"] / len(x), sigma, keys["clip"], 10**6, keys["delta"], None, seed)
    if keys.get("rank"):
        layer = nn.ModuleDict({"map": nn.Linear(*best.shape, bias=False)})
        adapters(layer, keys["rank"], ["map"], seed)
        weights = [p.detach().double().numpy() for p in trained(layer)]  # A, B = 0
    else:
        weights = [start.copy()]
    first, second, found = [np.zeros_like(w) for w in weights], [np.zeros_like(w) for w in weights], []
    matrix = lambda: start + weights[1] @ weights[0] if len(weights) == 2 else weights[0]  # noqa: E731
    for step in range(keys["steps"]):
        total = [np.zeros_like(w) for w in weights]
        for i in ledger.batch(step).tolist():
            error = matrix() @ x[i] - target[i]
            own = [np.outer(error, x[i])]
            if len(weights) == 2:
                own = [weights[1].T @ own[0], own[0] @ weights[0].T]
            norm = math.sqrt(sum((g**2).sum() for g in own))
            for s, g in zip(total, own):
                s += g * min(1.0, keys["clip"] / norm)
        noise = ledger.noise(step, [torch.zeros(w.shape) for w in weights])
        for k, (s, xi) in enumerate(zip(total, noise)):
            g = (s + xi.double().numpy()) / keys["batch_size"]
            first[k] = 0.9 * first[k] + 0.1 * g
            second[k] = 0.999 * second[k] + 0.001 * g**2
            size = np.sqrt(second[k] / (1 - 0.999 ** (step + 1))) + 1e-8
            weights[k] = weights[k] - keys["lr"] * first[k] / (1 - 0.9 ** (step + 1)) / size
        found.append(float(((matrix() - best) ** 2).sum()))
    return found


# ---- epoch_choice


def epochs(x: Tensor, y: Tensor, sizes: list[int], keys: Row, seed: int) -> list[Row]:
    """Accuracies of a small CNN after each epoch, of four parts of the images."""
    order = torch.randperm(len(y), generator=generator(seed, "data", 75))
    train, *others = np.split(order.numpy(), np.cumsum(sizes))[:4]
    x, width = 2 * x.float() / 255 - 1, keys["width"]
    torch.manual_seed(stream_seed(seed, "init", 74))
    layers: list[nn.Module] = []
    for fan_in, fan_out in ((x.shape[1], width), (width, 2 * width)):
        layers += [nn.Conv2d(fan_in, fan_out, 3, padding=1, bias=False), nn.BatchNorm2d(fan_out), nn.ReLU()]
        layers += [nn.MaxPool2d(2)]
    net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2 * width, 10))
    optimizer, rows = torch.optim.Adam(net.parameters(), lr=keys["lr"]), []
    for epoch in range(keys["epochs"]):
        net.train()
        places = torch.randperm(len(train), generator=generator(seed, "order", 74, epoch)).numpy()
        for first in range(0, len(train), keys["batch_size"]):
            some = train[places[first : first + keys["batch_size"]]]
            optimizer.zero_grad()
            F.cross_entropy(net(x[some]), y[some]).backward()
            optimizer.step()
        net.eval()
        with torch.no_grad():
            right = [(net(x[part]).argmax(1) == y[part]).numpy() for part in others]
        names = ("validation_accuracy", "test_accuracy", "fresh_accuracy")
        rows.append(dict(zip(names, (float(one.mean()) for one in right))))
    return rows
