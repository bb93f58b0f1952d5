"""Pairs of public and private images: which images are which, sizes, seeds, and the one line for what is missing."""

from __future__ import annotations

import data_layouts
import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from bench.errors import UserError
from bench.tasks.generation.pair import Pair
from datasets.images import emnist
from datasets.pairs.cifar10 import private_cifar10
from datasets.pairs.digits import private_digits
from datasets.pairs.making import resized
from datasets.pairs.mnist import private_mnist


def rows(x: torch.Tensor) -> set[bytes]:
    return {image.numpy().tobytes() for image in x}


def parts(pair: Pair) -> dict[str, set[bytes]]:
    return {name: rows(getattr(pair, f"{name}_x")) for name in ("public", "private", "held")}


def test_digits_are_public_or_private_by_their_class_and_none_is_two_things():
    pair = private_digits("", 0)
    x, y = load_digits(return_X_y=True)
    bytes_of = {np.rint(image * (255 / 16)).astype(np.uint8).tobytes(): int(digit) for image, digit in zip(x, y)}
    assert (len(pair.public_y), len(pair.private_y), len(pair.held_y)) == (896, 720, 181)
    for part, first in (("public", 5), ("private", 0), ("held", 0)):
        images, labels = getattr(pair, f"{part}_x"), getattr(pair, f"{part}_y")
        assert [bytes_of[image.numpy().tobytes()] - first for image in images] == labels.tolist()
    found = parts(pair)
    assert not found["private"] & found["held"]
    assert not found["public"] & (found["private"] | found["held"])
    assert (pair.public_classes, pair.num_classes, pair.conditional, pair.shape) == (5, 5, True, (1, 8, 8))
    assert pair.class_names == ("0", "1", "2", "3", "4")


def test_seeds_of_a_run_share_the_images_and_a_split_seed_has_others():
    one, again, other = (
        private_digits("", seed, private_size=50, split_seed=split) for seed, split in ((0, 0), (7, 0), (0, 1))
    )
    assert one.digest("private") == again.digest("private") != other.digest("private")
    assert torch.bincount(one.private_y).tolist() == [10] * 5
    with pytest.raises(UserError, match=r"dataset.held_size = 182: there are 181 images"):
        private_digits("", 0, held_size=182)


@pytest.fixture
def mnist_root(tmp_path):
    """60 training and 30 test images, whose first pixel is their place, and letters whose rows are 0, 1, ..., as the files hold them transposed."""
    for names, count in ((data_layouts.MNIST[:2], 60), (data_layouts.MNIST[2:], 30)):
        images = np.zeros((count, 28, 28), np.uint8)
        images[:, 0, 0], images[:, 0, 1] = np.arange(count), count
        data_layouts.put(tmp_path / "MNIST/raw" / names[0], data_layouts.idx(images))
        data_layouts.put(tmp_path / "MNIST/raw" / names[1], data_layouts.idx((np.arange(count) % 10).astype(np.uint8)))
    for part in ("train", "test"):
        upright = np.broadcast_to(np.arange(28, dtype=np.uint8)[:, None], (52, 28, 28))
        folder = tmp_path / "EMNIST/raw"
        data_layouts.put(
            folder / f"emnist-letters-{part}-images-idx3-ubyte", data_layouts.idx(upright.transpose(0, 2, 1).copy())
        )
        data_layouts.put(
            folder / f"emnist-letters-{part}-labels-idx1-ubyte",
            data_layouts.idx((np.arange(52) % 26 + 1).astype(np.uint8)),
        )
    return tmp_path


def test_mnist_beside_its_other_digits(mnist_root):
    pair = private_mnist(str(mnist_root), 0, public="digits")
    assert (len(pair.public_y), len(pair.private_y), len(pair.held_y)) == (45, 30, 15)
    assert (pair.private_x[:, 0, 0, 0] % 10).tolist() == pair.private_y.tolist()
    assert (pair.public_x[:, 0, 0, 0] % 10 - 5).tolist() == pair.public_y.tolist()
    assert set(pair.private_x[:, 0, 0, 1].tolist()) == {60}  # training images
    assert set(pair.held_x[:, 0, 0, 1].tolist()) == {30}  # test images
    assert (pair.public_classes, pair.num_classes) == (5, 5)


