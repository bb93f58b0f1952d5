"""SVHN's MATLAB files: where pixels and labels lie, and the lines for missing and damaged ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.io import loadmat, savemat

from bench.errors import UserError
from datasets.images.svhn import svhn


@pytest.fixture
def root(tmp_path):
    rng = np.random.default_rng(0)
    for name, n in (("train", 60), ("test", 30)):
        x, y = rng.integers(0, 256, (32, 32, 3, n), dtype=np.uint8), np.arange(n, dtype=np.uint8)[:, None] % 10 + 1
        savemat(tmp_path / f"{name}_32x32.mat", {"X": x, "y": y}, do_compression=True)
    return tmp_path


def test_rows_columns_channels_and_the_label_10(root):
    data, file = svhn(str(root), 0), loadmat(root / "test_32x32.mat")
    assert (len(data.train_y), len(data.test_y), data.mirror) == (60, 30, False)
    for k in (0, 9, 17):
        wanted = torch.tensor(file["X"][:, :, :, k]).permute(2, 0, 1)
        at = (data.test_x == wanted).flatten(1).all(1).nonzero().item()
        assert data.test_y[at] == int(file["y"][k, 0]) % 10


def test_missing_and_damaged_files_are_one_line(root):
    path = root / "test_32x32.mat"
    whole = path.read_bytes()
    path.write_bytes(whole[:200])
    with pytest.raises(UserError, match=r"test_32x32.mat is damaged: no MATLAB file"):
        svhn(str(root), 0)
    savemat(path, {"X": np.zeros((32, 32, 3, 4), np.uint8), "y": np.array([0, 1, 2, 3])})
    with pytest.raises(UserError, match=r"labels y from 1 to 10, one for each of 4 images"):
        svhn(str(root), 0)
    savemat(path, {"X": np.zeros((32, 32, 4), np.uint8), "y": np.array([1])})
    with pytest.raises(UserError, match=r"expected images X"):
        svhn(str(root), 0)
    path.unlink()
    with pytest.raises(UserError, match=r"test_32x32.mat not found, the other part is there"):
        svhn(str(root), 0)
