"""ResNet-18 for small images: 3 x 3 stem without max-pooling, widths 64 to 512, projection shortcuts."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

WIDTHS = (64, 128, 256, 512)


class PostActivation(nn.Module):
    """conv - BN - ReLU - conv - BN, plus shortcut, ReLU (He et al., 2016a)."""

    def __init__(self, fan_in: int, fan_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(fan_in, fan_out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(fan_out)
        self.conv2 = nn.Conv2d(fan_out, fan_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(fan_out)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or fan_in != fan_out:
            self.shortcut = nn.Sequential(nn.Conv2d(fan_in, fan_out, 1, stride, bias=False), nn.BatchNorm2d(fan_out))

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(out + self.shortcut(x))


class PreActivation(nn.Module):
    """BN - ReLU - conv - BN - ReLU - conv, plus shortcut (He et al., 2016b)."""

    def __init__(self, fan_in: int, fan_out: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(fan_in)
        self.conv1 = nn.Conv2d(fan_in, fan_out, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(fan_out)
        self.conv2 = nn.Conv2d(fan_out, fan_out, 3, 1, 1, bias=False)
        self.shortcut = nn.Conv2d(fan_in, fan_out, 1, stride, bias=False) if stride > 1 or fan_in != fan_out else None

    def forward(self, x: Tensor) -> Tensor:
        active = F.relu(self.bn1(x))
        shortcut = x if self.shortcut is None else self.shortcut(active)
        return self.conv2(F.relu(self.bn2(self.conv1(active)))) + shortcut


class ResNet18(nn.Module):
    """Four stages of two blocks. Input [B, in_channels, S, S], output [B, num_classes]."""

    def __init__(self, block: type[PostActivation] | type[PreActivation], in_channels: int, num_classes: int) -> None:
        super().__init__()
        post = block is PostActivation
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, 64, 3, 1, 1, bias=False), *((nn.BatchNorm2d(64), nn.ReLU()) if post else ())
        )
        blocks, fan_in = [], 64
        for stage, width in enumerate(WIDTHS):
            blocks += [block(fan_in, width, 1 if stage == 0 else 2), block(width, width, 1)]
            fan_in = width
        self.blocks = nn.Sequential(*blocks)
        self.tail = nn.Identity() if post else nn.Sequential(nn.BatchNorm2d(512), nn.ReLU())
        self.linear = nn.Linear(512, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.tail(self.blocks(self.stem(x))).mean(dim=(2, 3)))


def resnet18(in_channels: int, num_classes: int, image_size: int) -> nn.Module:
    """11.2 M parameters."""
    return ResNet18(PostActivation, in_channels, num_classes)


def preact_resnet18(in_channels: int, num_classes: int, image_size: int) -> nn.Module:
    """11.2 M parameters."""
    return ResNet18(PreActivation, in_channels, num_classes)
