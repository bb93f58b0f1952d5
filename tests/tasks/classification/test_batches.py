"""Minibatches: every image at most once an epoch, a new order and new crops each epoch; and the epoch that a run ends with."""

from __future__ import annotations

import pytest
import torch
from conftest import result_of

from bench.run.curve import read_metrics
from bench.tasks.classification.augment import Augmenter
from bench.tasks.classification.batches import Batches

NUMBERED = torch.arange(50, dtype=torch.uint8)[:, None, None, None].expand(50, 1, 8, 8).contiguous()


def numbered(seed: int) -> Batches:
    """Images that are their own number, as are their labels."""
    return Batches(Augmenter(NUMBERED, [0.0], [1.0 / 255]), torch.arange(50), seed, 8)


@pytest.mark.parametrize("seed", [0, 1])
def test_every_epoch_is_a_new_order_of_different_images(seed):
    batches = numbered(seed)
    epochs = []
    for epoch in range(4):
        parts = [batches.get(epoch, index) for index in range(len(batches))]
        epochs.append(torch.cat([y for _, y in parts]))
        assert torch.equal(torch.cat([x[:, 0, 4, 4] for x, _ in parts]).round().long(), epochs[-1])
        assert len(epochs[-1].unique()) == len(epochs[-1]) == 48, "the incomplete minibatch is left out"
    for first in range(4):
        assert torch.equal(numbered(seed).get(first, 2)[1], epochs[first][16:24]), "whatever was asked for before"
        for second in range(first):
            assert (epochs[first] == epochs[second]).sum() < 12, "about one in fifty stays in place"
    assert not torch.equal(numbered(seed + 2).get(0, 0)[1], epochs[0][:8])


def test_crops_differ_between_epochs_and_minibatches():
    image = torch.randint(0, 256, (1, 1, 8, 8), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    images = Augmenter(image.repeat(64, 1, 1, 1), [0.5], [0.25], crop_padding=4)
    batches = Batches(images, torch.zeros(64, dtype=torch.long), 0, 32)
    crops = [batches.get(epoch, index)[0] for epoch in range(2) for index in range(2)]
    for k, one in enumerate(crops):
        for other in crops[:k]:
            assert (one == other).flatten(1).all(1).float().mean() < 0.2, "81 crops of one image"


def test_the_best_epoch_is_that_of_validation_images(go):
    """The final metrics are the row of the first largest validation accuracy, which here is neither the last nor the best on test images."""
    small = ["dataset=digits", "dataset.train_size=128", "dataset.val_size=64", "model=small_cnn", "task.batch_size=32"]
    (folder,) = go("method=sgd", *small, "method.lr=0.2", "task.epochs=9", "task.selection=best_val", "seeds=[0]")
    rows, found = read_metrics(folder), result_of(folder)["metrics"]
    best = max(rows, key=lambda row: row["val_accuracy"])
    assert {name: found[name] for name in ("epoch", "val_accuracy", "test_accuracy", "train_loss")} == {
        name: best[name] for name in ("epoch", "val_accuracy", "test_accuracy", "train_loss")
    }
    others = {max(rows, key=lambda row: row["test_accuracy"])["epoch"], rows[-1]["epoch"]}
    assert best["epoch"] not in others, "or this would tell nothing"
