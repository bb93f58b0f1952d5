"""Corruptions against SciPy, Pillow, colorsys and programs that walk from pixel to pixel."""

from __future__ import annotations

import colorsys
from io import BytesIO
from itertools import product

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage, stats

from bench.errors import UserError
from bench.tasks.classification import distortions as d
from bench.tasks.classification.corruptions import ALL, BLOCK, FAMILIES, SEVERITIES, STANDARD, corrupt, fitting

EVERY = list(product(ALL, SEVERITIES))


def images(n: int = 3, channels: int = 3, side: int = 32, seed: int = 0) -> torch.Tensor:
    """Smooth colours with grey, black and white pixels among them."""
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.normal(size=(n, channels, side, side)), (0, 0, 3, 3), mode="wrap")
    made = np.clip(128 + 600 * smooth, 0, 255).astype(np.uint8)
    made[:, :, 0, :3] = [0, 255, 77][:side]
    return torch.from_numpy(made)


class Given:
    """Random numbers from NumPy, kept for the reference."""

    def __init__(self, n: int) -> None:
        self.n, self.rng, self.given = n, np.random.default_rng(5), []

    def uniform(self, *shape: int) -> torch.Tensor:
        return self._keep(self.rng.random((self.n, *shape)))

    def normal(self, *shape: int) -> torch.Tensor:
        return self._keep(self.rng.normal(size=(self.n, *shape)))

    def _keep(self, values: np.ndarray) -> torch.Tensor:
        self.given.append(values)
        return torch.from_numpy(values)


def rows(x: torch.Tensor) -> np.ndarray:
    """[N, H, W, C] from 0 to 1."""
    return x.permute(0, 2, 3, 1).double().numpy() / 255


def near(name: str, severity: int, wanted: np.ndarray, x: torch.Tensor) -> None:
    """Bytes [N, H, W, C] as the reference's values from 0 to 1 cut off, and nearly nowhere the next one."""
    found = corrupt(x, name, severity).permute(0, 2, 3, 1).numpy().astype(int)
    apart = np.abs(found - np.uint8(np.clip(wanted, 0, 1) * 255).astype(int))
    assert apart.max() <= 1
    assert (apart > 0).mean() < 0.06
    exact = np.clip(wanted, 0, 1) * 255
    assert (exact - found).max() < 1 + 1e-3, "cut off and not rounded"
    assert (exact - found).min() > -1e-3


@pytest.mark.parametrize(("severity", "sd"), list(zip(SEVERITIES, (0.4, 0.6, 0.7, 0.8, 1))))
def test_gaussian_blur_is_scipy_s(severity, sd):
    x = images()
    near("gaussian_blur", severity, ndimage.gaussian_filter(rows(x), (0, sd, sd, 0), mode="nearest", truncate=4.0), x)


@pytest.mark.parametrize(
    ("severity", "radius", "soft"), [(1, 0.3, 0.4), (2, 0.4, 0.5), (3, 0.5, 0.6), (4, 1, 0.2), (5, 1.5, 0.1)]
)
def test_defocus_is_a_softened_disk_mirrored_at_the_border(severity, radius, soft):
    at = np.arange(-8, 9)
    disk = (at**2 + at[:, None] ** 2 <= radius**2).astype(float)
    taps = np.exp(-np.array([1, 0, 1]) / (2 * soft**2))
    kernel = ndimage.convolve(disk / disk.sum(), np.outer(taps, taps) / taps.sum() ** 2)
    x = images()
    wanted = [ndimage.correlate(c, kernel, mode="mirror") for i in rows(x) for c in i.transpose(2, 0, 1)]
    near("defocus_blur", severity, np.stack(wanted).reshape(3, 3, 32, 32).transpose(0, 2, 3, 1), x)


@pytest.mark.parametrize(("severity", "end"), list(zip(SEVERITIES, (1.06, 1.11, 1.16, 1.21, 1.26))))
def test_zoom_blur_is_the_mean_of_scipy_s_zooms(severity, end):
    def zoomed(image: np.ndarray, zoom: float) -> np.ndarray:
        cut = int(np.ceil(32 / zoom))
        top = (32 - cut) // 2
        large = ndimage.zoom(image[top : top + cut, top : top + cut], (zoom, zoom, 1), order=1)
        top = (len(large) - 32) // 2
        return large[top : top + 32, top : top + 32]

    x, zooms = images(), np.arange(1, end, 0.01)
    wanted = [(i + sum(zoomed(i, z) for z in zooms)) / (len(zooms) + 1) for i in rows(x).astype(np.float32)]
    near("zoom_blur", severity, np.stack(wanted), x)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_brightness_and_saturation_are_colorsys_s(severity):
    more = (0.05, 0.1, 0.15, 0.2, 0.3)[severity - 1]
    times, plus = ((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2))[severity - 1]
    x = images(1, side=16)

    def each(change):
        flat = [colorsys.hsv_to_rgb(*change(*colorsys.rgb_to_hsv(*pixel))) for pixel in rows(x).reshape(-1, 3)]
        return np.array(flat).reshape(1, 16, 16, 3)

    near("brightness", severity, each(lambda h, s, v: (h, s, min(v + more, 1))), x)
    near("saturate", severity, each(lambda h, s, v: (h, min(max(s * times + plus, 0), 1), v)), x)


