"""The nine operations of AugMix on batches of images uint8 [B, C, H, W], each image with a strength of its own.

Those of colour are PIL's, to the bit; those of place are nearest-neighbour, black from outside.

Reference: Hendrycks et al., 2020, arXiv 1912.02781, and its augmentations.py.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

LEVELS = 10  # of severity


def autocontrast(x: Tensor, strength: Tensor) -> Tensor:
    """Each channel stretched to 0..255; a constant one stays."""
    low, high = (part(x.flatten(2), 2)[..., None, None].double() for part in (torch.amin, torch.amax))
    scale = torch.full_like(high, 255.0) / (high - low)  # 255 / tensor would be 255 times a rounded reciprocal
    table = torch.arange(256, device=x.device, dtype=torch.float64)
    table = (table * scale[..., 0] + (-low * scale)[..., 0]).nan_to_num(0.0, 0.0, 0.0).trunc().clamp(0, 255)
    found = table.gather(2, x.flatten(2).long()).reshape(x.shape).to(torch.uint8)
    return torch.where(high > low, found, x)


def equalize(x: Tensor, strength: Tensor) -> Tensor:
    """Each channel's histogram made flat."""
    flat = x.flatten(2).long()
    counts = torch.zeros(*flat.shape[:2], 256, device=x.device, dtype=torch.long)
    counts.scatter_add_(2, flat, torch.ones_like(flat))
    last = counts.gather(2, flat.amax(2, keepdim=True))
    step = (counts.sum(2, keepdim=True) - last) // 255
    below = counts.cumsum(2) - counts
    table = ((below + step // 2) // step.clamp_min(1)).clamp_max(255)
    found = table.gather(2, flat).reshape(x.shape).to(torch.uint8)
    return torch.where(step[..., None] > 0, found, x)


def posterize(x: Tensor, strength: Tensor) -> Tensor:
    """4 - int(4 s / 10) bits are kept."""
    bits = 4 - (strength * 4 / LEVELS).long()
    return x & (256 - 2 ** (8 - bits)).to(torch.uint8).view(-1, 1, 1, 1)


def solarize(x: Tensor, strength: Tensor) -> Tensor:
    """Values from 256 - int(256 s / 10) on are inverted."""
    threshold = 256 - (strength * 256 / LEVELS).long()
    return torch.where(x.long() >= threshold.view(-1, 1, 1, 1), 255 - x, x)


def placed(x: Tensor, maps: Tensor) -> Tensor:
    """Pixel (column c, row r) from column a c + b r + c0, row d c + e r + f0: maps [B, 2, 3] in pixels, counted from the image's centre."""
    height, width = x.shape[-2:]
    half = torch.tensor([width / 2, height / 2], device=x.device, dtype=torch.float64)
    theta = maps.clone()
    theta[:, :, :2] *= half.view(1, 1, 2) / half.view(1, 2, 1)
    theta[:, :, 2] /= half
    grid = F.affine_grid(theta.float(), list(x.shape), align_corners=False)
    return F.grid_sample(x.float(), grid, mode="nearest", padding_mode="zeros", align_corners=False).to(torch.uint8)


def _maps(strength: Tensor, rows: list[list[Tensor | float]]) -> Tensor:
    full = [torch.stack([torch.as_tensor(v).to(strength).expand(len(strength)) for v in row], -1) for row in rows]
    return torch.stack(full, 1)


def rotate(x: Tensor, strength: Tensor) -> Tensor:
    """By 30 s / 10 degrees, round the centre, whichever way the sign of s says."""
    angle = strength * (30 / LEVELS * math.pi / 180)
    return placed(x, _maps(strength, [[angle.cos(), -angle.sin(), 0.0], [angle.sin(), angle.cos(), 0.0]]))


def shear_x(x: Tensor, strength: Tensor) -> Tensor:
    """Rows are moved by 0.3 s / 10 of their number, counted from the top left corner."""
    level, half = strength * 0.3 / LEVELS, x.shape[-2] / 2
    return placed(x, _maps(strength, [[1.0, level, level * half], [0.0, 1.0, 0.0]]))


def shear_y(x: Tensor, strength: Tensor) -> Tensor:
    """Columns are moved by 0.3 s / 10 of their number, counted from the top left corner."""
    level, half = strength * 0.3 / LEVELS, x.shape[-1] / 2
    return placed(x, _maps(strength, [[1.0, 0.0, 0.0], [level, 1.0, level * half]]))


def translate_x(x: Tensor, strength: Tensor) -> Tensor:
    """By a third of the width times s / 10, whole pixels."""
    shift = (strength * (x.shape[-1] / 3) / LEVELS).trunc()
    return placed(x, _maps(strength, [[1.0, 0.0, shift], [0.0, 1.0, 0.0]]))


def translate_y(x: Tensor, strength: Tensor) -> Tensor:
    """By a third of the height times s / 10, whole pixels."""
    shift = (strength * (x.shape[-2] / 3) / LEVELS).trunc()
    return placed(x, _maps(strength, [[1.0, 0.0, 0.0], [0.0, 1.0, shift]]))


COLOUR = (autocontrast, equalize, posterize, solarize)
PLACE = (rotate, shear_x, shear_y, translate_x, translate_y)
OPERATIONS = COLOUR + PLACE
