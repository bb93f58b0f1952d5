"""Clothing1M's layout, on a folder of generated images."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from bench.errors import UserError
from datasets.valuation.clothing1m import MEAN, clothing1m, read_image

PARTS = {"noisy_train": 20, "clean_val": 8, "clean_test": 5}


@pytest.fixture(params=["annotations", "."])
def root(request, tmp_path):
    """Images of one colour, (10 label, 100, index), of several shapes."""
    folder = tmp_path / "clothing1M"
    lists = folder / request.param
    lists.mkdir(parents=True)
    labels = {"noisy": [], "clean": []}
    for part, count in PARTS.items():
        keys = []
        for k in range(count):
            key, label = f"images/{k % 3}/{part}{k}.jpg", (3 * k + len(part)) % 14
            (folder / key).parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", [(60, 90), (120, 70), (40, 40)][k % 3], (10 * label, 100, 9 * k)).save(folder / key)
            keys.append(key)
            labels[part.split("_")[0]].append(f"{key} {label}")
        (lists / f"{part}_key_list.txt").write_text("\n".join(keys) + "\n")
    for name, rows in labels.items():
        (lists / f"{name}_label_kv.txt").write_text("\n".join(rows) + "\n")
    return tmp_path


def test_images_and_labels_belong_together_and_lists_are_the_parts(root):
    points = clothing1m(str(root), 0, image_size=32)
    assert points.train_x.shape == (20, 3, 32, 32)
    assert (len(points.reference_y), len(points.test_y), points.num_classes) == (8, 5, 14)
    for x, y in (
        (points.train_x, points.train_y),
        (points.reference_x, points.reference_y),
        (points.test_x, points.test_y),
    ):
        assert torch.equal((x[:, 0].float().mean((1, 2)) / 10).round().long(), y)
        assert (x[:, 1].float().mean((1, 2)) - 100).abs().max() < 4
    numbers = [int(key.removesuffix(".jpg").rpartition("train")[2]) for key in points.ids]
    assert sorted(numbers) == list(range(20))
    assert (points.train_x[:, 2].float().mean((1, 2)) / 9).round().tolist() == numbers
    assert points.corrupted is None
    assert points.mean == MEAN


def test_sizes_are_drawn_by_the_seed(root):
    one, again, other = (clothing1m(str(root), seed, train_size=7, test_size=0, image_size=16) for seed in (0, 0, 1))
    assert len(one.ids) == 7
    assert one.test_x is None
    assert one.ids == again.ids != other.ids
    with pytest.raises(UserError, match=r"dataset.reference_size = 9: the list has 8 images"):
        clothing1m(str(root), 0, reference_size=9)
    with pytest.raises(UserError, match=r"take .* GB, and this machine has"):
        clothing1m(str(root), 0, image_size=10**6)


def test_the_centre_is_cut_out(tmp_path):
    """Left third red, middle green, right blue, three times as wide as high: the centre is green."""
    pixels = np.zeros((64, 192, 3), np.uint8)
    for k in range(3):
        pixels[:, 64 * k : 64 * (k + 1), k] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    found = read_image(tmp_path / "a.png", 56)
    assert found.shape == (3, 56, 56)
    assert (found[1] > 250).all()
    assert (found[[0, 2]] < 5).all()


def test_what_is_missing_or_no_image_is_one_line(root):
    folder = root / "clothing1M"
    key = folder / "images/0/noisy_train0.jpg"
    key.write_bytes(b"no image")
    with pytest.raises(UserError, match=r"noisy_train0.jpg: no image that can be read"):
        clothing1m(str(root), 0, image_size=16)
    key.unlink()
    with pytest.raises(UserError, match=r"noisy_train0.jpg: no such image"):
        clothing1m(str(root), 0, image_size=16)
    labels = next(folder.rglob("noisy_label_kv.txt"))
    labels.write_text("images/0/noisy_train0.jpg 14\n")
    with pytest.raises(UserError, match=r"row 1: .*a label from 0 to 13"):
        clothing1m(str(root), 0)
    labels.write_text("images/0/noisy_train0.jpg 1\n")
    with pytest.raises(UserError, match=r"noisy_train1.jpg has no label in noisy_label_kv.txt"):
        clothing1m(str(root), 0)
    labels.unlink()
    with pytest.raises(UserError, match=r"data set 'clothing1m' not found: looked for .*noisy_label_kv.txt"):
        clothing1m(str(root), 0)


def test_an_image_outside_the_folder_is_not_read(root):
    folder = root / "clothing1M"
    next(folder.rglob("noisy_train_key_list.txt")).write_text("../secret.jpg\n")
    labels = next(folder.rglob("noisy_label_kv.txt"))
    labels.write_text(labels.read_text() + "../secret.jpg 3\n")
    with pytest.raises(UserError, match="lies outside"):
        clothing1m(str(root), 0)
