"""Classifiers trained on synthetic images: what they find of real ones, and that real ones choose nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from bench.tasks.generation import downstream as module
from bench.tasks.generation.downstream import KINDS, downstream, fitted
from bench.tasks.generation.fitting import Fitting
from datasets.pairs.digits import private_digits

HOW = Fitting(epochs=6, batch_size=32, lr=3e-3)


@pytest.fixture(scope="module")
def pair():
    return private_digits("", 0)


def test_real_digits_as_synthetic_ones_teach_and_shuffled_labels_do_not(pair):
    held = pair.held_x, pair.held_y
    good = downstream((pair.private_x, pair.private_y), held, 5, 0, HOW)
    assert sorted(good) == ["accuracy_cnn", "accuracy_logreg", "accuracy_mlp"]
    assert min(good.values()) > 0.9
    mixed = pair.private_y[torch.randperm(len(pair.private_y), generator=torch.Generator().manual_seed(0))]
    bad = downstream((pair.private_x, mixed), held, 5, 0, HOW, ("logreg", "mlp"))
    assert max(bad.values()) < 0.5


def test_held_out_images_choose_nothing(pair, monkeypatch):
    """Other held-out images and labels: every classifier is bit for bit the same."""
    seen = []
    monkeypatch.setattr(module, "fitted", lambda *a: seen.append(fitted(*a)) or seen[-1])
    synthetic, short = (pair.private_x[:200], pair.private_y[:200]), Fitting(epochs=2)
    downstream(synthetic, (pair.held_x, pair.held_y), 5, 0, short)
    downstream(synthetic, (255 - pair.held_x, pair.held_y.flip(0)), 5, 0, short)
    assert [one.digest for one in seen[:3]] == [one.digest for one in seen[3:]]
    assert len({one.digest for one in seen}) == len(KINDS)
    assert fitted("mlp", *synthetic, 5, 1, short).digest != seen[1].digest


def test_the_epoch_is_the_first_best_on_the_synthetic_fifth(pair):
    """Three epochs at a large step, whose last is not the best."""
    x, y = pair.private_x[:300], pair.private_y[:300]
    seen = []
    share = module._share

    def watched(found, wanted):
        seen.append((len(wanted), share(found, wanted)))
        return seen[-1][1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_share", watched)
        one = fitted("mlp", x, y, 5, 0, Fitting(epochs=3, lr=0.3))
    assert [size for size, _ in seen] == [60] * 3
    accuracies = [value for _, value in seen]
    assert one.chosen_at == max(accuracies) > accuracies[-1]
    order = torch.randperm(300, generator=module.generator(0, "data", module.SPLIT))[:60]
    assert one.accuracy(x[order], y[order]) == max(accuracies)


def test_logistic_regression_is_scikit_learn_s_at_the_chosen_strength(pair):
    x, y = pair.private_x[:100], pair.private_y[:100]
    order = torch.randperm(100, generator=module.generator(0, "data", module.SPLIT))
    rows = (x.flatten(1).numpy() / 127.5 - 1).astype(np.float32)
    train, chosen_by = order[20:].numpy(), order[:20].numpy()
    scores = {}
    for strength in module.STRENGTHS:
        model = LogisticRegression(C=strength, max_iter=200).fit(rows[train], y.numpy()[train])
        scores[strength] = model.score(rows[chosen_by], y.numpy()[chosen_by]), model
    best = max(scores, key=lambda c: (scores[c][0], -c))
    one = fitted("logreg", x, y, 5, 0)
    assert one.chosen_at == scores[best][0]
    held = (pair.held_x.flatten(1).numpy() / 127.5 - 1).astype(np.float32)
    assert one.predict(pair.held_x).tolist() == scores[best][1].predict(held).tolist()


def test_too_little_to_learn_from(pair):
    for x, y in ((pair.private_x[:9], pair.private_y[:9]), (pair.private_x[:50], torch.zeros(50, dtype=torch.long))):
        with pytest.raises(ValueError, match="ten of two are needed"):
            fitted("mlp", x, y, 5, 0)
