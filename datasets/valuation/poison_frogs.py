"""Clean-label poisons by collision in feature space (Shafahi et al., 2018, algorithm 1), which keep label and look of their base image.

For a base image b and a target image t of another class, with features phi and pixels in [0, 1]:

    objective  |phi(x) - phi(t)|^2 / d + beta |x - b|^2 / 2
    forward    x <- x - lr grad |phi(x) - phi(t)|^2 / d
    backward   x <- clamp((x + lr beta b) / (1 + lr beta), 0, 1)    (towards the base image, not towards the step before)

A step that raises an image's objective is taken back and its lr halved, another makes it larger. The lr starts small: at the released .1 the first
step alone turns images into noise (CIFAR-10, ResNet-20: |x - b| = 17 of |b| = 26; from 1e-4 on, 0.3 at the same distance of features).
A poison is accepted if its features come close enough to the target's; else the image stays clean, in its place, and is not flagged. As released
(github.com/skezle/sava, 7efc8a2) it is dropped instead while flags stay where they were, so that they are of other images from there on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from datasets.valuation.corruptions import Corrupted

Embed = Callable[[Tensor], Tensor]  # images [B, C, H, W] in pixel units -> features [B, d], differentiable
BATCH = 100  # images that move side by side
KEPT = 64  # collisions of this process that are remembered: a sweep's methods have the same poisons
BETA = 0.25 * (2048 / 3072) ** 2


@dataclass(frozen=True)
class Collision:
    """The algorithm's numbers: as released, but for the lr.

    Attributes:
        lr: of an image's first step.
        near: distance of features at which an image stops.
        accepted: distance below which a poison is one.
        grow: factor of an image's lr after a step that was kept.
    """

    steps: int = 100
    lr: float = 1e-4
    beta: float = BETA
    near: float = 2.9
    accepted: float = 3.5
    grow: float = 1.2


def poison_frogs(
    clean: Corrupted,
    count: int,
    base_class: int,
    target: Tensor,
    embed: Embed,
    how: Collision | None = None,
    released: bool = False,
) -> Corrupted:
    """The first `count` images of the base class, by index, that can be made to collide with the target [C, H, W]; fewer if fewer can.

    Args:
        released: images that were tried and rejected are dropped with their labels, and the flags are the first so many of all.
    """
    how = how or Collision()
    bases = (clean.y == base_class).nonzero()[:, 0]
    x, flags = clean.x.to(torch.float32, copy=True), clean.flags.clone()
    rejected = torch.zeros_like(flags)
    for start in range(0, len(bases), BATCH):
        wanted = count - int(flags.sum())
        if wanted <= 0:
            break
        indices = bases[start : start + BATCH]
        poisons, distances = _remembered(clean.x[indices], target, embed, how)
        taken = (distances < how.accepted).nonzero()[:, 0][:wanted]
        x[indices[taken]] = poisons[taken]
        flags[indices[taken]] = True
        tried = int(taken[-1]) if len(taken) == wanted else len(indices)  # none after the last that was wanted
        rejected[indices[:tried]] = distances[:tried] >= how.accepted
    if released:
        kept = ~rejected
        return Corrupted(x[kept], clean.y[kept], flags[: int(kept.sum())])
    return Corrupted(x, clean.y.clone(), flags)


_known: dict[str, tuple[Tensor, Tensor]] = {}


def _remembered(bases: Tensor, target: Tensor, embed: Embed, how: Collision) -> tuple[Tensor, Tensor]:
    """`collide`, once in a process for the same images, embedder and numbers."""
    identity = getattr(embed, "identity", None)
    if identity is None:
        return collide(bases, target, embed, how)
    content = b"".join(part.cpu().numpy().tobytes() for part in (bases, target))
    key = hashlib.sha256(content + f"{bases.device} {identity()} {how}".encode()).hexdigest()
    if key not in _known:
        while len(_known) >= KEPT:
            _known.pop(next(iter(_known)))
        _known[key] = collide(bases, target, embed, how)
    return _known[key]


def collide(bases: Tensor, target: Tensor, embed: Embed, how: Collision) -> tuple[Tensor, Tensor]:
    """Images [B, C, H, W] in pixel units that started at `bases`, each stopped by itself, and their features' distances [B] to the target's."""
    base = bases.float() / 255
    with torch.no_grad():
        goal = embed(target[None].float())
    x, lr = base.clone(), torch.full((len(base), 1, 1, 1), how.lr, device=base.device)
    distance, objective, slope = _measured(x, base, goal, embed, how)
    for _ in range(how.steps):
        moving = (distance > how.near).nonzero()[:, 0]
        if not len(moving):
            break
        b, rate = base[moving], lr[moving]
        trial = ((x[moving] - rate * slope[moving] + rate * how.beta * b) / (1 + rate * how.beta)).clamp(0, 1)
        measured = _measured(trial, b, goal, embed, how)
        better = measured[1] < objective[moving]
        lr[moving] = rate * torch.where(better, how.grow, 0.5)[:, None, None, None]
        kept = moving[better]
        x[kept] = trial[better]
        for values, found in zip((distance, objective, slope), measured):
            values[kept] = found[better]
    return 255 * x, distance


def _measured(x: Tensor, base: Tensor, goal: Tensor, embed: Embed, how: Collision) -> tuple[Tensor, Tensor, Tensor]:
    """Of each image the distance of features, the objective, and the slope [B, C, H, W] of its first term."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        apart = embed(255 * x) - goal
        loss = apart.square().mean(1)
        (slope,) = torch.autograd.grad(loss.sum(), x)
    look = 0.5 * how.beta * (x.detach() - base).flatten(1).square().sum(1)
    return apart.detach().norm(dim=1), loss.detach() + look, slope
