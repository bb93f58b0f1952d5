"""AugMix: its operations against PIL's, the divergence by hand, and that its images are mixtures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mixing_points import batch, given, look, network
from PIL import Image, ImageOps
from scipy.stats import entropy

from methods.mixing import operations
from methods.mixing.augmix import augmix, chain, js_divergence


def pictures(n: int = 12, size: int = 16) -> torch.Tensor:
    rng = np.random.default_rng(0)
    spans = rng.integers(1, 256, n)
    x = np.stack([rng.integers(0, span, (3, size, size)) + rng.integers(0, 256 - span + 1) for span in spans])
    x[0] = 7  # one grey
    x[1, :, :8] = 255
    return torch.from_numpy(x.astype(np.uint8))


def by_pil(x: torch.Tensor, change) -> torch.Tensor:
    found = [np.asarray(change(Image.fromarray(one.permute(1, 2, 0).numpy()), i)) for i, one in enumerate(x)]
    return torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2)


def test_colours_are_pil_s_to_the_bit():
    x = pictures()
    strength = torch.linspace(0.1, 10, len(x), dtype=torch.float64)
    bits = [4 - int(s * 4 / 10) for s in strength]
    thresholds = [256 - int(s * 256 / 10) for s in strength]
    assert torch.equal(operations.autocontrast(x, strength), by_pil(x, lambda p, i: ImageOps.autocontrast(p)))
    assert torch.equal(operations.equalize(x, strength), by_pil(x, lambda p, i: ImageOps.equalize(p)))
    kept = [i for i, b in enumerate(bits) if b > 0]
    found = operations.posterize(x, strength)
    assert torch.equal(found[kept], by_pil(x, lambda p, i: ImageOps.posterize(p, max(bits[i], 1)))[kept])
    found = operations.solarize(x, strength)
    assert torch.equal(found, by_pil(x, lambda p, i: ImageOps.solarize(p, thresholds[i])))


@pytest.mark.parametrize("sign", [1, -1])
def test_places_are_pil_s(sign):
    """Nearest neighbours; at borders between pixels a rounding may fall otherwise."""
    x = pictures()
    strength = sign * torch.linspace(0.37, 3.1, len(x), dtype=torch.float64)

    def affine(coefficients):
        return by_pil(
            x,
            lambda p, i: p.transform(
                p.size, Image.Transform.AFFINE, coefficients(float(strength[i])), Image.Resampling.NEAREST
            ),
        )

    expected = {
        "rotate": by_pil(x, lambda p, i: p.rotate(30 * float(strength[i]) / 10, Image.Resampling.NEAREST)),
        "shear_x": affine(lambda s: (1, 0.03 * s, 0, 0, 1, 0)),
        "shear_y": affine(lambda s: (1, 0, 0, 0.03 * s, 1, 0)),
        "translate_x": affine(lambda s: (1, 0, int(s * (16 / 3) / 10), 0, 1, 0)),
        "translate_y": affine(lambda s: (1, 0, 0, 0, 1, int(s * (16 / 3) / 10))),
    }
    for name, wanted in expected.items():
        found = getattr(operations, name)(x, strength)
        assert float((found != wanted).double().mean()) < (0.02 if name in ("rotate",) else 0.001), name


def test_the_divergence_by_hand():
    g = torch.Generator().manual_seed(0)
    logits = [torch.randn(5, 4, generator=g) for _ in range(3)]
    p = np.stack([one.double().softmax(1).numpy() for one in logits])
    expected = np.mean([[entropy(p[i, r], p[:, r].mean(0)) for i in range(3)] for r in range(5)])
    assert float(js_divergence(logits)) == pytest.approx(expected, rel=1e-5)
    assert float(js_divergence([logits[0]] * 3)) == pytest.approx(0.0, abs=1e-6)


def test_a_mixed_image_lies_between_black_and_white_and_near_the_image():
    mean, std = torch.full((1, 3, 1, 1), 0.4), torch.full((1, 3, 1, 1), 0.3)
    x = (pictures().float() / 255 - mean) / std
    found = augmix(x, mean, std, generator=torch.Generator().manual_seed(0))
    back = found * std + mean
    assert back.min() > -1e-5
    assert back.max() < 1 + 1e-5
    assert not torch.equal(found, x)
    weak, strong = (
        (augmix(x, mean, std, severity=s, generator=torch.Generator().manual_seed(0)) - x).abs().mean()
        for s in (0.1, 10.0)
    )
    assert weak < strong


def test_chains_have_the_operations_that_their_depth_says():
    x = pictures()
    untouched = chain(
        x, torch.zeros(len(x), dtype=torch.long) + torch.arange(len(x)) % 2, 3.0, torch.Generator().manual_seed(1)
    )
    assert torch.equal(untouched[::2], x[::2])
    assert not torch.equal(untouched[1::2], x[1::2])


def test_the_loss_is_the_cross_entropy_and_twelve_times_the_divergence():
    x, y = batch(dtype=torch.float32)
    mean, std = torch.zeros(1, 3, 1, 1) + 0.5, torch.ones(1, 3, 1, 1)
    model = network(dtype=torch.float32)
    method = given("augmix", model, mean, std)
    loss, _, counts = look(method, model, x / 2, y, seed=4)
    g = torch.Generator().manual_seed(4)
    versions = [x / 2, *(augmix(x / 2, mean, std, generator=g) for _ in range(2))]
    logits = [model(v) for v in versions]
    expected = torch.nn.functional.cross_entropy(logits[0], y) + 12 * js_divergence(logits)
    torch.testing.assert_close(loss.float(), expected.detach())
    assert counts == [18]
    alone, _, counts = look(given("augmix", model, mean, std, consistency=0.0), model, x / 2, y, seed=4)
    torch.testing.assert_close(alone.float(), torch.nn.functional.cross_entropy(logits[1], y).detach())
    assert counts == [6]
