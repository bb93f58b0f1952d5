r"""Denoising diffusion: noised data, the loss of an example, and DDIM sampling.

    x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) e,   abar_t = prod_{s <= t} (1 - beta_s),   beta = linspace(sqrt(b_0), sqrt(b_1), T)^2

The variances are those of latent diffusion (Rombach et al., 2022), diffusers' "scaled_linear".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from bench.errors import UserError
from bench.libraries import diffusers
from bench.types import PositiveFloat, PositiveInt, Probability

ROWS = 1024  # sampled at a time
Network = Callable[
    [Tensor, Tensor, Tensor | None], Tensor
]  # (x [B, C, S, S], t [B], y [B] or None) -> noise [B, C, S, S]


class Schedule:
    """Times 0..T-1 and how much of the data is left at each.

    Args:
        timesteps: T.
        beta_start, beta_end: b_0 and b_1, variances of the first and last step.
        sampling_steps: of DDIM, spread evenly over the times from 0 on: a divisor of T.
        eta: of DDIM; 0: deterministic, 1: as noisy as the reverse of the noising.
        clip: keep predicted data in [-1, 1] as it is sampled (pixels; not for latents).

    Raises:
        UserError: variances that do not rise, or sampling steps that do not divide the times.
    """

    def __init__(
        self,
        *,
        timesteps: PositiveInt = 1000,
        beta_start: PositiveFloat = 0.0015,
        beta_end: PositiveFloat = 0.0195,
        sampling_steps: PositiveInt = 200,
        eta: Probability = 1.0,
        clip: bool = True,
    ) -> None:
        if not beta_start <= beta_end < 1:
            raise UserError(f"beta_end = {beta_end}: it must lie between beta_start = {beta_start} and 1")
        if timesteps % sampling_steps:
            fits = max(n for n in range(1, min(sampling_steps, timesteps) + 1) if timesteps % n == 0)
            raise UserError(
                f"sampling_steps = {sampling_steps}: no divisor of timesteps = {timesteps}; type sampling_steps={fits}"
            )
        self.timesteps, self.sampling_steps, self.eta = timesteps, sampling_steps, eta
        self._settings: dict[str, Any] = {
            "num_train_timesteps": timesteps,
            "beta_start": beta_start,
            "beta_end": beta_end,
            "beta_schedule": "scaled_linear",
            "clip_sample": clip,
            "timestep_spacing": "leading",  # the last step starts at time 0, whose data is all but clean,
            "steps_offset": 0,
            "set_alpha_to_one": True,  # and leaves no noise
        }
        self.alphas_bar: Tensor = self.scheduler().alphas_cumprod  # [T]

    def scheduler(self) -> Any:
        """A DDIMScheduler of diffusers with these settings."""
        return diffusers().DDIMScheduler(**self._settings)

    def identity(self) -> str:
        """What training depends on."""
        return str(sorted((key, self._settings[key]) for key in ("num_train_timesteps", "beta_start", "beta_end")))

    def draw_times(self, shape: Sequence[int], generator: torch.Generator) -> Tensor:
        """Uniform times, integers of a shape, on the generator's device."""
        return torch.randint(self.timesteps, tuple(shape), generator=generator, device=generator.device)

    def noised(self, x0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """x_t [..., C, S, S] of data and noise [..., C, S, S] at times t [...]."""
        abar = self.alphas_bar.to(x0)[t].reshape(*t.shape, 1, 1, 1)
        return abar.sqrt() * x0 + (1 - abar).sqrt() * noise

    def loss_per_example(self, denoiser: Network, x0: Tensor, y: Tensor | None, t: Tensor, noise: Tensor) -> Tensor:
        """l_i [B] = mean over K copies and over pixels of |e - e_theta(x_t, t, y)|^2.

        The network sees all copies of all examples at once, B K rows of which those of an example stand together.

        Args:
            x0: data [B, C, S, S].
            y: classes [B], or None.
            t, noise: times [B, K] and noise [B, K, C, S, S] of the K copies of each example.
        """
        copies = t.shape[1]
        noised = self.noised(x0[:, None], t, noise).flatten(0, 1)
        classes = None if y is None else y.repeat_interleave(copies)
        predicted = denoiser(noised, t.flatten(), classes).view_as(noise)
        return (noise - predicted).square().flatten(1).mean(1)

    @torch.no_grad()
    def sample(
        self,
        denoiser: Network,
        y: Tensor | None,
        shape: Sequence[int],
        generator: torch.Generator,
    ) -> Tensor:
        """DDIM (Song et al., 2021): data [n, C, S, S] for classes y [n]; they depend on the generator's state, whose device need not be the network's.

        Args:
            y: classes on the network's device, or None of an unconditional network.
            shape: n, C, S, S.
        """
        n, *image = shape
        device = next(p.device for p in denoiser.parameters()) if isinstance(denoiser, torch.nn.Module) else "cpu"
        parts = []
        for start in range(0, n, ROWS):
            rows = min(ROWS, n - start)
            labels = None if y is None else y[start : start + rows]
            parts.append(self._sampled(denoiser, labels, (rows, *image), generator, device))
        return torch.cat(parts) if parts else torch.empty(0, *image, device=device)

    def _sampled(
        self,
        denoiser: Network,
        y: Tensor | None,
        shape: tuple[int, ...],
        generator: torch.Generator,
        device: torch.device | str,
    ) -> Tensor:
        def drawn() -> Tensor:
            return torch.randn(shape, generator=generator, device=generator.device).to(device)

        scheduler = self.scheduler()
        scheduler.set_timesteps(self.sampling_steps)
        x = drawn()
        for time in scheduler.timesteps.tolist():
            noise = denoiser(x, torch.full((shape[0],), time, device=device), y)
            fresh = drawn() if self.eta > 0 else None
            x = scheduler.step(
                noise, time, x, eta=self.eta, use_clipped_model_output=True, variance_noise=fresh
            ).prev_sample
        return x
