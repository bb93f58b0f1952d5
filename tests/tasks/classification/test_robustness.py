"""Probes of robustness, one image at a time by the definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from trained_networks import finished, images

from bench.errors import UserError
from bench.tasks.classification.corruptions import ALL, SEVERITIES, corrupt
from bench.tasks.classification.note import NOTE
from bench.tasks.classification.robustness import attacked, corruption_error, fgsm_accuracy


def trained(channels: int = 3, side: int = 8, n: int = 301, test: int = 0):
    """A network with BatchNorm that knows its images' labels, which are its own answers but for some."""
    torch.manual_seed(2)
    model = nn.Sequential(nn.Conv2d(channels, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.LazyLinear(3))
    x = images(n, channels, side)
    made = finished(model, x, torch.arange(n) % 3, 3)
    for _ in range(20):
        model(made.images.normalise(x))
    model.eval()
    y = model(made.images.normalise(x)).argmax(1)
    y[::10] = (y[::10] + 1) % 3
    return finished(model, x, y, 3, test)


def test_the_error_is_the_plain_mean_over_corruptions_and_severities():
    made = trained(n=60)
    found = corruption_error(made)
    assert made.model.training
    made.model.eval()
    errors = {}
    for name in ALL:
        for severity in SEVERITIES:
            x = (corrupt(made.data.test_x, name, severity).float() / 255 - made.images.mean) / made.images.std
            errors[name, severity] = (made.model(x).argmax(1) != made.data.test_y).double().mean().item()

    def mean(*names: str) -> float:
        return float(np.mean([errors[name, s] for name in names for s in SEVERITIES]))

    families = {
        "noise": ("gaussian_noise", "shot_noise", "impulse_noise"),
        "blur": ("defocus_blur", "glass_blur", "zoom_blur"),
        "weather": ("fog", "brightness"),
        "digital": ("contrast", "pixelate", "jpeg_compression"),
    }
    for family, names in families.items():
        assert found[f"corruption_error_{family}"] == pytest.approx(mean(*names), abs=1e-9)
    assert found["corruption_error"] == pytest.approx(mean(*sum(families.values(), ())), abs=1e-9)
    assert found["corruption_error_extra"] == pytest.approx(mean("gaussian_blur", "speckle_noise", "saturate"))
    assert len(set(found.values())) > 3
    assert set(found) <= set(NOTE.metrics)


def test_grey_images_go_without_saturation_and_points_are_refused():
    assert 0 <= corruption_error(trained(channels=1, n=40))["corruption_error_extra"] <= 1
    with pytest.raises(UserError, match="found 2 channels of 8 x 8"):
        corruption_error(trained(channels=2, n=40))


def test_the_attack_is_a_step_of_the_sign_of_each_image_s_gradient():
    made = trained(n=12)
    made.model.eval()
    moved = attacked(made, made.data.test_x, made.data.test_y)
    for image, label, other in zip(made.data.test_x, made.data.test_y, moved):
        x = (image[None].double() / 255).requires_grad_()
        seen = (x - made.images.mean) / made.images.std
        F.cross_entropy(made.model(seen.float()), label[None]).backward()
        wanted = (x.detach()[0] + 8 / 255 * x.grad[0].sign()).clamp(0, 1)
        torch.testing.assert_close(other.double(), wanted, rtol=0, atol=1e-6)
    assert 0 <= moved.min() < moved.max() <= 1


def test_fgsm_counts_those_that_stay_right():
    """301 images in parts of 250; in evaluation mode, so that no part depends on the others; gradients of parameters stay none."""
    made = trained()
    found = fgsm_accuracy(made)["fgsm_accuracy"]
    assert made.model.training
    made.model.eval()
    x = attacked(made, made.data.test_x, made.data.test_y)
    right = made.model((x - made.images.mean) / made.images.std).argmax(1) == made.data.test_y
    assert found == pytest.approx(right.double().mean().item(), abs=1 / 302)
    assert (
        found
        < 0.8
        < 0.9
        <= (made.model(made.images.normalise(made.data.test_x)).argmax(1) == made.data.test_y).double().mean() + 0.01
    )
    assert all(p.grad is None for p in made.model.parameters())
