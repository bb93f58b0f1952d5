"""Outside references of the mixing baselines: torchvision's transforms, PIL, numpy networks and masks, torch's losses."""

from __future__ import annotations

import itertools
import math
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
import torch.nn.functional as F
from mixing_points import batch, given, look, network
from torch import Tensor

from datasets.images.vision import torchvision

CLASSES = 4


def _with(draws: dict[str, Any], name: str, x: Tensor, y: Tensor, model: Any, **keys: Any) -> tuple[Tensor, Tensor]:
    """Loss and gradient of a method whose lambda, partners or boxes are those given."""
    module = "methods.mixing.interpolated"
    patches = [patch(f"{module}.{what}", lambda *a, value=value, **k: value) for what, value in draws.items()]
    for one in patches:
        one.start()
    try:
        return look(given(name, model, **keys), model, x, y)[:2]
    finally:
        for one in patches:
            one.stop()


def _of(model: Any, x: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """torch's loss and gradient on soft labels."""
    model.zero_grad()
    loss = F.cross_entropy(model(x), rows)
    loss.backward()
    return loss.detach().double(), torch.cat([p.grad.flatten() for p in model.parameters()]).clone()


def _same(found: tuple[Tensor, Tensor], expected: tuple[Tensor, Tensor]) -> None:
    for a, b in zip(found, expected):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)


def unmixed() -> None:
    """torch's cross-entropy and torch's binary cross-entropy of the images as they are."""
    x, y = batch()
    model = network()
    _same(look(given("unmixed", model), model, x, y)[:2], _of(model, x, y))
    expected = F.binary_cross_entropy(model(x).softmax(1), F.one_hot(y, CLASSES).double())
    torch.testing.assert_close(look(given("unmixed", model, loss="bce"), model, x, y)[0], expected.detach())


def mixup() -> None:
    """torchvision.transforms.v2.MixUp on its own draws."""
    torchvision()
    from torchvision.transforms import v2

    x, y = batch(8, dtype=torch.float32)
    for seed in range(3):
        theirs, model = v2.MixUp(alpha=1.0, num_classes=CLASSES), network(dtype=torch.float32)
        torch.manual_seed(seed)
        mixed = theirs(x, y)
        torch.manual_seed(seed)
        lam = torch.full((1, 8), theirs.make_params([x])["lam"], dtype=torch.float64)
        draws = {"draw_weights": lam, "draw_order": torch.arange(8).roll(1)}
        _same(_with(draws, "mixup", x, y, model), _of(model, *mixed))


def cutmix() -> None:
    """torchvision.transforms.v2.CutMix on its own draws."""
    torchvision()
    from torchvision.transforms import v2

    from methods.mixing.cutmix import Boxes

    x, y = batch(8, dtype=torch.float32)
    for seed in range(3):
        theirs, model = v2.CutMix(alpha=1.0, num_classes=CLASSES), network(dtype=torch.float32)
        torch.manual_seed(seed)
        mixed = theirs(x, y)
        torch.manual_seed(seed)
        left, top, right, bottom = (torch.full((1, 8), v) for v in theirs.make_params([x])["box"])
        draws = {"draw_boxes": Boxes(top, bottom, left, right, 8, 8), "draw_order": torch.arange(8).roll(1)}
        _same(_with(draws, "cutmix", x, y, model), _of(model, *mixed))


def manifold_mixup() -> None:
    """A network of two layers in numpy, its hidden features mixed."""
    x, y = batch()
    model = network()
    lam, order = np.array([0.1, 0.9, 0.5, 0.3, 0.7, 1.0]), [3, 0, 5, 1, 2, 4]
    draws = {"draw_weights": torch.from_numpy(lam)[None], "draw_order": torch.tensor(order)}
    found, _ = _with(draws, "manifold_mixup", x, y, model, layers=[1])
    a, b, c, d = (p.detach().numpy() for p in model.parameters())
    hidden = np.maximum(x.numpy().reshape(6, -1) @ a.T + b, 0)
    logits = (lam[:, None] * hidden + (1 - lam[:, None]) * hidden[order]) @ c.T + d
    logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    labels = y.numpy()
    rows = np.arange(6)
    expected = -(lam * logs[rows, labels] + (1 - lam) * logs[rows, labels[order]]).mean()
    assert abs(float(found) - expected) < 1e-6


