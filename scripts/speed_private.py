"""What privacy costs: a step of DP-SGD against one without privacy at equal forward passes, of adapters and of a whole U-Net."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
from stopwatch import Row, interleaved
from torch import Tensor, nn

from bench.libraries import diffusers, peft
from bench.tasks.generation.ledger import Ledger
from methods.private.base import Tuning

COPIES, STEPS = 4, 10_000
TARGETS = ["to_q", "to_k", "to_v", "to_out.0"]


class UNet(nn.Module):
    """diffusers' U-Net with attention at both of its scales, as a denoiser."""

    def __init__(self, size: int, widths: tuple[int, int]) -> None:
        super().__init__()
        self.net = diffusers().UNet2DModel(
            sample_size=size,
            in_channels=1,
            out_channels=1,
            block_out_channels=widths,
            down_block_types=("AttnDownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "AttnUpBlock2D"),
            layers_per_block=1,
            norm_num_groups=8,
        )

    def forward(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        return self.net(x, t).sample


class Adapters(Tuning):
    """LoRA of rank 8 on the attention's projections."""

    def adapt(self, denoiser: nn.Module) -> nn.Module:
        config = peft().LoraConfig(r=8, lora_alpha=8, target_modules=TARGETS, init_lora_weights="gaussian")
        return peft().inject_adapter_in_model(config, denoiser)


class Whole(Tuning):
    """All parameters."""

    def adapt(self, denoiser: nn.Module) -> nn.Module:
        return denoiser


class Schedule:
    """Noise at a thousand levels."""

    alphas_bar = torch.linspace(0.999, 0.001, 1000)

    def loss_per_example(self, denoiser: nn.Module, x0: Tensor, y: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """[B]: the mean over pixels and copies, of t [B, K] and noise [B, K, C, S, S]."""
        level = self.alphas_bar.to(x0)[t][..., None, None, None]
        rows = (level.sqrt() * x0[:, None] + (1 - level).sqrt() * noise).flatten(0, 1)
        found = denoiser(rows, t.flatten(), y.repeat_interleave(t.shape[1])).view_as(noise)
        return (found - noise).square().flatten(1).mean(1)


def stepper(kind: type[Tuning], budget: float | None, device: str, batch: int) -> tuple[Callable[[], object], int]:
    """A step of a method on the same Poisson batches, one after another; and how many parameters it trains."""
    size, widths = (32, (128, 256)) if device == "cuda" else (8, (32, 64))
    torch.manual_seed(0)
    n = 16 * batch
    problem: Any = SimpleNamespace(
        x=torch.randn(n, 1, size, size, device=device),
        y=torch.zeros(n, dtype=torch.int64, device=device),
        denoiser=UNet(size, widths),
        schedule=Schedule(),
        ledger=partial(Ledger, n),
        seed=0,
        device=torch.device(device),
    )
    method = kind(
        epsilon=budget,
        delta=1e-5,
        accountant="rdp",
        clip=1e-3,
        batch_size=batch,
        steps=STEPS,
        noise_multiplicity=COPIES,
        lr=1e-3,
    )
    method.begin(problem)
    steps = iter(range(STEPS))
    return lambda: method.advance(next(steps)), method.trainable_parameters


def private(rounds: int) -> list[Row]:
    """Steps with and without privacy, four copies an image, at equal forward passes and batches."""
    device, batch = ("cuda", 64) if torch.cuda.is_available() else ("cpu", 32)
    works, sizes = {}, {}
    for name, kind in (("adapters", Adapters), ("all parameters", Whole)):
        for kept, budget in (("without privacy", None), ("private", 10.0)):
            works[name, kept], sizes[name] = stepper(kind, budget, device, batch)
    seconds = interleaved(works, rounds)
    rows = []
    for name, kept in works:
        ratio = statistics.median(a / b for a, b in zip(seconds[name, kept], seconds[name, "without privacy"]))
        rows.append(
            (
                f"{name} ({sizes[name]:,}), {kept}, {batch} images",
                f"{1e3 * statistics.median(seconds[name, kept]):.1f} ms a step",
                f"{ratio:.2f} x",
            )
        )
    return rows
