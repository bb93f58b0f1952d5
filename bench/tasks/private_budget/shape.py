"""The sizes of a private set, which are all that its budget depends on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PrivateShape:
    """N private examples of shape (channels, size, size), as the denoiser sees them: pixels or latents.

    Attributes:
        examples: N.
        classes: of the denoiser, the more of the public and the private ones; 0: it is unconditional.
    """

    examples: int
    channels: int
    size: int
    classes: int
