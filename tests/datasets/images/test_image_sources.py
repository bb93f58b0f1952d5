"""Image data: layouts, sizes, splits, label noise, and the lines for missing and damaged files."""

from __future__ import annotations

import gzip
import pickle
import struct

import numpy as np
import pytest
import torch

from bench.errors import UserError
from bench.tasks.classification.images import LabelledImages
from datasets.images.cifar import cifar10, cifar100
from datasets.images.digits import digits
from datasets.images.mnist import mnist, read_idx


@pytest.fixture
def no_network(monkeypatch):
    import urllib.request

    def refuse(*args, **kwargs):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)


def write_cifar10(root, rng, size=10_000) -> None:
    folder = root / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    for name in [*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin"]:
        rows = rng.integers(0, 256, (size, 3073), dtype=np.uint8)
        rows[:, 0] %= 10
        rows.tofile(folder / name)
    (folder / "batches.meta.txt").write_text("\n".join(f"class{k}" for k in range(10)) + "\n")


@pytest.fixture(scope="module")
def cifar_root(tmp_path_factory):
    root = tmp_path_factory.mktemp("cifar")
    write_cifar10(root, np.random.default_rng(0))
    return root


def test_cifar10_binary_layout_reads_label_then_planes(cifar_root):
    data = cifar10(str(cifar_root), 0, classes=[3, 5])
    record = np.fromfile(cifar_root / "cifar-10-batches-bin/data_batch_1.bin", dtype=np.uint8).reshape(-1, 3073)
    first = record[np.isin(record[:, 0], [3, 5])][0]
    wanted = torch.from_numpy(first[1:].reshape(3, 32, 32).copy())
    at = (data.train_x == wanted).flatten(1).all(1).nonzero().item()
    assert data.train_y[at] == [3, 5].index(first[0])
    assert data.class_names == ["class3", "class5"]


def test_cifar10_python_layout_gives_the_same_images(cifar_root, tmp_path):
    """The same pixels in torchvision's pickled layout."""
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    names = [(f"data_batch_{k}.bin", f"data_batch_{k}") for k in range(1, 6)] + [("test_batch.bin", "test_batch")]
    for source, target in names:
        rows = np.fromfile(cifar_root / "cifar-10-batches-bin" / source, dtype=np.uint8).reshape(-1, 3073)
        (folder / target).write_bytes(pickle.dumps({"data": rows[:, 1:], "labels": rows[:, 0].tolist()}))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": [f"class{k}" for k in range(10)]}))
    assert (
        cifar10(str(tmp_path), 0, train_size=500).fingerprint()
        == cifar10(str(cifar_root), 0, train_size=500).fingerprint()
    )


def test_a_truncated_file_names_its_size(cifar_root, tmp_path):
    import shutil

    shutil.copytree(cifar_root, tmp_path / "copy")
    path = tmp_path / "copy/cifar-10-batches-bin/data_batch_3.bin"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(
        UserError, match=r"data_batch_3.bin is damaged: expected records of 3,073 bytes, found 1,000 bytes"
    ):
        cifar10(str(tmp_path / "copy"), 0)
    path.unlink()
    with pytest.raises(UserError, match=r"incomplete: data_batch_3.bin not found"):
        cifar10(str(tmp_path / "copy"), 0)


@pytest.mark.parametrize(
    ("load", "folders"),
    [
        (cifar10, ["cifar-10-batches-bin", "cifar-10-batches-py"]),
        (cifar100, ["cifar-100-binary"]),
        (mnist, ["MNIST/raw"]),
    ],
)
def test_missing_data_says_where_it_looked_and_the_two_ways(load, folders, tmp_path, no_network):
    with pytest.raises(UserError) as caught:
        load(str(tmp_path), 0)
    line = str(caught.value)
    assert "\n" not in line
    for text in (*folders, str(tmp_path), "torchvision downloads it", "unpack", "data_root=DIR"):
        assert text in line


def idx(array: np.ndarray) -> bytes:
    return b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def test_mnist_reads_idx_plain_and_gzipped(tmp_path):
    rng, folder = np.random.default_rng(0), tmp_path / "MNIST/raw"
    folder.mkdir(parents=True)
    x, y = rng.integers(0, 256, (50, 28, 28), dtype=np.uint8), np.arange(50, dtype=np.uint8) % 10
    for split in ("train", "t10k"):
        (folder / f"{split}-images-idx3-ubyte").write_bytes(idx(x))
        (folder / f"{split}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(y)))
    data = mnist(str(tmp_path), 0)
    assert data.train_x.shape == (50, 1, 28, 28)
    order = data.train_x.flatten(1).long().sum(1).argsort()
    expected = torch.from_numpy(x).flatten(1).long().sum(1).argsort()
    assert torch.equal(data.train_x[order][:, 0], torch.from_numpy(x)[expected])
    assert torch.equal(data.train_y[order], torch.from_numpy(y).long()[expected])


@pytest.mark.parametrize("content", [b"", b"\0\0\x08\x01\0\0\0\x05abc", b"not idx at all"])
def test_a_damaged_idx_file_is_one_line(content, tmp_path):
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(UserError, match="is damaged"):
        read_idx(path)


# ---- selection, on the embedded digits


def rows(x: torch.Tensor) -> set[bytes]:
    return {image.numpy().tobytes() for image in x}


def counts(y: torch.Tensor) -> torch.Tensor:
    return torch.bincount(y, minlength=10)


def test_digits_are_scikit_learns():
    from sklearn.datasets import load_digits

    data = digits("", 0)
    assert (len(data.train_y), len(data.test_y), len(data.val_y)) == (1437, 360, 0)
    ours = torch.cat([data.train_x, data.test_x])
    images, labels = load_digits(return_X_y=True)
    assert rows(ours) == rows(torch.from_numpy(np.rint(images * 255 / 16).astype(np.uint8)))
    assert torch.equal(counts(torch.cat([data.train_y, data.test_y])), counts(torch.from_numpy(labels)))
    assert not data.mirror


def test_sizes_are_exact_stratified_and_disjoint():
    data = digits("", 0, train_size=333, val_size=100, test_size=77)
    assert (len(data.train_y), len(data.val_y), len(data.test_y)) == (333, 100, 77)
    assert (counts(data.val_y) - counts(digits("", 0).train_y) * 100 / 1437).abs().max() <= 1
    assert not rows(data.train_x) & rows(data.val_x)


def test_the_split_depends_on_split_seed_alone():
    base = digits("", 0, val_size=100)
    assert base.fingerprint() == digits("", 7, val_size=100).fingerprint()
    assert base.fingerprint() != digits("", 0, val_size=100, split_seed=1).fingerprint()


def test_label_noise_hits_its_share_of_the_training_labels_only():
    data = digits("", 0, label_noise=0.25, val_size=100)
    wrong = data.train_y != data.train_y_clean
    assert wrong.sum() == round(0.25 * len(data.train_y))
    assert len(set(((data.train_y - data.train_y_clean) % 10)[wrong].tolist())) == 9, "every other class occurs"
    clean = digits("", 0, val_size=100)
    assert torch.equal(data.train_y_clean, clean.train_y)
    assert torch.equal(data.val_y, clean.val_y)
    assert torch.equal(data.test_y, clean.test_y)


@pytest.mark.parametrize(
    "more",
    [
        {"train_size": 2000},
        {"train_size": 1400, "val_size": 100},
        {"test_size": 361},
        {"classes": [1]},
        {"classes": [1, 10]},
    ],
)
def test_impossible_selections_are_one_line(more):
    with pytest.raises(UserError, match=next(iter(more))):
        digits("", 0, **more)


def test_moments_are_those_of_the_training_images():
    data = digits("", 0, train_size=200)
    x = data.train_x.double() / 255
    np.testing.assert_allclose([data.mean[0], data.std[0]], [x.mean(), x.std(correction=0)], rtol=1e-9)
    assert isinstance(data, LabelledImages)
