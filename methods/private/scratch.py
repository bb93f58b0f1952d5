r"""DPDM-like: a denoiser that has seen no public data, trained by DP-SGD (Dockhorn et al., 2023, arXiv 2210.09929)."""

from __future__ import annotations

from methods.private.full import Full


class Scratch(Full):
    """All parameters from their random start, with K copies of noise an example and averaged weights (`noise_multiplicity`, `ema`).

    The paper's network predicts under its own weighting of noise levels (EDM); this one has the denoiser, the schedule and the loss of
    the other methods here, so that only the start and what is trained differ. The keys are those of `Tuning`.
    """

    pretrained = False
