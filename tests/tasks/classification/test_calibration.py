"""Probes of confidence against scikit-learn, hand-made cases and the task's own calibration error."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import top_k_accuracy_score
from torch import nn
from trained_networks import finished, images

from bench.tasks.classification.calibration import adaptive_ece, equal_mass_ece, reliability, top5_accuracy
from bench.tasks.classification.metrics import ClassifierMetrics
from bench.tasks.classification.note import NOTE
from bench.tasks.classification.probes import test_logits as logits_of


def trained(classes: int = 8, n: int = 203):
    torch.manual_seed(1)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, classes), nn.Dropout(0.5))
    y = torch.randint(classes, (n,), generator=torch.Generator().manual_seed(4))
    return finished(model, images(n, 3, 2), y, classes)


def test_equal_masses_by_hand():
    """Sorted: 0.5 right and 0.6 wrong, 0.8 right and 0.9 right: |1 - 1.1| / 4 + |2 - 1.7| / 4."""
    confidence = torch.tensor([0.9, 0.5, 0.8, 0.6], dtype=torch.float64)
    correct = torch.tensor([True, True, True, False])
    assert equal_mass_ece(confidence, correct, bins=2) == pytest.approx(0.1)
    assert equal_mass_ece(confidence, correct, bins=1) == pytest.approx(0.05)


def test_adaptive_ece_is_numpy_s_over_sorted_parts():
    made = trained()
    p = logits_of(made).double().softmax(1).numpy()
    confidence, right = p.max(1), p.argmax(1) == made.data.test_y.numpy()
    parts = np.array_split(np.argsort(confidence, kind="stable"), 15)
    wanted = sum(len(b) / 203 * abs(confidence[b].mean() - right[b].mean()) for b in parts)
    assert adaptive_ece(made) == {"test_adaptive_ece": pytest.approx(wanted)}
    assert {len(b) for b in parts} == {13, 14}
    assert made.model.training


def test_the_diagram_holds_the_task_s_calibration_error():
    made = trained()
    found = reliability(made)
    bins = [name[-2:] for name in found if name.startswith("reliability_share")]
    shares = [found[f"reliability_share_{b}"] for b in bins]
    gaps = [abs(found[f"reliability_accuracy_{b}"] - found[f"reliability_confidence_{b}"]) for b in bins]
    own = ClassifierMetrics(torch.device("cpu"))
    own.update(logits_of(made), made.data.test_y)
    assert sum(shares) == pytest.approx(1)
    assert np.dot(shares, gaps) == pytest.approx(own.read("test")["test_ece"])
    assert 2 < len(bins) < 15, "empty bins are left out"
    for b in bins:
        assert (int(b) - 1) / 15 < found[f"reliability_confidence_{b}"] <= int(b) / 15
    assert set(found) <= set(NOTE.metrics)


def test_top_five_is_scikit_learn_s():
    made = trained()
    wanted = top_k_accuracy_score(made.data.test_y, logits_of(made).numpy(), k=5, labels=range(8))
    assert top5_accuracy(made) == {"test_top5_accuracy": pytest.approx(wanted)}
    assert top5_accuracy(trained(classes=5)) == {}, "always one"
