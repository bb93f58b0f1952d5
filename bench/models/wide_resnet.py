"""Wide residual networks (Zagoruyko and Komodakis, 2016): pre-activation blocks, 6n + 4 layers, widths times k."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from bench.types import Probability


class WideBlock(nn.Module):
    """BN - ReLU - conv - BN - ReLU - dropout - conv, plus shortcut."""

    def __init__(self, fan_in: int, fan_out: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(fan_in)
        self.conv1 = nn.Conv2d(fan_in, fan_out, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(fan_out)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = nn.Conv2d(fan_out, fan_out, 3, 1, 1, bias=False)
        self.shortcut = nn.Conv2d(fan_in, fan_out, 1, stride, bias=False) if stride > 1 or fan_in != fan_out else None

    def forward(self, x: Tensor) -> Tensor:
        active = F.relu(self.bn1(x))
        shortcut = x if self.shortcut is None else self.shortcut(active)
        return self.conv2(self.dropout(F.relu(self.bn2(self.conv1(active))))) + shortcut


def wrn28_10(in_channels: int, num_classes: int, image_size: int, *, dropout: Probability) -> nn.Module:
    """WRN-28-10: 36.5 M parameters."""
    layers: list[nn.Module] = [nn.Conv2d(in_channels, 16, 3, 1, 1, bias=False)]
    fan_in = 16
    for stage, width in enumerate((160, 320, 640)):
        for k in range(4):
            layers.append(WideBlock(fan_in, width, 2 if stage and k == 0 else 1, dropout))
            fan_in = width
    layers += [nn.BatchNorm2d(fan_in), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(fan_in, num_classes)]
    model = nn.Sequential(*layers)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return model