def test_contrast_by_hand():
    """A channel of 0 and 200, mean 100: at severity 2 half the distance remains."""
    x = torch.zeros(1, 3, 4, 4, dtype=torch.uint8)
    x[:, :, :2] = 200
    made = corrupt(x, "contrast", 2)
    assert set(made[:, :, :2].flatten().tolist()) <= {149, 150}
    assert set(made[:, :, 2:].flatten().tolist()) <= {49, 50}


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("channels", [1, 3])
def test_codecs_are_pillow_s(severity, channels):
    x = images(2, channels)
    share, quality = (0.95, 0.9, 0.85, 0.75, 0.65)[severity - 1], (80, 65, 58, 50, 40)[severity - 1]
    for image, small, coded in zip(x, corrupt(x, "pixelate", severity), corrupt(x, "jpeg_compression", severity)):
        pillow = Image.fromarray(image.permute(1, 2, 0).numpy().squeeze())
        resized = pillow.resize((int(32 * share),) * 2, Image.Resampling.BOX).resize((32, 32), Image.Resampling.BOX)
        assert np.array_equal(small.permute(1, 2, 0).numpy().squeeze(), np.asarray(resized))
        file = BytesIO()
        pillow.save(file, format="JPEG", quality=quality)
        assert np.array_equal(coded.permute(1, 2, 0).numpy().squeeze(), np.asarray(Image.open(file)))


def test_glass_is_a_walk_from_the_last_pixel_to_the_first():
    """The released program's exchange through views: the pixel takes its neighbour's value, and the neighbour keeps it."""
    x, given = images(2, side=12), Given(2)
    found = d.glass_blur(x.double() / 255, (0.4, 2), given)
    draws = iter(given.given)
    blurred = ndimage.gaussian_filter(rows(x), (0, 0.4, 0.4, 0), mode="nearest", truncate=4.0)
    walked = np.uint8(blurred * 255)
    for _ in range(2):
        up, left = next(draws) < 0.5, next(draws) < 0.5
        for n, h, w in product(range(2), range(11, 1, -1), range(11, 1, -1)):
            one, other = walked[n, h, w], walked[n, h - up[n, h, w], w - left[n, h, w]]
            one[:], other[:] = other, one
    wanted = ndimage.gaussian_filter(walked / 255, (0, 0.4, 0.4, 0), mode="nearest", truncate=4.0)
    np.testing.assert_allclose(found.permute(0, 2, 3, 1).numpy(), wanted, atol=1e-9)


def test_the_clouds_are_the_diamond_square_algorithm():
    side, decay = 16, 2.5
    u = np.random.default_rng(1).random((2, side, side))
    wanted = np.zeros_like(u)
    for n in range(2):
        a, step, w = wanted[n], side, 100.0
        while step >= 2:
            h = step // 2

            def rough(i, j, neighbours, n=n, a=a, w=w):
                near = sum(a[(i + p) % side, (j + q) % side] for p, q in neighbours) / 4
                a[i, j] = near + w * (2 * w * u[n, i, j] - w)

            for i, j in product(range(h, side, step), range(h, side, step)):
                rough(i, j, [(-h, -h), (-h, h), (h, -h), (h, h)])
            beside = [(-h, 0), (h, 0), (0, -h), (0, h)]
            for i, j in [*product(range(0, side, step), range(h, side, step))]:
                rough(i, j, beside)
            for i, j in [*product(range(h, side, step), range(0, side, step))]:
                rough(i, j, beside)
            step, w = h, w / decay
        wanted[n] = (a - a.min()) / (a - a.min()).max()
    np.testing.assert_allclose(d.plasma(torch.from_numpy(u), decay).numpy(), wanted, atol=1e-9)


def test_fog_keeps_the_brightest_value_within_bounds():
    x, given = images(2) // torch.tensor([1, 2, 3]).view(3, 1, 1), Given(2)  # the brightest value of all channels
    found = d.fog(x.double() / 255, (0.75, 2.5), given)
    clouds = d.plasma(torch.from_numpy(given.given[0]), 2.5).numpy()[..., None]
    most = rows(x).max((1, 2, 3), keepdims=True)
    np.testing.assert_allclose(found.permute(0, 2, 3, 1), (rows(x) + 0.75 * clouds) * most / (most + 0.75), atol=1e-12)


