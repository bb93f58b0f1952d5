"""The CIFAR residual networks of He et al., 2016 (section 4.2): 6n + 2 layers, widths 16, 32, 64, shortcuts without parameters.

Module names are those of the published CIFAR-10 checkpoints (akamaster), so that their weights load; see `load_published`.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.errors import UserError

PUBLISHED = {20: "resnet20-12fca82f.th", 32: "resnet32-d509ac18.th", 56: "resnet56-4bfd9763.th"}
PUBLISHED_MEAN, PUBLISHED_STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]  # the checkpoints' own normalisation


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions; the shortcut subsamples and pads the channels with zeros (option A)."""

    def __init__(self, fan_in: int, fan_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(fan_in, fan_out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(fan_out)
        self.conv2 = nn.Conv2d(fan_out, fan_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(fan_out)
        self._stride, self._more = stride, fan_out - fan_in

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self._more or self._stride > 1:
            half = self._more // 2
            x = F.pad(x[:, :, :: self._stride, :: self._stride], (0, 0, 0, 0, half, self._more - half))
        return F.relu(out + x)


class CifarResNet(nn.Module):
    """depth = 6n + 2. Input [B, in_channels, S, S] with S >= 8, output [B, num_classes]."""

    def __init__(self, depth: int, in_channels: int, num_classes: int) -> None:
        super().__init__()
        n = (depth - 2) // 6
        self.conv1 = nn.Conv2d(in_channels, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = _stage(16, 16, n, 1)
        self.layer2 = _stage(16, 32, n, 2)
        self.layer3 = _stage(32, 64, n, 2)
        self.linear = nn.Linear(64, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean(dim=(2, 3)))


def _stage(fan_in: int, fan_out: int, blocks: int, stride: int) -> nn.Sequential:
    first = BasicBlock(fan_in, fan_out, stride)
    return nn.Sequential(first, *(BasicBlock(fan_out, fan_out, 1) for _ in range(blocks - 1)))


def resnet8(in_channels: int, num_classes: int, image_size: int) -> nn.Module:
    """n = 1: 0.08 M parameters."""
    return CifarResNet(8, in_channels, num_classes)


def resnet20(in_channels: int, num_classes: int, image_size: int) -> nn.Module:
    """n = 3: 0.27 M parameters."""
    return CifarResNet(20, in_channels, num_classes)


def resnet56(in_channels: int, num_classes: int, image_size: int) -> nn.Module:
    """n = 9: 0.85 M parameters."""
    return CifarResNet(56, in_channels, num_classes)


def load_published(root: str | Path, depth: int = 20) -> CifarResNet:
    """The published CIFAR-10 network of `depth` 20, 32 or 56 from `root`/resnet_cifar10; normalise with PUBLISHED_MEAN, PUBLISHED_STD.

    Raises:
        UserError: unknown depth or no such file; the line says where it looked.
    """
    if depth not in PUBLISHED:
        raise UserError(f"depth = {depth}: published weights exist for {', '.join(map(str, PUBLISHED))}")
    path = Path(root) / "resnet_cifar10" / PUBLISHED[depth]
    if not path.is_file():
        raise UserError(
            f"published weights not found: looked for {path}; fetch that file from the akamaster CIFAR-10 ResNet release"
        )
    state = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    model = CifarResNet(depth, 3, 10)
    model.load_state_dict({name.removeprefix("module."): value for name, value in state.items()})
    return model
