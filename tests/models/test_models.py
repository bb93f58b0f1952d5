"""Networks: published sizes, published weights, any image size."""

from __future__ import annotations

import pytest
import torch
from conftest import DATA

import bench.models as models
from bench.errors import UserError
from bench.models.cifar_resnet import PUBLISHED_MEAN, PUBLISHED_STD, load_published
from bench.tasks.classification.augment import Augmenter
from bench.tasks.classification.metrics import ClassifierMetrics

MORE = {"mlp": {"hidden": [32]}, "small_cnn": {"width": 8}, "wrn28_10": {"dropout": 0.0}}
SIZES = {
    "resnet20": 269_722,
    "resnet56": 853_018,
    "resnet18": 11_173_962,
    "preact_resnet18": 11_172_170,
    "wrn28_10": 36_479_194,
}


def build(name: str, channels: int, classes: int, size: int) -> torch.nn.Module:
    return getattr(models, name)(channels, classes, size, **MORE.get(name, {}))


@pytest.mark.parametrize("name", SIZES)
def test_parameter_counts_are_the_published_ones(name):
    with torch.device("meta"):
        assert sum(p.numel() for p in build(name, 3, 10, 32).parameters()) == SIZES[name]


@pytest.mark.parametrize(("channels", "size"), [(1, 8), (1, 28), (3, 32)])
@pytest.mark.parametrize("name", [n for n in models.__all__ if n != "wrn28_10"])
def test_logits_for_every_image_size(name, channels, size):
    out = build(name, channels, 7, size)(torch.randn(2, channels, size, size))
    assert out.shape == (2, 7)
    assert out.std() > 0


@pytest.mark.data
@pytest.mark.skipif(
    not (DATA / "resnet_cifar10").is_dir(), reason=f"no published weights in {DATA.name}/resnet_cifar10"
)
def test_the_published_resnet20_scores_91_73_percent():
    from datasets.images.cifar import cifar10

    data = cifar10(str(DATA), 0)
    images = Augmenter(data.test_x, PUBLISHED_MEAN, PUBLISHED_STD)
    model, metrics = load_published(DATA).eval(), ClassifierMetrics(torch.device("cpu"))
    torch.set_num_threads(2)
    with torch.no_grad():
        for start in range(0, 10_000, 1000):
            metrics.update(model(images.plain(torch.arange(start, start + 1000))), data.test_y[start : start + 1000])
    assert round(100 * metrics.read("test")["test_accuracy"], 2) == 91.73


def test_missing_weights_say_where_it_looked(tmp_path):
    with pytest.raises(UserError, match=r"resnet20-12fca82f\.th"):
        load_published(tmp_path)
    with pytest.raises(UserError, match="depth = 18"):
        load_published(tmp_path, 18)
