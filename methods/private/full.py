r"""Private training of all parameters: tuning of a pre-trained network, and training from scratch (Dockhorn et al., 2023, arXiv 2210.09929)."""

from __future__ import annotations

from bench.tasks.generation.denoiser import Denoiser
from methods.private.base import Tuning


class Full(Tuning):
    """All parameters of the pre-trained denoiser, by DP-SGD; the keys are those of `Tuning`."""

    def adapt(self, denoiser: Denoiser) -> Denoiser:  # type: ignore[override]
        """The denoiser, of which everything has `requires_grad`."""
        return denoiser.requires_grad_(True)