def test_mnist_beside_letters(mnist_root):
    pair = private_mnist(str(mnist_root), 0, image_size=14)
    assert (len(pair.public_y), len(pair.private_y), len(pair.held_y)) == (104, 60, 30)
    assert (pair.public_classes, pair.num_classes, pair.shape) == (26, 10, (1, 14, 14))
    assert torch.bincount(pair.public_y).tolist() == [4] * 26
    column = pair.public_x[0, 0, :, 0].long()  # upright: values rise downwards
    assert (column.diff() > 0).all()
    assert (pair.public_x[0, 0].float().std(1) == 0).all()


def test_letters_that_are_missing_or_damaged_are_one_line(mnist_root, monkeypatch):
    folder = mnist_root / "EMNIST/raw"
    labels = folder / "emnist-letters-test-labels-idx1-ubyte"
    labels.write_bytes(data_layouts.idx(np.full(52, 27, np.uint8)))
    with pytest.raises(UserError, match=r"labels-idx1-ubyte is damaged: expected labels \[N\] from 1 to 26"):
        private_mnist(str(mnist_root), 0)
    labels.write_bytes(data_layouts.idx(np.ones(51, np.uint8)))
    with pytest.raises(UserError, match="51 labels for 52 images"):
        private_mnist(str(mnist_root), 0)
    labels.unlink()
    with pytest.raises(UserError, match="is incomplete: emnist-letters-test-labels-idx1-ubyte not found"):
        private_mnist(str(mnist_root), 0)
    for path in folder.iterdir():
        path.unlink()

    class Offline:
        class datasets:
            @staticmethod
            def EMNIST(*_, **__):
                raise OSError("no network")

    monkeypatch.setattr(emnist, "torchvision", lambda: Offline)
    with pytest.raises(UserError, match=r"data set 'emnist letters' not found: looked in .*EMNIST/raw"):
        private_mnist(str(mnist_root), 0)


def test_cifar10_beside_cifar100(tmp_path):
    """Private are the training images, held out the test images, public all of the other set."""
    ten = data_layouts.cifar10_binary(tmp_path)
    data_layouts.cifar100_binary(tmp_path)
    for k in range(1, 6):  # files whose images say in which file they are
        records = data_layouts.records()
        records[:, 1] = k
        (ten / f"data_batch_{k}.bin").write_bytes(records.tobytes())
    pair = private_cifar10(str(tmp_path), 0)
    assert (len(pair.public_y), len(pair.private_y), len(pair.held_y)) == (40, 100, 20)
    assert torch.bincount(pair.private_x[:, 0, 0, 0].long()).tolist() == [0, 20, 20, 20, 20, 20]
    small = private_cifar10(str(tmp_path), 0, image_size=8, private_size=10)
    assert small.shape == (3, 8, 8)
    assert torch.bincount(small.private_y).tolist() == [1] * 10
    assert pair.class_names == tuple(data_layouts.NAMES)


def test_images_shrink_by_averages_and_grow_between_neighbours(monkeypatch):
    monkeypatch.setattr("datasets.pairs.making.AT_ONCE", 2)
    x = torch.randint(256, (5, 3, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    assert resized(x, 8) is x
    mean = x.float().mean((2, 3))
    assert (resized(x, 1)[:, :, 0, 0].float() - mean).abs().max() < 8  # weights fall towards the border
    constant = torch.full((1, 1, 4, 4), 200, dtype=torch.uint8)
    assert set(resized(constant, 9).unique().tolist()) == set(resized(constant, 3).unique().tolist()) == {200}
    step = torch.tensor([0, 200], dtype=torch.uint8).expand(1, 1, 2, 2)
    assert resized(step, 4)[0, 0, 0].tolist() == [0, 50, 150, 200]
