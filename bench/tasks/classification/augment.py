"""Augmentation by batch, on the device that holds the images; one code path for CPU and GPU.

The uint8 set is padded once. A random crop is then one selection out of an overlapping view that holds every window; mirroring,
blanking and normalising follow on the batch. Every random number comes from the generator passed in.
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
        self.mean, self.std = (torch.tensor(v, dtype=dtype, device=images.device).view(shape) for v in (mean, std))
        self._scale = 1 / (255 * self.std)
        self._shift = -self.mean / self.std
        padded = F.pad(images, (crop_padding,) * 4)
        self._size, self._row = padded[0].numel(), padded.shape[3]
        _, channels, self._height, self._width = images.shape
        starts = padded.numel() - self._size + 2 * crop_padding * (self._row + 1) + 1  # of windows, at any byte
        strides = (1, padded.stride(1), self._row, 1)
        self._windows = padded.as_strided((starts, channels, self._height, self._width), strides)  # overlapping, a view

    def batch(self, indices: Tensor, generator: torch.Generator) -> Tensor:
        """Augmented images [B, C, H, W] of `indices` [B]."""
        size, device = len(indices), self.images.device
        span = 2 * self._padding + 1
        uniform = torch.rand(5, size, generator=generator, device=device)
        top, left = (uniform[:2] * span).long().clamp_(max=span - 1)
        x = self._windows.index_select(0, indices * self._size + top * self._row + left)
        if self._flip:
            mirrored = torch.arange(size, device=device) + size * (uniform[2] < 0.5)
            x = torch.cat([x, x.flip(3)]).index_select(0, mirrored)
        x = self.normalise(x)
        return self._blank(x, uniform[3], uniform[4]) if self._cutout else x

    def plain(self, indices: Tensor) -> Tensor:
        """Images [B, C, H, W] of `indices` without augmentation, normalised."""
        return self.normalise(self.images[indices])

    def normalise(self, images: Tensor) -> Tensor:
        """uint8 [B, C, H, W] -> (x / 255 - mean) / std in the layout and dtype asked for."""
        x = images.to(self._scale.dtype, memory_format=self._layout)
        return x.mul_(self._scale).add_(self._shift)

    def _blank(self, x: Tensor, u: Tensor, v: Tensor) -> Tensor:
        rows, columns = (
            ((torch.arange(n, device=x.device) - (w * n).floor()[:, None] + self._cutout // 2) // self._cutout) == 0
            for n, w in ((self._height, u), (self._width, v))
        )
        return x.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0.0)
