"""A naive valuation run: KNN-Shapley values point by point, every metric by its definition, every network by torch's own optimizer."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from bench.seeding import generator, stream_seed
from bench.tasks.valuation.points import Points

Row = dict[str, Any]
CONSTANTS = {"lr": 0.1, "momentum": 0.9, "hidden": 128}


def knn_shapley(points: Points, k: int) -> list[float]:
    """Jia et al.'s recursion from the farthest point to the nearest."""
    n, total = len(points.train_y), [0.0] * len(points.train_y)
    x, y = points.train_x.double(), points.train_y.tolist()
    for reference, label in zip(points.reference_x.double(), points.reference_y.tolist()):
        distances = [math.dist(row, reference.tolist()) for row in x.tolist()]
        order = sorted(range(n), key=lambda i: distances[i])
        right = [float(y[i] == label) for i in order]
        s = right[-1] * min(k, n) / (k * n)
        total[order[-1]] += s
        for i in range(n - 2, -1, -1):
            s += (right[i] - right[i + 1]) / k * min(k, i + 1) / (i + 1)
            total[order[i]] += s
    return [value / len(points.reference_y) for value in total]


def random_values(n: int, seed: int) -> list[float]:
    return torch.rand(n, generator=generator(seed, "noise"), dtype=torch.float64).tolist()


def from_low_to_high(values: list[float], seed: int) -> list[int]:
    """Equal values in the order of a draw."""
    ties = torch.rand(len(values), generator=generator(seed, "order"), dtype=torch.float64).tolist()
    return sorted(range(len(values)), key=lambda i: (values[i], ties[i]))


def auc(values: list[float], bad: list[bool]) -> float:
    pairs = [(one, other) for one, is_bad in zip(values, bad) if is_bad for other, its in zip(values, bad) if not its]
    return sum(1.0 if one < other else 0.5 if one == other else 0.0 for one, other in pairs) / len(pairs)


def average_precision(values: list[float], bad: list[bool]) -> float:
    total, before = 0.0, 0.0
    for threshold in sorted(set(values)):
        taken = [is_bad for value, is_bad in zip(values, bad) if value <= threshold]
        recall = sum(taken) / sum(bad)
        total += (recall - before) * sum(taken) / len(taken)
        before = recall
    return total


def spearman(one: list[float], other: list[float]) -> float:
    def places(values: list[float]) -> Tensor:
        found = [sum(v < value for v in values) + (values.count(value) + 1) / 2 for value in values]
        return torch.tensor(found, dtype=torch.float64)

    return torch.corrcoef(torch.stack([places(one), places(other)]))[0, 1].item()


def counts(n: int, rows: int) -> list[int]:
    """Half evenly spaced, half by equal factors."""
    half = rows // 2
    even = [n * (i + 1) / half for i in range(half)]
    log = [n ** (i / (rows - half - 1)) for i in range(rows - half)]
    return sorted({max(1, round(count)) for count in even + log})


def accuracy(points: Points, kept: list[int], epochs: int, batch: int, seed: int) -> float:
    """Of a network with two hidden layers, by SGD with momentum and a cosine step size."""
    h, d = CONSTANTS["hidden"], points.train_x.shape[1]
    torch.manual_seed(stream_seed(seed, "init"))
    layers = [nn.Linear(d, h), nn.Linear(h, h), nn.Linear(h, points.num_classes)]
    network = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])
    optimizer = torch.optim.SGD(network.parameters(), lr=CONSTANTS["lr"], momentum=CONSTANTS["momentum"])
    x, y, steps = points.train_x[kept], points.train_y[kept], len(kept) // batch
    for epoch in range(epochs):
        order = torch.randperm(len(kept), generator=generator(seed, "order", epoch))
        for step in range(steps):
            done = (epoch * steps + step) / (epochs * steps)
            optimizer.param_groups[0]["lr"] = CONSTANTS["lr"] * (1 + math.cos(math.pi * done)) / 2
            chosen = order[step * batch : (step + 1) * batch]
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(x[chosen]), y[chosen]).backward()
            optimizer.step()
    right = [int(network(row[None]).argmax()) == int(label) for row, label in zip(points.test_x, points.test_y)]
    return sum(right) / len(right)


def run(points: Points, seed: int, *, k: int, curve: int, sheet: int, prune: list[float], epochs: int, batch: int):
    """(rows of the curve, final metrics) of KNN-Shapley compared with random values."""
    values, n, units = knn_shapley(points, k), len(points.train_y), 1
    bad, order = points.corrupted.tolist(), from_low_to_high(values, seed)
    rows: list[Row] = []
    for count in counts(n, curve):
        found = sum(bad[i] for i in order[:count])
        rows.append({"step": units, "inspected": count / n, "detected": found / sum(bad)})
    for place in range(sheet):
        low, high = order[place], order[n - 1 - place]
        ends = {"lowest_point": low, "highest_point": high, "lowest_value": values[low], "highest_value": values[high]}
        rows.append({"step": units, **ends})
    for share in prune:
        kept = sorted(order[math.floor(share * n) :])
        reached = accuracy(points, kept, epochs, batch, seed)
        rows.append({"step": units, "pruned": share, "pruned_accuracy": reached})
    last = {
        "points": n,
        "reference_points": len(points.reference_y),
        "distinct_values": len(set(values)) / n,
        "value_sum": sum(values),
        "auc": auc(values, bad),
        "average_precision": average_precision(values, bad),
        "detection_rate": sum(bad[i] for i in order[: sum(bad)]) / sum(bad),
        "spearman": spearman(values, random_values(n, seed)),
        "pruned": prune[-1],
        "pruned_accuracy": reached,
    }
    return rows, last
