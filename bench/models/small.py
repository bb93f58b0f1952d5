"""Small networks for small images and tests."""

from __future__ import annotations

from itertools import pairwise

from torch import nn

from bench.types import PositiveInt


def mlp(in_channels: int, num_classes: int, image_size: int, *, hidden: list[PositiveInt]) -> nn.Module:
    """Fully connected ReLU network on flattened images; `hidden` gives the widths of its hidden layers."""
    sizes = [in_channels * image_size**2, *hidden]
    layers: list[nn.Module] = [nn.Flatten()]
    for fan_in, fan_out in pairwise(sizes):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], num_classes))


def small_cnn(in_channels: int, num_classes: int, image_size: int, *, width: PositiveInt) -> nn.Module:
    """Two convolutions (width, 2 width) with BatchNorm, ReLU and 2 x 2 max-pooling each, global average pooling, a linear layer."""
    layers: list[nn.Module] = []
    for fan_in, fan_out in ((in_channels, width), (width, 2 * width)):
        layers += [
            nn.Conv2d(fan_in, fan_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(fan_out),
            nn.ReLU(),
            nn.MaxPool2d(2),
        ]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2 * width, num_classes))


def tiny_cnn(in_channels: int, num_classes: int, image_size: int) -> nn.Module:
    """small_cnn of width 16: 5,466 parameters for colour images of ten classes."""
    return small_cnn(in_channels, num_classes, image_size, width=16)
