"""Augmentation by batch against one image at a time, and its determinism."""

from __future__ import annotations

import pytest
import torch

from bench.seeding import generator
from bench.tasks.classification.augment import Augmenter

MEAN, STD = [0.4, 0.5, 0.6], [0.2, 0.25, 0.3]


def images(n: int = 64, size: int = 12) -> torch.Tensor:
    return torch.randint(0, 256, (n, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def plain(x: torch.Tensor) -> torch.Tensor:
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (MEAN, STD))
    return (x.float() / 255 - mean) / std


@pytest.mark.parametrize("channels_last", [False, True])
def test_each_image_is_a_mirrored_or_plain_crop_of_its_padded_self(channels_last):
    x, chosen = images(), torch.randperm(64)[:40]
    augment = Augmenter(x, MEAN, STD, crop_padding=2, flip=True, channels_last=channels_last)
    batch = augment.batch(chosen, generator(0, "augment", 0))
    assert batch.is_contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
    padded, kinds = torch.nn.functional.pad(x, (2, 2, 2, 2)), set()
    for out, k in zip(batch, chosen):
        matches = [
            (top, left, mirrored)
            for top in range(5)
            for left in range(5)
            for mirrored in (False, True)
            if torch.allclose(out, plain(_crop(padded[k], top, left, mirrored)), atol=1e-5)
        ]
        assert len(matches) == 1
        kinds.add(matches[0])
    assert len({(top, left) for top, left, _ in kinds}) > 12
    assert {mirrored for *_, mirrored in kinds} == {False, True}


def _crop(x: torch.Tensor, top: int, left: int, mirrored: bool) -> torch.Tensor:
    window = x[:, top : top + 12, left : left + 12]
    return window.flip(2) if mirrored else window


def test_crop_offsets_and_mirroring_are_uniform():
    x = torch.zeros(1, 1, 4, 4, dtype=torch.uint8)
    x[0, 0, 0, 0] = 255
    augment = Augmenter(x, [0.0], [1.0], crop_padding=1, flip=True)
    batch = augment.batch(torch.zeros(18_000, dtype=torch.long), generator(0, "augment", 1)) > 0.5
    row, column = batch[:, 0].any(2).float(), batch[:, 0].any(1).float()
    assert abs(row[:, 0].mean() - (1 / 3) * (2 / 3)) < 0.015, "kept, and shifted to row 0: one of three offsets"
    assert abs(batch.flatten(1).any(1).float().mean() - 4 / 9) < 0.015
    assert abs(column[:, :2].any(1).float().mean() - column[:, 2:].any(1).float().mean()) < 0.015


def test_one_stream_gives_one_batch():
    augment = Augmenter(images(), MEAN, STD, crop_padding=2, flip=True, cutout=4)
    first, again, other = (augment.batch(torch.arange(32), generator(0, "augment", k)) for k in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_without_augmentation_it_only_normalises():
    x = images()
    augment = Augmenter(x, MEAN, STD)
    expected = plain(x[:9])
    torch.testing.assert_close(augment.batch(torch.arange(9), generator(0, "augment")), expected)
    torch.testing.assert_close(augment.plain(torch.arange(9)), expected)


def test_cutout_blanks_one_square_around_a_centre_inside_the_image():
    x = torch.full((500, 3, 12, 12), 255, dtype=torch.uint8)
    batch = Augmenter(x, MEAN, STD, cutout=4).batch(torch.arange(500), generator(0, "augment"))
    blank = (batch == 0).all(1)
    rows, columns = blank.any(2).sum(1), blank.any(1).sum(1)
    assert torch.equal(blank.sum((1, 2)), rows * columns), "a rectangle"
    assert rows.max() == 4
    assert rows.min() == 2, "half of it at the border"
    assert (rows == 4).float().mean() > 0.6
