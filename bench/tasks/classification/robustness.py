"""Probes of robustness: the error on corrupted test images, the accuracy under a gradient's sign. Named in `task.probes`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.tasks.classification.corruptions import FAMILIES, SEVERITIES, STANDARD, corrupt, fitting
from bench.tasks.classification.protocol import Trained

BATCH = 1000  # images at a time
ATTACKED = 250  # of those whose gradients are taken
EPSILON = 8 / 255  # of a pixel's range
SEED = 0  # of the corruptions: one corrupted set for all networks, as published


def corruption_error(trained: Trained) -> dict[str, float]:
    """`corruption_error`: mean error of corrupted test images, over the 11 corruptions of `corruptions.STANDARD` and severities 1 to 5.

    Beside it `corruption_error_<family>` for noise, blur, weather, digital, and for the extra corruptions, which are no part of the mean.
    Of grey images saturation is left out. Reference: Hendrycks and Dietterich (2019), without the division by another network's errors.

    Raises:
        UserError: images that cannot be corrupted, as points of a plane.
    """
    channels = trained.data.test_x.shape[1]
    names = fitting((*STANDARD, *FAMILIES["extra"]), channels)
    errors = corrupted_errors(trained, names)
    found = {"corruption_error": _mean(errors, STANDARD)}
    for family, members in FAMILIES.items():
        found[f"corruption_error_{family}"] = _mean(errors, fitting(members, channels))
    return found


@torch.no_grad()
def corrupted_errors(trained: Trained, names: tuple[str, ...]) -> dict[str, list[float]]:
    """Share of the test images that is misclassified, by corruption; a number for each severity."""
    data = trained.data
    trained.model.eval()
    wrong = []
    for name in names:
        for severity in SEVERITIES:
            images = corrupt(data.test_x, name, severity, seed=SEED)
            total = torch.zeros((), dtype=torch.long, device=images.device)
            for x, y in zip(images.split(BATCH), data.test_y.split(BATCH)):
                with trained.autocast():
                    logits = trained.model(trained.images.normalise(x))
                total += (logits.argmax(1) != y).sum()
            wrong.append(total)
    trained.model.train()
    shares = (torch.stack(wrong).double() / len(data.test_y)).view(len(names), len(SEVERITIES)).tolist()
    return dict(zip(names, shares))


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
