"""Small private problems: a denoiser with every kind of layer, a diffusion of few steps, and a method that trains all of the denoiser."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch import nn

from bench.tasks.generation.ledger import Ledger
from methods.private.base import Tuning

SIZE, CLASSES = 4, 3


class Schedule:
    """Ten timesteps."""

    alphas_bar = torch.linspace(0.95, 0.05, 10)

    def loss_per_example(self, denoiser, x0, y, t, noise):
        """[B], of t [B, K] and noise [B, K, C, S, S]: the mean over pixels and copies."""
        level = self.alphas_bar[t][..., None, None, None]
        rows = (level.sqrt() * x0[:, None] + (1 - level).sqrt() * noise).flatten(0, 1)
        found = denoiser(rows, t.flatten(), y.repeat_interleave(t.shape[1])).view_as(noise)
        return (found - noise).square().flatten(1).mean(1)


class Small(nn.Module):
    """Convolutions of 1 x 1, strided, grouped and dilated ones, both norms, an embedding, and attention over positions with a shared layer."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.into = nn.Conv2d(1, width, 3, padding=1)
        self.classes = nn.Embedding(CLASSES, width)
        self.time = nn.Linear(2, width)
        self.norm = nn.GroupNorm(2, width)
        self.grouped = nn.Conv2d(width, width, 3, padding=2, dilation=2, groups=2, bias=False)
        self.down = nn.Conv2d(width, width, 2, stride=2)
        self.layer_norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.proj = nn.Linear(width, width)
        self.out = nn.Conv2d(width, 1, 1)

    def forward(self, x, t, y):
        t = t / 10
        embedded = self.time(torch.stack([t.sin(), t.cos()], -1)) + self.classes(y)
        h = F.silu(self.norm(self.into(x) + embedded[..., None, None]))
        h = h + self.grouped(h)
        low = self.down(h).flatten(2).mT
        q, k, v = self.qkv(self.layer_norm(low)).chunk(3, -1)
        low = low + self.proj(self.proj((q @ k.mT / 3).softmax(-1) @ v))
        half = int(low.shape[1] ** 0.5)
        low = low.mT.unflatten(2, (half, half))
        return self.out(h + low.repeat_interleave(2, 2).repeat_interleave(2, 3))


class Whole(Tuning):
    """All of the denoiser."""

    def adapt(self, denoiser):
        return denoiser


SETTINGS = {"epsilon": 5.0, "delta": 1e-3, "accountant": "rdp", "clip": 0.1, "batch_size": 8, "steps": 6, "lr": 0.01}


def small_problem(n: int = 24, public: int = 16, seed: int = 0, journal=None) -> SimpleNamespace:
    """n private images; the ledger that it opens is counted in `opened`."""
    stream = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        denoiser = Small()
    return SimpleNamespace(
        x=torch.randn(n, 1, SIZE, SIZE, generator=stream),
        y=torch.arange(n) % CLASSES,
        pair=SimpleNamespace(public_x=torch.zeros(public, 1, SIZE, SIZE, dtype=torch.uint8)),
        denoiser=denoiser,
        schedule=Schedule(),
        ledger=partial(Ledger, n, seed=seed, journal=journal),
        seed=seed,
        device=torch.device("cpu"),
    )


def begun(problem=None, **settings) -> Whole:
    """A method that trains everything, before its first step."""
    method = Whole(**{**SETTINGS, **settings})
    method.begin(problem or small_problem())
    return method
