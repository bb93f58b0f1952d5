"""What a network is shown while a method forms the loss of a minibatch: the images, and of which two each is a mix, by which weight.

The method is told that each image's label is its number in the minibatch. So the probabilities that it asks the loss for name both images of
a mix. A loss of labels as they are (that of a saliency, or of images that are not mixed) is the true labels' cross-entropy.

Shapes: B images of a minibatch, C classes, K interpolations of a pair.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.errors import UserError


@dataclass(frozen=True)
class Mixes:
    """Images [K, B, C, H, W] that the network saw; the weight [K, B] of the label of each image itself; the partner [B] of each, itself where it
    has none; whether they are pairs at all."""

    images: Tensor
    weights: Tensor
    partners: Tensor
    paired: bool


@dataclass
class Pass:
    """Images that the network saw, and the targets of the loss that followed."""

    images: Tensor
    targets: Tensor | None = None


class Recorder:
    """A network and a loss that keep what they are given.

    Args:
        model: gives logits [N, C].
        labels: of the minibatch, [B].
        num_classes: C.
    """

    def __init__(self, model: nn.Module, labels: Tensor, num_classes: int) -> None:
        self.model, self.labels, self.num_classes = model, labels, num_classes
        self.numbers = num_classes + torch.arange(len(labels), device=labels.device)
        self.passes: list[Pass] = []

    def network(self, x: Tensor) -> Tensor:
        """Logits [N, C + B]: those of the classes, and zeros for the numbers of the images."""
        self.passes.append(Pass(x.detach().clone()))
        logits = self.model(x)
        return torch.cat([logits, logits.new_zeros(len(logits), len(self.labels))], 1)

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy [] of labels; nothing of probabilities, which are kept."""
        if self.passes:
            self.passes[-1].targets = targets.detach()
        if targets.dim() == 2:
            return logits.sum() * 0.0
        return F.cross_entropy(logits[:, : self.num_classes], self.labels[targets - self.num_classes])

    def mixes(self, x: Tensor) -> Mixes:
        """What of the passes is mixed; without any, what was seen.

        Args:
            x: the minibatch [B, C, H, W].

        Raises:
            UserError: no targets tell what was mixed, or features were mixed and no images.
        """
        if any(one.targets is None for one in self.passes):
            raise UserError("method.loss: the partners of mixed images are read from the task's own loss; use ce")
        mixed = [one for one in self.passes if one.targets.dim() == 2 and one.targets.min() == 0]  # type: ignore[union-attr]  # not merely smoothed
        size, device = len(x), x.device
        if not mixed:
            images = torch.cat([one.images for one in self.passes]).unflatten(0, (-1, size))
            weights = torch.ones(images.shape[:2], dtype=torch.float64, device=device)
            return Mixes(images, weights, torch.arange(size, device=device), False)
        if any(len(one.images) != len(one.targets) for one in mixed):  # type: ignore[arg-type]
            raise _features()
        images = torch.cat([one.images for one in mixed]).unflatten(0, (-1, size))
        shares = torch.cat([one.targets for one in mixed]).double()[:, self.num_classes :].unflatten(0, (-1, size))  # type: ignore[misc]
        weights = shares.diagonal(dim1=1, dim2=2)
        others = (shares - torch.diag_embed(weights)).sum(0)
        itself = torch.arange(size, device=device)
        partners = torch.where(others.amax(1) > 0, others.argmax(1), itself)
        if bool((weights < 1).any()) and bool((images == x).all()):
            raise _features()
        return Mixes(images, weights, partners, True)


def _features() -> UserError:
    return UserError(
        "method.layers: features of a layer are mixed here, which are no images; method.layers=[0] mixes the input"
    )


def mixes(
    method: Any, model: nn.Module, x: Tensor, y: Tensor, num_classes: int, generator: Callable[[], torch.Generator]
) -> Mixes:
    """What a network sees of a minibatch x [B, C, H, W], y [B] under a method; without `losses` the images themselves.

    Args:
        generator: makes that of the minibatch, of all that is random in its loss.

    Raises:
        UserError: as Recorder.mixes.
    """
    recorder = Recorder(model, y, num_classes)
    if not hasattr(method, "losses"):
        recorder.passes.append(Pass(x, recorder.numbers))
        return recorder.mixes(x)
    method.zero_grad()
    with torch.enable_grad():
        for loss, _ in method.losses(recorder.network, x, recorder.numbers, recorder.loss, generator()):
            loss.backward()
    method.zero_grad()
    return recorder.mixes(x)


def off_segment(found: Mixes, x: Tensor) -> float:
    """Root mean square distance of the mixed images from w x_i + (1 - w) x_j with their labels' weights, over pixels, pairs and
    interpolations, in the units of x."""
    w = found.weights.to(x.dtype)[:, :, None, None, None]
    return (found.images - (w * x + (1 - w) * x[found.partners])).double().square().mean().sqrt().item()
