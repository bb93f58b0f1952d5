"""Probes of robustness: the error on corrupted test images, the accuracy under a gradient's sign. Named in `task.probes`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.tasks.classification.corruptions import FAMILIES, SEVERITIES, STANDARD, corrupt, fitting
from bench.tasks.classification.protocol import Trained

BATCH = 250  # images at a time
SMALL = 250  # test images of the small set
ATTACKED = 250  # of those whose gradients are taken
EPSILON = 8 / 255  # of a pixel's range
SEED = 0  # of the corruptions: one corrupted set for all networks, as published
KEPT = 1 << 28  # bytes of corrupted images that are kept for the next network on the same test images


def corruption_error(trained: Trained) -> dict[str, float]:
    """`corruption_error`: mean error of corrupted test images, over the 11 corruptions of `corruptions.STANDARD` and severities 1 to 5.

    Beside it `corruption_error_<family>` for noise, blur, weather, digital, and for the extra corruptions, which are no part of the mean.
    Of grey images saturation is left out. Reference: Hendrycks and Dietterich (2019), without the division by another network's errors.

    Raises:
        UserError: images that cannot be corrupted, as points of a plane.
    """
    return _errors(trained, len(trained.data.test_y))


def small_corruption_error(trained: Trained) -> dict[str, float]:
    """The same of the first 250 test images: what a CPU has time for."""
    return _errors(trained, SMALL)


def _errors(trained: Trained, images: int) -> dict[str, float]:
    """`corruption_error` and those of the families, of the first test images."""
    channels = trained.data.test_x.shape[1]
    errors = corrupted_errors(trained, fitting((*STANDARD, *FAMILIES["extra"]), channels), images)
    found = {"corruption_error": _mean(errors, STANDARD)}
    for family, members in FAMILIES.items():
        found[f"corruption_error_{family}"] = _mean(errors, fitting(members, channels))
    return found


@torch.no_grad()
def corrupted_errors(trained: Trained, names: tuple[str, ...], images: int | None = None) -> dict[str, list[float]]:
    """Share of the first test images (None: of all) that is misclassified, by corruption; a number for each severity."""
    test_x, test_y = (part[:images] for part in (trained.data.test_x, trained.data.test_y))
    trained.model.eval()
    wrong, corrupted = [], _corrupted_set(test_x, len(names))
    for name in names:
        for severity in SEVERITIES:
            total = torch.zeros((), dtype=torch.long, device=test_y.device)
            for x, y in zip(corrupted(name, severity).split(BATCH), test_y.split(BATCH)):
                with trained.autocast():
                    logits = trained.model(trained.images.normalise(x))
                total += (logits.argmax(1) != y).sum()
            wrong.append(total)
    trained.model.train()
    shares = (torch.stack(wrong).double() / len(test_y)).view(len(names), len(SEVERITIES)).tolist()
    return dict(zip(names, shares))


def _corrupted_set(images: Tensor, names: int) -> Callable[[str, int], Tensor]:
    """Corruptions of the images by name and severity; those of the same images as the last time are at hand, if they are few."""
    if images.numel() * names * len(SEVERITIES) > KEPT:
        return lambda name, severity: corrupt(images, name, severity, seed=SEED)
    kept = _kept(hashlib.sha256(images.cpu().contiguous().numpy()).digest(), images.shape, images.device)  # type: ignore[arg-type]

    def corrupted(name: str, severity: int) -> Tensor:
        if (name, severity) not in kept:
            kept[name, severity] = corrupt(images, name, severity, seed=SEED)
        return kept[name, severity]

    return corrupted


@lru_cache(maxsize=1)
def _kept(content: bytes, shape: torch.Size, device: torch.device) -> dict[tuple[str, int], Tensor]:
    """Where corruptions of these images are kept."""
    return {}


def _mean(errors: dict[str, list[float]], names: tuple[str, ...]) -> float:
    return sum(sum(errors[name]) / len(SEVERITIES) for name in names) / len(names)


def fgsm_accuracy(trained: Trained) -> dict[str, float]:
    """`fgsm_accuracy`: the share of test images classified as they are labelled after x + (8/255) sign(gradient of their cross-entropy in x),
    cut off to the range of pixels; x is a pixel from 0 to 1, the network is in evaluation mode. Single precision.

    Reference: Goodfellow, Shlens and Szegedy (2015), fast gradient sign method.
    """
    data = trained.data
    trained.model.eval()
    right = torch.zeros((), dtype=torch.long, device=data.test_y.device)
    for images, y in zip(data.test_x.split(ATTACKED), data.test_y.split(ATTACKED)):
        x = attacked(trained, images, y)
        with torch.no_grad():
            right += (trained.model(_seen(trained, x)).argmax(1) == y).sum()
    trained.model.train()
    return {"fgsm_accuracy": right.item() / len(data.test_y)}


def attacked(trained: Trained, images: Tensor, y: Tensor, epsilon: float = EPSILON) -> Tensor:
    """Pixels from 0 to 1 [B, C, H, W] of uint8 images, each moved by epsilon so that the loss rises to first order."""
    x = (images.float() / 255).requires_grad_()
    with torch.enable_grad():
        loss = F.cross_entropy(trained.model(_seen(trained, x)), y, reduction="sum")
        (slope,) = torch.autograd.grad(loss, x)
    return (x.detach() + epsilon * slope.sign()).clamp_(0, 1)


def _seen(trained: Trained, x: Tensor) -> Tensor:
    """What the network sees of pixels from 0 to 1."""
    return (x - trained.images.mean.float()) / trained.images.std.float()
