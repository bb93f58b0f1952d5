"""Embedders: what they compute, that a seed gives one, and what they refuse; features on disk: hit, miss and damage."""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import partial

import pytest
import torch
from conftest import DATA

from bench.errors import UserError
from bench.models.cifar_resnet import CifarResNet
from bench.tasks.valuation.embedders import EmbedderFunction, FeaturesAsTheyAre, Pixels, PublishedResNet20
from bench.tasks.valuation.embedding import embed
from bench.tasks.valuation.points import Points
from bench.tasks.valuation.trained_embedders import MLP, SmallCNN
from datasets.valuation.gaussian import gaussian_noisy
from datasets.valuation.noisy_images import noisy_images

with_weights = pytest.mark.skipif(
    not (DATA / "resnet_cifar10").is_dir(), reason=f"no published weights in {DATA.name}/resnet_cifar10"
)


@pytest.fixture(scope="module")
def points() -> Points:
    return noisy_images("", 0, source="digits", corruption="features", train_size=600, reference_size=300)


def mean_brightness(x: torch.Tensor) -> torch.Tensor:
    """A person's own embedder."""
    return x.flatten(2).mean(2)


def no_features(x: torch.Tensor) -> torch.Tensor:
    return x


def colours(n: int) -> Points:
    x = torch.randint(0, 256, (n, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    y = torch.arange(n) % 10
    return Points(x, y, x[:5], y[:5], 10, mean=(0.5,) * 3, std=(0.25,) * 3)


def test_pixels_are_normalised_and_the_points_stay_as_they_are(points):
    embedder, before = Pixels(), points.train_x.clone()
    embedder.prepare(points, 0)
    found = embedder(points.train_x)
    wanted = (points.train_x.double() / 255 - points.mean[0]) / points.std[0]
    torch.testing.assert_close(found.double(), wanted.flatten(1), atol=1e-5, rtol=1e-5)
    assert torch.equal(points.train_x, before)


def test_features_stay_as_they_are():
    points, embedder = gaussian_noisy("", 0, train_size=20), FeaturesAsTheyAre()
    embedder.prepare(points, 0)
    assert torch.equal(embedder(points.train_x), points.train_x)


def test_images_and_features_are_told_apart(points):
    features = gaussian_noisy("", 0, train_size=20)
    for embedder in (Pixels(), SmallCNN(), MLP(), PublishedResNet20(str(DATA))):
        with pytest.raises(UserError, match=r"takes images, and these points are features; model=features_as_they_are"):
            embedder.prepare(features, 0)
    with pytest.raises(UserError, match="these points are images; choose pixels"):
        FeaturesAsTheyAre().prepare(points, 0)


@pytest.mark.parametrize(("made", "width", "least"), [(MLP, 64, 0.9), (partial(SmallCNN, steps=150), 32, 0.8)])
def test_a_trained_embedder_knows_the_classes_and_depends_on_the_seed_alone(made, width, least, points):
    one, again, other = made(), made(), made()
    for embedder, seed in ((one, 1), (again, 1), (other, 2)):
        embedder.prepare(points, seed)
    right = (one(points.test_x).argmax(1) == points.test_y).double().mean()
    assert float(right) > least
    assert one.identity() == again.identity() != other.identity()
    assert torch.equal(one(points.test_x), again(points.test_x))
    features = made(layer="features")
    features.prepare(points, 1)
    assert features(points.test_x).shape == (360, width)
    assert (features(points.test_x) >= 0).all()  # after the ReLU, of the same network
    assert features.identity() != one.identity()


def test_training_leaves_the_generator_alone_and_sees_what_it_is_told(points):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    reference, train = MLP(steps=5), MLP(steps=5, trained_on="train")
    for embedder in (reference, train):
        embedder.prepare(points, 0)
    assert torch.equal(before, torch.get_rng_state())
    assert reference.identity() != train.identity()
    again = MLP(steps=5)
    again.prepare(replace(points, train_x=points.train_x * 0), 0)
    assert again.identity() == reference.identity()


@pytest.mark.data
@with_weights
@pytest.mark.skipif(not (DATA / "cifar-10-batches-bin").is_dir(), reason=f"no CIFAR-10 in {DATA.name}")
def test_the_published_network_knows_cifar_10_and_its_features_give_its_logits():
    points = noisy_images(str(DATA), 0, source="cifar10", train_size=20, reference_size=200)
    logits, features = PublishedResNet20(str(DATA)), PublishedResNet20(str(DATA), layer="features")
    for embedder in (logits, features):
        embedder.prepare(points, 0)
    with torch.no_grad():
        found = logits(points.reference_x)
    assert float((found.argmax(1) == points.reference_y).double().mean()) > 0.95
    state = torch.load(DATA / "resnet_cifar10/resnet20-12fca82f.th", map_location="cpu", weights_only=True)[
        "state_dict"
    ]
    weight, bias = state["module.linear.weight"], state["module.linear.bias"]
    torch.testing.assert_close(features(points.reference_x) @ weight.T + bias, found, atol=1e-4, rtol=1e-4)
    assert features.identity() != logits.identity()


def test_other_weights_absent_ones_and_other_images_are_one_line(tmp_path, points):
    with pytest.raises(UserError, match=r"takes colour images of 32 x 32, these are \[1, 8, 8\]"):
        PublishedResNet20(str(tmp_path)).prepare(points, 0)
    with pytest.raises(UserError, match=r"published weights not found: looked for .*resnet20-12fca82f.th"):
        PublishedResNet20(str(tmp_path)).prepare(colours(4), 0)
    (tmp_path / "resnet_cifar10").mkdir()
    torch.save({"state_dict": CifarResNet(20, 3, 10).state_dict()}, tmp_path / "resnet_cifar10/resnet20-12fca82f.th")
    with pytest.raises(UserError, match=r"is not the published file: sha256"):
        PublishedResNet20(str(tmp_path)).prepare(colours(4), 0)


def test_a_function_of_a_person_s_own(points):
    embedder = EmbedderFunction(function="test_embedders.mean_brightness")
    embedder.prepare(points, 0)
    assert embedder(points.reference_x).shape == (300, 1)
    assert embedder.identity().startswith("function test_embedders.mean_brightness ")
    with pytest.raises(UserError, match=r"gives shape \[2, 1, 8, 8\] for points of shape \[2, 1, 8, 8\]"):
        EmbedderFunction(function="test_embedders.no_features").prepare(points, 0)
    with pytest.raises(UserError, match=r"model.function = 'math.sqrt': "):
        EmbedderFunction(function="math.sqrt").prepare(points, 0)
    with pytest.raises(ValueError, match="no function 'absent' in math"):
        EmbedderFunction(function="math.absent")
    with pytest.raises(ValueError, match="function = None: the dotted name"):
        EmbedderFunction()


class Counting:
    """x -> 2 x of flattened points; how often it was asked."""

    def __init__(self, name: str = "counting") -> None:
        self.name, self.sizes, self.prepared = name, [], 0

    def prepare(self, points: Points, seed: int) -> None:
        self.prepared += 1

    def identity(self) -> str:
        return self.name

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        assert not torch.is_grad_enabled()
        self.sizes.append(len(x))
        return 2 * x.float().flatten(1)


def test_features_are_computed_in_batches_once_and_read_after_that(points, tmp_path):
    first, second = Counting(), Counting()
    wanted = embed(points, first, tmp_path / "features", 0)
    assert first.sizes == [500, 100, 300]
    found = embed(points, second, tmp_path / "features", 0)
    assert (second.sizes, second.prepared) == ([], 1)
    for a, b, x in zip(found, wanted, (points.train_x, points.reference_x)):
        assert a.dtype == torch.float32
        assert torch.equal(a, b)
        assert torch.equal(a, 2 * x.float().flatten(1))


def test_other_points_and_another_embedder_are_a_miss(points, tmp_path):
    embed(points, Counting(), tmp_path, 0)
    changed = points.train_x.clone()
    changed[5, 0, 2, 2] += 1
    for other, name in ((points, "other"), (replace(points, train_x=changed), "counting")):
        embedder = Counting(name)
        found, _ = embed(other, embedder, tmp_path, 0)
        assert embedder.sizes
        assert torch.equal(found, 2 * other.train_x.float().flatten(1))
    assert len(list(tmp_path.iterdir())) == 3
    labels = Counting()
    embed(replace(points, train_y=points.train_y.flip(0)), labels, tmp_path, 0)
    assert not labels.sizes  # features do not depend on labels, but for what the embedder says


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "text", "swapped"])
def test_a_damaged_file_is_computed_again_and_kept_aside(damage, points, tmp_path):
    wanted = embed(points, Counting(), tmp_path, 0)
    (path,) = tmp_path.iterdir()
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[-7] ^= 1
    elif damage == "swapped":
        content = content.replace(b"[600, 64]", b"[64, 600]")
    path.write_bytes({"cut": content[:-40], "empty": b"", "text": b"[1, 2]\n"}.get(damage, bytes(content)))
    embedder = Counting()
    found = embed(points, embedder, tmp_path, 0)
    assert embedder.sizes
    assert (tmp_path / f"{path.name}.corrupt-1").exists()
    assert all(torch.equal(a, b) for a, b in zip(found, wanted))
    again = Counting()
    embed(points, again, tmp_path, 0)
    assert not again.sizes


def test_what_is_quicker_than_the_disk_is_not_kept_and_nan_is_one_line(points, tmp_path):
    found, reference = embed(points, Pixels(), tmp_path / "none", 0)
    assert (found.shape, reference.shape) == ((600, 64), (300, 64))
    assert not (tmp_path / "none").exists()

    class Broken(Counting):
        def __call__(self, x: torch.Tensor) -> torch.Tensor:
            out = super().__call__(x)
            if len(self.sizes) == 2:
                out[3, 1] = torch.nan
            return out

    with pytest.raises(UserError, match="the features of train point 503 are not finite"):
        embed(points, Broken(), tmp_path, 0)
    shutil.rmtree(tmp_path, ignore_errors=True)
