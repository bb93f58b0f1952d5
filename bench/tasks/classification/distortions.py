"""What each corruption of CIFAR-10-C does to a batch: values float64 [N, C, H, W] from 0 to 1 before and after, bytes where a codec works on bytes.

Each follows the released program that made CIFAR-10-C (Hendrycks and Dietterich, 2019, make_cifar_c.py), with sides that may differ from 32.
`draws` gives the random numbers, a fixed number of them an image, whatever the image holds.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


class Draws(Protocol):
    """Independent random numbers [N, *shape] in float64 on the images' device; each call gives new ones."""

    def uniform(self, *shape: int) -> Tensor:
        """From 0 to 1."""

    def normal(self, *shape: int) -> Tensor:
        """Of mean 0 and variance 1."""


# ---- noise


def gaussian_noise(x: Tensor, sd: float, draws: Draws) -> Tensor:
    """Normal noise of this standard deviation on each value."""
    return x + sd * draws.normal(*x.shape[1:])


def speckle_noise(x: Tensor, sd: float, draws: Draws) -> Tensor:
    """Normal noise on each value, in proportion to it."""
    return x + x * sd * draws.normal(*x.shape[1:])


def impulse_noise(x: Tensor, share: float, draws: Draws) -> Tensor:
    """A share of the values becomes 0 or 1, with equal chances (scikit-image's salt and pepper)."""
    hit, white = draws.uniform(*x.shape[1:]) <= share, draws.uniform(*x.shape[1:]) <= 0.5
    return torch.where(hit, white.to(x.dtype), x)


def shot_noise(x: Tensor, photons: int, draws: Draws) -> Tensor:
    """Poisson counts of mean `photons` times the value, over `photons`; by inversion of the law of each of the 256 levels."""
    levels = torch.arange(256, dtype=torch.float64, device=x.device) / 255 * photons
    most = photons + 12 * math.isqrt(photons) + 30  # beyond it lies less than 1e-16
    counts = torch.arange(most, dtype=torch.float64, device=x.device)
    log_p = torch.special.xlogy(counts, levels[:, None]) - levels[:, None] - torch.lgamma(counts + 1)
    level = (x * 255).round()
    below = log_p.exp().cumsum(1).clamp_(max=1) + torch.arange(256, device=x.device)[:, None]  # rows one above another
    at = torch.searchsorted(below.flatten(), level + draws.uniform(*x.shape[1:]), right=True)
    return (at - level.long() * most).clamp_(0, most - 1) / photons


# ---- blur


def gaussian_blur(x: Tensor, sd: float, draws: Draws | None = None) -> Tensor:
    """A Gaussian filter of this standard deviation in pixels, cut at four of them; the border's pixels go on outside."""
    radius = int(4 * sd + 0.5)
    taps = torch.arange(-radius, radius + 1, dtype=x.dtype, device=x.device)
    taps = torch.exp(-0.5 * (taps / sd) ** 2)
    taps /= taps.sum()
    padded = F.pad(x, (radius,) * 4, mode="replicate")
    return _filtered(_filtered(padded, taps[:, None]), taps[None])


def defocus_blur(x: Tensor, c: tuple[float, float], draws: Draws) -> Tensor:
    """The mean over a disk of radius c[0], its edge softened by three Gaussian taps of standard deviation c[1]; mirrored at the border."""
    reach = int(c[0]) + 1
    at = torch.arange(-reach, reach + 1, dtype=x.dtype, device=x.device)
    disk = ((at**2 + at[:, None] ** 2) <= c[0] ** 2).to(x.dtype)
    side = math.exp(-0.5 / c[1] ** 2)
    taps = torch.tensor([side, 1.0, side], dtype=x.dtype, device=x.device) / (1 + 2 * side)
    kernel = _filtered(F.pad(disk / disk.sum(), (1,) * 4)[None, None], taps[:, None] * taps)[0, 0]
    return _filtered(F.pad(x, (reach,) * 4, mode="reflect"), kernel)


def glass_blur(x: Tensor, c: tuple[float, int], draws: Draws) -> Tensor:
    """Blurred, pixels displaced by at most one, c[1] times, and blurred again, by c[0].

    The released program exchanges pixels through views of one array, so that each takes the value of one above or left of it, or its own,
    and gives nothing back. It walks from the last pixel to the first, so that all take values from before: one gather.
    """
    sd, times = c
    bytes_ = (gaussian_blur(x, sd) * 255).trunc()
    height, width = x.shape[2:]
    rows, columns = torch.arange(height, device=x.device)[:, None], torch.arange(width, device=x.device)
    moves = (rows >= 2) & (columns >= 2)
    for _ in range(times):
        up, left = ((draws.uniform(height, width) < 0.5) & moves for _ in range(2))
        source = (rows - up.long()) * width + columns - left.long()
        source = source.flatten(1)[:, None].expand(-1, x.shape[1], -1)
        bytes_ = bytes_.flatten(2).gather(2, source).view_as(x)
    return gaussian_blur(bytes_ / 255, sd)


def zoom_blur(x: Tensor, end: float, draws: Draws) -> Tensor:
    """The mean of the image and of itself at zooms 1, 1.01, ..., up to `end`, about its centre; in single precision."""
    zooms = np.arange(1, end, 0.01)
    x = x.float()
    out = torch.zeros_like(x)
    for zoom in zooms.tolist():
        out += _zoomed(x, zoom)
    return ((x + out) / (len(zooms) + 1)).double()


