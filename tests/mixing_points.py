"""What the tests of mixing share: methods as their configs make them, a small network and batch, one look at a minibatch."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from outside_made import made
from torch import Tensor, nn

DIGITS = {"dataset": "digits"}


def given(name: str, model: nn.Module, *supplied: Any, **keys: Any) -> Any:
    """The method of conf/method/<name>.yaml on a network, with other values of some of its keys."""
    return made(name, list(model.parameters()), model, *supplied, **DIGITS, **keys)


def batch(
    n: int = 6, size: int = 8, channels: int = 3, classes: int = 4, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(1)
    return torch.randn(n, channels, size, size, generator=g, dtype=dtype), torch.arange(n) % classes


def network(*layers: nn.Module, dtype: torch.dtype = torch.float64) -> nn.Sequential:
    """Layers with parameters of a fixed seed; by default a linear map of 3 x 8 x 8 images to 4 classes behind a ReLU."""
    torch.manual_seed(0)
    layers = layers or (nn.Flatten(), nn.Linear(192, 16), nn.ReLU(), nn.Linear(16, 4))
    model = nn.Sequential(*layers).to(dtype)
    for p in model.parameters():
        nn.init.normal_(p, std=0.2)
    return model


def convolutional() -> nn.Sequential:
    """With BatchNorm in two stages."""
    first = (nn.Conv2d(3, 5, 3, padding=1), nn.BatchNorm2d(5), nn.ReLU(), nn.MaxPool2d(2))
    second = (nn.Conv2d(5, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2))
    return network(*first, *second, nn.Flatten(), nn.Linear(24, 4))


def look(method: Any, model: nn.Module, x: Tensor, y: Tensor, seed: int = 0) -> tuple[Tensor, Tensor, list[int]]:
    """(loss [], gradient [D], images of each part) of a minibatch, as the task forms them."""
    model.zero_grad()
    total, counts = torch.zeros((), dtype=torch.float64), []
    for loss, images in method.losses(model, x, y, F.cross_entropy, torch.Generator().manual_seed(seed)):
        loss.backward()
        total, counts = total + loss.detach().double(), [*counts, images]
    return total, torch.cat([p.grad.flatten() for p in model.parameters()]).clone(), counts


class Recorder(nn.Module):
    """A network that notes the images of each pass."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.seen = model, []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x.detach().clone())
        return self.model(x)


def apart(trained: Any) -> dict[str, float]:
    """The network's accuracy and loss on the test images, by the arithmetic of the docs: (x / 255 - mean) / std."""
    model, data = trained.model.eval(), trained.data
    mean, std = (torch.tensor(v).view(1, -1, 1, 1) for v in (data.mean, data.std))
    with torch.no_grad():
        logits = model((data.test_x.float() / 255 - mean) / std)
    model.train()
    right = (logits.argmax(1) == data.test_y).double().mean()
    return {"apart_accuracy": float(right), "apart_nll": float(F.cross_entropy(logits.double(), data.test_y))}
