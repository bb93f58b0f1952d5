"""The images of NAME: shapes, classes, and that a seed fixes them."""

from __future__ import annotations

import torch

from datasets.NAME import NAME


def test_images_and_labels():
    data = NAME("", 0, train_size=60, val_size=10, test_size=20)
    assert data.train_x.shape == (60, 1, 8, 8)  # FILL IN: what is known of the source: counts, a digest, a first label
    assert data.train_x.dtype == torch.uint8
    assert set(data.test_y.tolist()) == {0, 1}


def test_a_seed_fixes_them():
    one, again, other = (NAME("", seed, train_size=20, test_size=10).train_x for seed in (0, 0, 1))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
