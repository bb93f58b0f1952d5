"""Latents: a small autoencoder of public images, whose middle is what is denoised in place of pixels (Rombach et al., 2022)."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from bench.libraries import diffusers
from bench.seeding import stream_seed
from bench.tasks.generation.pretraining import Pause, Report, Training, trained_once

KL_WEIGHT = 1e-6
ROWS = 256  # encoded or decoded at a time
START = 72  # stream of the first weights


class Autoencoder(nn.Module):
    """diffusers' AutoencoderKL with latents of about unit variance: z = scale * mean of q(z | x).

    It is trained by squared error and 1e-6 of the KL divergence; the released one also by a perceptual loss and a discriminator.

    Args:
        in_channels: of images.
        widths: channels of each resolution; a latent's side is the image's over 2^(len(widths) - 1).
        latent_channels: of a latent.
    """

    def __init__(self, in_channels: int, widths: tuple[int, ...] = (32, 64), latent_channels: int = 4) -> None:
        super().__init__()
        self.net = diffusers().AutoencoderKL(
            in_channels=in_channels,
            out_channels=in_channels,
            down_block_types=("DownEncoderBlock2D",) * len(widths),
            up_block_types=("UpDecoderBlock2D",) * len(widths),
            block_out_channels=widths,
            layers_per_block=1,
            latent_channels=latent_channels,
            norm_num_groups=8,
            mid_block_add_attention=False,
        )
        self.register_buffer("scale", torch.ones(()))

    def loss(self, x: Tensor, draws: torch.Generator) -> Tensor:
        """Mean over images [B, C, S, S] of the squared error, by pixel, and of the weighted divergence."""
        q = self.net.encode(x).latent_dist
        z = q.mean + q.std * torch.randn(q.mean.shape, generator=draws, device=x.device)
        error = (self.net.decode(z).sample - x).square().mean()
        return error + KL_WEIGHT * q.kl().mean()

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """Latents [n, c, s, s] of images in [-1, 1], [n, C, S, S]."""
        means = [self.net.encode(part).latent_dist.mean for part in x.split(ROWS)]
        return self.scale * torch.cat(means)  # type: ignore[operator]

    def save(self, folder: Path | str) -> None:
        """As diffusers saves it; `scaling_factor` of its config is the factor from means to latents."""
        self.net.register_to_config(scaling_factor=float(self.scale))  # type: ignore[arg-type]
        self.net.save_pretrained(folder)

    def decode(self, z: Tensor) -> Tensor:
        """Images [n, C, S, S], in [-1, 1] or a little beyond, of latents; differentiable."""
        return torch.cat([self.net.decode(part / self.scale).sample for part in z.split(ROWS)])


def autoencoder(
    x: Tensor,
    training: Training,
    folder: Path | str,
    seed: int,
    report: Report = lambda line: None,
    pause: Pause = lambda save: None,
) -> Autoencoder:
    """Trained on public images in [-1, 1], [P, C, S, S], and frozen; kept in `folder`. Its scale is that of the public latents."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(seed, "init", START))
        network = Autoencoder(x.shape[1]).to(x.device)

    def loss(network: nn.Module, rows: Tensor, draws: torch.Generator) -> Tensor:
        return network.loss(x[rows], draws)  # type: ignore[operator]

    trained_once("autoencoder", network, (x,), str(KL_WEIGHT), loss, training, folder, seed, report, pause)
    network.scale = 1 / network.encode(x).std()
    return network.requires_grad_(False)