def test_noise_is_what_its_draws_make_of_it():
    x = images(2).double() / 255
    given = Given(2)
    torch.testing.assert_close(d.gaussian_noise(x, 0.08, given), x + 0.08 * torch.from_numpy(given.given[0]))
    given = Given(2)
    torch.testing.assert_close(d.speckle_noise(x, 0.2, given), x * (1 + 0.2 * torch.from_numpy(given.given[0])))


@pytest.mark.parametrize(("severity", "photons"), list(zip(SEVERITIES, (500, 250, 100, 75, 50))))
def test_shot_noise_is_the_inverse_of_each_level_s_poisson_law(severity, photons):
    """Against SciPy's quantiles: every level with a hundred uniforms, 0 stays 0."""
    x = torch.arange(256).repeat(100, 1).view(100, 1, 16, 16).double() / 255
    given = Given(100)
    counts = d.shot_noise(x, photons, given).numpy() * photons
    wanted = stats.poisson.ppf(given.given[0], x.numpy() * photons)
    np.testing.assert_allclose(counts, np.where(x.numpy() == 0, 0, wanted), atol=1e-9)
    assert ALL["shot_noise"].strengths[severity - 1] == photons


def test_impulses_are_black_and_white_in_equal_shares_of_single_values():
    x = torch.full((200, 3, 32, 32), 100, dtype=torch.uint8)
    for severity, share in zip(SEVERITIES, (0.01, 0.02, 0.03, 0.05, 0.07)):
        made = corrupt(x, "impulse_noise", severity)
        for value in (0, 255):
            hits = int((made == value).sum())
            assert abs(hits / x.numel() - share / 2) < 5 * (share / 2 / x.numel()) ** 0.5
        assert set(made.unique().tolist()) == {0, 100, 255}


@pytest.mark.parametrize(("name", "severity"), [pair for pair in EVERY if pair[1] in (1, 4)])
def test_a_set_in_parts_is_the_set_in_one(name, severity):
    x = images(BLOCK + 6, side=8)
    whole = corrupt(x, name, severity, seed=3)
    parts = [corrupt(x[a:b], name, severity, seed=3, first=a) for a, b in ((0, 5), (5, BLOCK + 1), (BLOCK + 1, None))]
    assert torch.equal(whole, torch.cat(parts))
    assert whole.dtype == torch.uint8
    assert whole.shape == x.shape
    assert torch.equal(x, images(BLOCK + 6, side=8)), "the images stay as they are"


RANDOM = ("gaussian_noise", "shot_noise", "impulse_noise", "glass_blur", "fog", "speckle_noise")


@pytest.mark.parametrize("name", ALL)
def test_what_is_random_depends_on_the_seed_and_nothing_else_does(name):
    x = images(2)
    same = torch.equal(corrupt(x, name, 3, seed=0), corrupt(x, name, 3, seed=1))
    assert same == (name not in RANDOM)
    twins = corrupt(x[:1].repeat(2, 1, 1, 1), name, 3)
    assert torch.equal(twins[0], twins[1]) == (name not in RANDOM), "each image has numbers of its own"


@pytest.mark.parametrize("name", [n for n in ALL if n != "saturate"])
def test_severity_five_changes_more_than_severity_one(name):
    x = images(4)
    first, last = ((corrupt(x, name, s).float() - x.float()).abs().mean() for s in (1, 5))
    assert 0.1 < first < last


def test_grey_images_have_all_but_saturation():
    x = images(2, channels=1)
    for name in fitting(STANDARD, 1):
        assert corrupt(x, name, 5).shape == x.shape
    assert fitting(FAMILIES["extra"], 1) == ("gaussian_blur", "speckle_noise")
    assert len(STANDARD) == 11
    assert set(STANDARD) | set(FAMILIES["extra"]) == set(ALL)


@pytest.mark.parametrize(
    ("x", "name", "severity", "line"),
    [
        (images(1), "gausian_noise", 1, "unknown; allowed: .*did you mean 'gaussian_noise'"),
        (images(1), "fog", 6, "severity = 6: expected 1 to 5"),
        (images(1, channels=2, side=1), "fog", 1, "found 2 channels of 1 x 1"),
        (images(1, side=3), "fog", 1, "at least 4 x 4; found 3 channels of 3 x 3"),
        (images(1, channels=1), "saturate", 1, "needs images in colour"),
    ],
)
def test_what_cannot_be_is_one_line(x, name, severity, line):
    with pytest.raises(UserError, match=line):
        corrupt(x, name, severity)