def puzzle_mix() -> None:
    """Of a linear network, whose saliency is known, the best of all 81 masks of four blocks, and its loss, in numpy."""
    x, y = batch()
    model = network(torch.nn.Flatten(), torch.nn.Linear(192, CLASSES))
    lam, order = np.array([0.1, 0.9, 0.5, 0.3, 0.7, 0.6]), [3, 0, 5, 1, 2, 4]
    with patch("methods.mixing.puzzle.draw_order", lambda *a: torch.tensor(order)):
        draws = {"draw_weights": torch.from_numpy(lam)[None]}
        found, _ = _with(draws, "puzzle_mix", x, y, model, blocks=[2])
    w, bias = (p.detach().numpy() for p in model.parameters())
    images, labels = x.numpy(), y.numpy()

    def log_softmax(pictures: np.ndarray) -> np.ndarray:
        logits = pictures.reshape(len(pictures), -1) @ w.T + bias
        return logits - np.log(np.exp(logits).sum(1, keepdims=True))

    gradient = ((np.exp(log_softmax(images)) - np.eye(CLASSES)[labels]) @ w).reshape(images.shape)
    pixels = np.sqrt((gradient**2).mean(1))
    s = pixels.reshape(6, 2, 4, 2, 4).mean((2, 4))
    s /= s.sum((1, 2), keepdims=True)
    colours = images.reshape(6, 3, 2, 4, 2, 4).mean((3, 5))
    total = 0.0
    for i, j in enumerate(order):
        best = min(
            itertools.product((0, 0.5, 1), repeat=4),
            key=lambda z: _energy(np.reshape(z, (2, 2)), s[i], s[j], colours[i], colours[j], lam[i]),
        )
        z = np.reshape(best, (2, 2))
        full = np.kron(z, np.ones((4, 4)))
        logs = log_softmax((full * images[i] + (1 - full) * images[j])[None])[0]
        total -= z.mean() * logs[labels[i]] + (1 - z.mean()) * logs[labels[j]]
    assert abs(float(found) - total / 6) < 1e-6


def _energy(z: np.ndarray, s: np.ndarray, t: np.ndarray, a: np.ndarray, b: np.ndarray, lam: float) -> float:
    prior = {0: (1 - lam) ** 2, 0.5: 2 * lam * (1 - lam), 1: lam**2}
    value = ((1 - z) * s + z * t).sum() - 0.05 * sum(math.log(prior[v]) for v in z.ravel())
    for p, q in (((0, 0), (0, 1)), ((1, 0), (1, 1)), ((0, 0), (1, 0)), ((0, 1), (1, 1))):
        apart = np.abs(a[:, *p] - b[:, *q]).mean() + np.abs(b[:, *p] - a[:, *q]).mean()
        value += (1.2 + 0.5 * apart / 2) / 32 * (z[p] - z[q]) ** 2
    return value


def augmix() -> None:
    """PIL's operations, scipy's divergences."""
    from outside_made import module

    tests = module("methods/mixing/test_augmix.py")
    tests.test_colours_are_pil_s_to_the_bit()
    for sign in (1, -1):
        tests.test_places_are_pil_s(sign)
    tests.test_the_divergence_by_hand()
    tests.test_the_loss_is_the_cross_entropy_and_twelve_times_the_divergence()


def label_smoothing() -> None:
    """torch's cross-entropy with label_smoothing."""
    x, y = batch()
    model = network()
    found = look(given("label_smoothing", model, smoothing=0.3), model, x, y)[:2]
    model.zero_grad()
    loss = F.cross_entropy(model(x), y, label_smoothing=0.3)
    loss.backward()
    _same(found, (loss.detach().double(), torch.cat([p.grad.flatten() for p in model.parameters()])))


def cutout() -> None:
    """torchvision's erase at the squares that were drawn, a linear network and its loss in numpy."""
    torchvision()
    from torchvision.transforms.v2.functional import erase

    x, y = batch()
    model = network(torch.nn.Flatten(), torch.nn.Linear(192, CLASSES))
    found, gradient, _ = look(given("cutout", model, size=3), model, x, y, seed=5)
    generator = torch.Generator().manual_seed(5)
    rows, columns = (torch.randint(n, (6, 1), generator=generator).flatten().tolist() for n in x.shape[-2:])
    cut = x.clone()
    for i, (row, column) in enumerate(zip(rows, columns)):
        top, left = max(row - 1, 0), max(column - 1, 0)
        cut[i] = erase(x[i], top, left, row + 2 - top, column + 2 - left, torch.zeros(()))
    _same((found, gradient), _of(model, cut, F.one_hot(y, CLASSES).double()))


REFERENCES = {
    f.__name__: f for f in (label_smoothing, cutout, unmixed, mixup, cutmix, manifold_mixup, puzzle_mix, augmix)
}
