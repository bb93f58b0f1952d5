"""A naive run of private generation: gradients an example at a time, samples by DDIM's formula, every metric by its definition.

What is drawn (batches and noise of the ledger, streams of a seed) is taken as it comes; what is computed of it is computed here.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import torch
from scipy.linalg import sqrtm
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from bench.seeding import generator, stream_seed
from bench.tasks.generation.pair import Pair

Row = dict[str, Any]
STREAMS = {"losses": 86, "choice": 87, "start": 88, "sampling": 89, "mlp": 83, "cnn": 84, "split": 85, "features": 81}


def alphas_bar(timesteps: int, first: float, last: float) -> list[float]:
    product, found = 1.0, []
    for k in range(timesteps):
        root = math.sqrt(first) + (math.sqrt(last) - math.sqrt(first)) * k / (timesteps - 1)
        product *= 1 - root * root
        found.append(product)
    return found


def loss(net: nn.Module, x: Tensor, y: Tensor, t: Tensor, noise: Tensor, abar: list[float]) -> Tensor:
    """Of one image [C, S, S] of class y [], its K copies one after another."""
    total = 0.0
    for time, e in zip(t.tolist(), noise):
        noised = math.sqrt(abar[time]) * x + math.sqrt(1 - abar[time]) * e
        total = total + (e - net(noised[None], torch.tensor([time]), y[None])[0]).square().mean()
    return total / len(t)


def train(net: nn.Module, pair: Pair, ledger: Any, seed: int, keys: Row, abar: list[float], each: Any) -> int:
    """DP-SGD by Algorithm 1 of Abadi et al. (2016); the number of gradient evaluations."""
    x, y, evaluations = as_float(pair.private_x), pair.private_y, 0
    weights = list(net.parameters())
    for step in range(keys["steps"]):
        total = [torch.zeros_like(w) for w in weights]
        for i in ledger.batch(step).tolist():
            draw = generator(seed, "noise", 1, step, i)
            t = torch.randint(len(abar), (1, 2), generator=draw)
            noise = torch.randn(1, 2, *x.shape[1:], generator=draw)
            net.zero_grad()
            loss(net, x[i], y[i], t[0], noise[0], abar).backward()
            norm = math.sqrt(sum(w.grad.square().sum().item() for w in weights))
            for s, w in zip(total, weights):
                s += w.grad * min(1.0, keys["clip"] / norm)
            evaluations += 2
        for w, s, n in zip(weights, total, ledger.noise(step, total)):
            w.data -= keys["lr"] * (s + n) / keys["batch_size"]
        each(step + 1)
    return evaluations


@torch.no_grad()
def ddim(
    net: nn.Module, y: Tensor, shape: tuple[int, ...], draw: torch.Generator, keys: Row, abar: list[float]
) -> Tensor:
    """Song et al. (2021), eq. 12 and 16, on `sampling_steps` evenly spaced times down to 0; predicted images are clamped."""
    total, wanted = len(abar), keys["sampling_steps"]
    times = [(wanted - 1 - k) * (total // wanted) for k in range(wanted)]
    x = torch.randn(len(y), *shape, generator=draw)
    for time in times:
        before = time - total // wanted
        now, then = abar[time], abar[before] if before >= 0 else 1.0
        rows = []
        fresh = torch.randn(len(y), *shape, generator=draw)
        for image, label, own in zip(x, y, fresh):
            e = net(image[None], torch.tensor([time]), label[None])[0]
            clean = ((image - math.sqrt(1 - now) * e) / math.sqrt(now)).clamp(-1, 1)
            e = (image - math.sqrt(now) * clean) / math.sqrt(1 - now)
            sigma = keys["eta"] * math.sqrt((1 - then) / (1 - now) * (1 - now / then))
            rows.append(math.sqrt(then) * clean + math.sqrt(1 - then - sigma**2) * e + sigma * own)
        x = torch.stack(rows)
    return x


def as_float(x: Tensor) -> Tensor:
    return 2 * x.float() / 255 - 1


def as_bytes(x: Tensor) -> Tensor:
    return (255 * (x.clamp(-1, 1) + 1) / 2).round().to(torch.uint8)


def frechet(real: Tensor, fake: Tensor) -> float:
    (m1, c1), (m2, c2) = ((f.double().mean(0), np.cov(f.double().numpy(), rowvar=False)) for f in (real, fake))
    return float((m1 - m2).square().sum() + np.trace(c1) + np.trace(c2) - 2 * np.trace(sqrtm(c1 @ c2).real))


def neighbourhoods(real: Tensor, fake: Tensor, k: int = 5) -> Row:
    """Precision, recall, density, coverage, by all distances."""
    real, fake = real.double().tolist(), fake.double().tolist()

    def radius(points: list, one: list) -> float:
        return sorted(math.dist(one, other) for other in points)[k]

    balls, theirs = [radius(real, one) for one in real], [radius(fake, one) for one in fake]
    inside = [[math.dist(one, other) <= r for one, r in zip(real, balls)] for other in fake]
    reached = [any(math.dist(one, other) <= r for other, r in zip(fake, theirs)) for one in real]
    return {
        "precision": sum(map(any, inside)) / len(fake),
        "recall": sum(reached) / len(real),
        "density": sum(map(sum, inside)) / (k * len(fake)),
        "coverage": sum(any(column) for column in zip(*inside)) / len(real),
    }


def attack(members: list[float], others: list[float]) -> Row:
    pairs = [1.0 if one < other else 0.5 if one == other else 0.0 for one in members for other in others]
    found = {"membership_auc": sum(pairs) / len(pairs)}
    for name, rate in (("1", 0.01), ("0.1", 0.001)):
        allowed = math.floor(rate * len(others))
        threshold = sorted(others)[allowed]
        found[f"membership_tpr_at_{name}_percent"] = sum(one < threshold for one in members) / len(members)
    return found


def small_cnn(channels: int, classes: int, width: int) -> nn.Module:
    layers: list[nn.Module] = []
    for fan_in, fan_out in ((channels, width), (width, 2 * width)):
        layers += [
            nn.Conv2d(fan_in, fan_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(fan_out),
            nn.ReLU(),
            nn.MaxPool2d(2),
        ]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2 * width, classes))


def perceptron(pixels: int, classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(pixels, 100), nn.ReLU(), nn.Linear(100, classes))


def classifier(
    build: Any,
    x: Tensor,
    y: Tensor,
    epochs: int,
    seed: int,
    stream: int,
    chosen_by: tuple[Tensor, Tensor] | None = None,
) -> nn.Module:
    """Adam on cross-entropy in batches of 64; the epoch that finds most of `chosen_by`, or the last."""
    torch.manual_seed(stream_seed(seed, "init", stream))
    net, best, kept = build(), -1.0, None
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    for epoch in range(epochs):
        order = torch.randperm(len(y), generator=generator(seed, "order", stream, epoch))
        net.train()
        for start in range(0, len(y), 64):
            chosen = order[start : start + 64]
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(as_float(x[chosen])), y[chosen]).backward()
            optimizer.step()
        net.eval()
        if chosen_by is not None and (found := accuracy(net, *chosen_by)) > best:
            best, kept = found, copy.deepcopy(net)
    return kept if chosen_by is not None else net


@torch.no_grad()
def accuracy(net: nn.Module, x: Tensor, y: Tensor) -> float:
    return sum(int(net(as_float(one[None])).argmax()) == int(label) for one, label in zip(x, y)) / len(y)


def accuracies(pair: Pair, x: Tensor, y: Tensor, epochs: int, seed: int) -> Row:
    order = torch.randperm(len(y), generator=generator(seed, "data", STREAMS["split"]))
    fifth = round(len(y) / 5)
    by, on = (x[order[:fifth]], y[order[:fifth]]), (x[order[fifth:]], y[order[fifth:]])
    best, kept = -1.0, None
    for strength in (0.001, 0.01, 0.1, 1.0):
        model = LogisticRegression(C=strength, max_iter=200)
        model.fit(as_float(on[0]).flatten(1), on[1])
        if (found := model.score(as_float(by[0]).flatten(1), by[1])) > best:
            best, kept = found, model
    channels, side, _ = x.shape[1:]
    mlp = classifier(lambda: perceptron(channels * side**2, pair.num_classes), *on, epochs, seed, STREAMS["mlp"], by)
    cnn = classifier(lambda: small_cnn(channels, pair.num_classes, 32), *on, epochs, seed, STREAMS["cnn"], by)
    return {
        "accuracy_logreg": float(kept.score(as_float(pair.held_x).flatten(1), pair.held_y)),
        "accuracy_mlp": accuracy(mlp, pair.held_x, pair.held_y),
        "accuracy_cnn": accuracy(cnn, pair.held_x, pair.held_y),
    }


def run(pair: Pair, net: nn.Module, ledger: Any, seed: int, keys: Row) -> tuple[list[Row], Row]:
    """(rows of the curve, final metrics) of DP-SGD on all weights of a network that saw no public image."""
    abar = alphas_bar(keys["timesteps"], keys["beta_start"], keys["beta_end"])
    like, draws = pair.private_x[0], keys["membership_draws"]
    stream = generator(seed, "noise", STREAMS["losses"])
    t = torch.randint(len(abar), (1, draws), generator=stream)[0]
    noise = torch.randn(1, draws, *like.shape, generator=stream)[0]

    @torch.no_grad()
    def losses(x: Tensor, y: Tensor) -> list[float]:
        return [loss(net, one, label, t, noise, abar).item() for one, label in zip(as_float(x), y)]

    rows: list[Row] = []
    every = max(1, round(keys["steps"] / keys["reports"]))

    def report(step: int) -> None:
        if step % every == 0 or step == keys["steps"]:
            public = losses(pair.public_x[: keys["public_images"]], pair.public_y[: keys["public_images"]])
            rows.append({"step": step, "public_loss": sum(public) / len(public)})

    report(0)
    evaluations = train(net, pair, ledger, seed, keys, abar, report)
    y = torch.arange(keys["samples"]) % pair.num_classes
    x = as_bytes(ddim(net, y, tuple(like.shape), generator(seed, "noise", STREAMS["sampling"], 0), keys, abar))
    count = -(-len(pair.public_y) // 64)
    features = classifier(
        lambda: small_cnn(len(like), pair.public_classes, 32),
        pair.public_x,
        pair.public_y,
        -(-keys["feature_steps"] // count),
        0,
        STREAMS["features"],
    )[:-1]
    with torch.no_grad():
        real, fake = (features(as_float(images)) for images in (pair.private_x, x))
    sides = []
    for k, (images, labels) in enumerate(((pair.private_x, pair.private_y), (pair.held_x, pair.held_y))):
        most = min(keys["membership"], len(pair.private_y), len(pair.held_y))
        chosen = torch.randperm(len(labels), generator=generator(seed, "data", STREAMS["choice"], k))[:most]
        sides.append(losses(images[chosen], labels[chosen]))
    last = {
        "steps": keys["steps"],
        "trainable_parameters": sum(w.numel() for w in net.parameters()),
        "frechet": frechet(real, fake),
        **neighbourhoods(real, fake),
        **accuracies(pair, x, y, keys["classifier_epochs"], seed),
        **attack(*sides),
        "samples": keys["samples"],
        "reference_images": len(pair.private_y),
        "gradient_evaluations": evaluations,
    }
    return rows, last
