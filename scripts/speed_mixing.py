"""What mixing costs: the share of the mixing itself in a ResNet-18 step, steps of the methods against a step of mixup, and images counted."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from stopwatch import Row, interleaved
from torch import Tensor, nn

from bench.models import resnet18
from methods.mixing.composed import Composed, Unmixed
from methods.mixing.cutmix import cutmix
from methods.mixing.interpolated import CutMix, MultiMix
from methods.mixing.manifold import ManifoldMix
from methods.mixing.masks import cut
from methods.mixing.pairs import multimix
from methods.mixing.puzzle import PuzzleMix, by_block, puzzle
from methods.sign.baselines import SGD

CLASSES = 100
ONE_PASS = {"batch_norm": "concatenated"}
METHODS: dict[str, Callable[..., Composed]] = {
    "mixup": partial(MultiMix, k=1),
    "unmixed": Unmixed,
    "CutMix": partial(CutMix, k=1),
    "multi-mix, K = 5, one pass": partial(MultiMix, k=5, **ONE_PASS),
    "multi-mix, K = 5, five passes": partial(MultiMix, k=5),
    "manifold multi-mix, K = 5, layer 2": partial(ManifoldMix, k=5, layers=[2], **ONE_PASS),
    "Puzzle Mix, 4 x 4 blocks": partial(PuzzleMix, k=1, blocks=[4], solver="cut"),
}


def stepper(make: Callable[..., Composed], x: Tensor, y: Tensor) -> tuple[Callable[[], object], int]:
    """A step of a method on a ResNet-18 of its own, and the images that one counts."""
    torch.manual_seed(0)
    model: nn.Module = resnet18(3, CLASSES, 32).to(x.device, memory_format=torch.channels_last)
    method = make(model.parameters(), model, optimizer=partial(SGD, lr=0.01))
    counted = [0]

    def network(images: Tensor) -> Tensor:
        with torch.autocast(x.device.type, torch.bfloat16, enabled=x.is_cuda):
            return model(images)

    def closure() -> Tensor:
        method.zero_grad()
        counted[0] = 0
        parts = []
        for loss, images in method.losses(network, x, y, F.cross_entropy, torch.Generator(x.device).manual_seed(0)):
            loss.backward()
            counted[0] += images
            parts.append(loss.detach())
        return torch.stack(parts).sum()

    method.step(closure)
    return lambda: method.step(closure), counted[0]


def mixing(rounds: int) -> list[Row]:
    """Mixing rules: their share of a ResNet-18 step, and steps and gradients of the methods against mixup's."""
    cuda = torch.cuda.is_available()
    device, batch = ("cuda", 128) if cuda else ("cpu", 32)
    x = torch.randn(batch, 3, 32, 32, device=device).contiguous(memory_format=torch.channels_last)
    y = torch.randint(0, CLASSES, (batch,), device=device)
    steps, counts = {}, {}
    for name, make in METHODS.items():
        steps[name], counts[name] = stepper(make, x, y)
    saliency, order = torch.rand(batch, 32, 32, device=device), torch.randperm(batch, device=device)

    def masks() -> None:
        own, colours = by_block(saliency, 4), by_block(x, 4)
        lam = torch.full((batch,), 0.5, device=device)
        cut(puzzle(own, own[order], colours, colours[order], lam, levels=3, beta=1.2, gamma=0.5, eta=0.2))

    rules = {
        "mixing: one interpolation": lambda: multimix(x, y, 1, num_classes=CLASSES),
        "mixing: five interpolations": lambda: multimix(x, y, 5, num_classes=CLASSES),
        "mixing: one box": lambda: cutmix(x, y, 1, num_classes=CLASSES),
        "mixing: one mask of 4 x 4 blocks, exact": masks,
    }
    seconds = interleaved(steps | rules, rounds)
    against = seconds["mixup"]
    share = lambda name: statistics.median(a / b for a, b in zip(seconds[name], against))  # noqa: E731
    rows = [
        (
            f"{name}: {counts[name] / counts['mixup']:.0f} x the gradients",
            f"{1e3 * statistics.median(seconds[name]):.0f} ms a step",
            f"{share(name):.2f} x",
        )
        for name in steps
    ]
    return rows + [
        (name, f"{1e3 * statistics.median(seconds[name]):.2f} ms", f"{share(name):.2%} of mixup's step")
        for name in rules
    ]