def _zoomed(x: Tensor, zoom: float) -> Tensor:
    sides = x.shape[2:]
    cuts = [math.ceil(side / zoom) for side in sides]
    (top, left), (height, width) = [(side - cut) // 2 for side, cut in zip(sides, cuts)], cuts
    inner = x[:, :, top : top + height, left : left + width]
    large = F.interpolate(inner, size=[round(cut * zoom) for cut in cuts], mode="bilinear", align_corners=True)
    top, left = ((got - side) // 2 for got, side in zip(large.shape[2:], sides))
    return large[:, :, top : top + sides[0], left : left + sides[1]]


def _filtered(x: Tensor, kernel: Tensor) -> Tensor:
    """Each channel correlated with the kernel, without padding."""
    n, channels = x.shape[:2]
    return F.conv2d(x.flatten(0, 1)[:, None], kernel[None, None]).unflatten(0, (n, channels))[:, :, 0]


# ---- weather


def fog(x: Tensor, c: tuple[float, float], draws: Draws) -> Tensor:
    """A random landscape times c[0] is added, and all is scaled so that the image's brightest value stays; c[1]: decay of the roughness."""
    side = 1 << max(1, (max(x.shape[2:]) - 1).bit_length())
    clouds = plasma(draws.uniform(side, side), c[1])[:, None, : x.shape[2], : x.shape[3]]
    brightest = x.amax((1, 2, 3), keepdim=True)
    return (x + c[0] * clouds) * brightest / (brightest + c[0])


def plasma(uniform: Tensor, decay: float) -> Tensor:
    """Landscapes [N, S, S] from 0 to 1 by the diamond-square algorithm on a torus; `uniform` [N, S, S], S a power of 2.

    A point halfway is the mean of its four neighbours and w U(-w, w), w = 100 at first and divided by `decay` at each halving.
    """
    heights, step, w = torch.zeros_like(uniform), uniform.shape[1], 100.0
    noise = 2 * uniform - 1
    while step >= 2:
        half = step // 2
        corners = heights[:, ::step, ::step]
        total = corners + corners.roll(-1, 1)
        total = total + total.roll(-1, 2)
        heights[:, half::step, half::step] = total / 4 + w * w * noise[:, half::step, half::step]
        centres = heights[:, half::step, half::step]
        above = centres + centres.roll(1, 1) + corners + corners.roll(-1, 2)
        beside = centres + centres.roll(1, 2) + corners + corners.roll(-1, 1)
        heights[:, ::step, half::step] = above / 4 + w * w * noise[:, ::step, half::step]
        heights[:, half::step, ::step] = beside / 4 + w * w * noise[:, half::step, ::step]
        step, w = half, w / decay
    heights = heights - heights.amin((1, 2), keepdim=True)
    return heights / heights.amax((1, 2), keepdim=True)


def brightness(x: Tensor, more: float, draws: Draws) -> Tensor:
    """The value of hue, saturation and value is raised by `more`, to 1 at most: a colour is scaled, black becomes grey."""
    value = x.amax(1, keepdim=True)
    raised = (value + more).clamp(max=1)
    return torch.where(value > 0, x * (raised / value.clamp(min=1e-9)), raised)


# ---- digital


def contrast(x: Tensor, factor: float, draws: Draws) -> Tensor:
    """Each channel's distance to its mean over the image, times `factor`."""
    mean = x.mean((2, 3), keepdim=True)
    return (x - mean) * factor + mean


def saturate(x: Tensor, c: tuple[float, float], draws: Draws) -> Tensor:
    """The saturation s of hue, saturation and value becomes c[0] s + c[1], from 0 to 1; the hue of a grey pixel is red."""
    value, least = x.amax(1, keepdim=True), x.amin(1, keepdim=True)
    spread = value - least
    grey = spread == 0
    saturation = torch.where(value > 0, spread / value.clamp(min=1e-9), 0.0)
    red = torch.tensor([0.0, 1.0, 1.0], dtype=x.dtype, device=x.device).view(1, 3, 1, 1)
    depth = torch.where(grey, red, (value - x) / torch.where(grey, 1.0, spread))
    return value * (1 - (saturation * c[0] + c[1]).clamp(0, 1) * depth)


def jpeg(images: Tensor, quality: int) -> Tensor:
    """Bytes [N, C, H, W] through JPEG at this quality (Pillow's own subsampling), on the CPU."""
    from PIL import Image

    def coded(image: Image.Image) -> Image.Image:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality)
        return Image.open(file)

    return _each(images, coded)


def pixelate(images: Tensor, share: float) -> Tensor:
    """Bytes [N, C, H, W] resized to this share of the sides and back, by box filters, on the CPU."""
    from PIL import Image

    height, width = images.shape[2:]
    small = (max(1, int(width * share)), max(1, int(height * share)))
    return _each(images, lambda i: i.resize(small, Image.Resampling.BOX).resize((width, height), Image.Resampling.BOX))


def _each(images: Tensor, change: Callable) -> Tensor:
    """Images by Pillow, one after another."""
    from PIL import Image

    rows = images.permute(0, 2, 3, 1).cpu().numpy()
    grey = rows.shape[3] == 1
    found = [np.asarray(change(Image.fromarray(row[:, :, 0] if grey else row))) for row in rows]
    made = torch.from_numpy(np.stack(found)).to(images.device)
    return made[:, None] if grey else made.permute(0, 3, 1, 2).contiguous()
