"""Augmentation by batch, on the device that holds the images; one code path for CPU and GPU.

The uint8 set is padded once. A random crop is then one gather out of a view of all windows; mirroring, blanking and normalising
follow on the batch. Every random number comes from the generator passed in.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


class Augmenter:
    """Batches of normalised images.

    Args:
        images: uint8 [N, C, H, W].
        mean, std: per channel, white is 1.
        crop_padding: random crops of the original size out of images padded by this many black pixels.
        flip: mirror each image horizontally with probability 1/2.
        cutout: side of the square set to the mean (0 after normalisation), its centre uniform over the image; 0: none.
        channels_last: memory layout of the batches.
        dtype: of the batches.
    """

    def __init__(
        self,
        images: Tensor,
        mean: list[float],
        std: list[float],
        *,
        crop_padding: int = 0,
        flip: bool = False,
        cutout: int = 0,
        channels_last: bool = False,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.images, self._padding, self._flip, self._cutout = images, crop_padding, flip, cutout
        self._layout = torch.channels_last if channels_last else torch.contiguous_format
        shape = (1, -1, 1, 1)
        sigma = torch.tensor(std, dtype=dtype, device=images.device).view(shape)
        self._scale = 1 / (255 * sigma)
        self._shift = -torch.tensor(mean, dtype=dtype, device=images.device).view(shape) / sigma
        padded = F.pad(images, (crop_padding,) * 4)
        n, self._channels, self._height, self._width = images.shape
        self._row = self._width + 2 * crop_padding
        self._flat = padded.reshape(n, -1)
        self._windows = padded.unfold(2, self._height, 1).unfold(3, self._width, 1)  # [N, C, 2p+1, 2p+1, H, W], a view

    def batch(self, indices: Tensor, generator: torch.Generator) -> Tensor:
        """Augmented images [B, C, H, W] of `indices` [B]."""
        size, device = len(indices), self.images.device
        span = 2 * self._padding + 1
        uniform = torch.rand(5, size, generator=generator, device=device)
        if self._padding:
            top, left = (uniform[:2] * span).long().clamp_(max=span - 1)
            x = self._windows[indices, :, top, left]
        else:
            x = self.images[indices]
        if self._flip:
            x = torch.where((uniform[2] < 0.5).view(-1, 1, 1, 1), x.flip(3), x)
        x = self.normalise(x)
        return self._blank(x, uniform[3], uniform[4]) if self._cutout else x

    def plain(self, indices: Tensor) -> Tensor:
        """Images [B, C, H, W] of `indices` without augmentation, normalised."""
        return self.normalise(self.images[indices])

    def normalise(self, images: Tensor) -> Tensor:
        """uint8 [B, C, H, W] -> (x / 255 - mean) / std in the layout and dtype asked for."""
        x = images.to(self._scale.dtype, memory_format=self._layout)
        return torch.addcmul(self._shift, x, self._scale).contiguous(memory_format=self._layout)

    def _blank(self, x: Tensor, u: Tensor, v: Tensor) -> Tensor:
        rows, columns = (
            ((torch.arange(n, device=x.device) - (w * n).floor()[:, None] + self._cutout // 2) // self._cutout) == 0
            for n, w in ((self._height, u), (self._width, v))
        )
        return x.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0.0)
