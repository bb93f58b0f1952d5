"""Metrics against scikit-learn and a hand-made case."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.metrics import accuracy_score, log_loss

from bench.tasks.classification.metrics import ClassifierMetrics


def test_accuracy_and_nll_equal_scikit_learn_in_any_batching():
    g = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(500, 7, generator=g) * 3, torch.randint(7, (500,), generator=g)
    metrics = ClassifierMetrics(torch.device("cpu"))
    for part in (slice(0, 123), slice(123, 400), slice(400, 500)):
        metrics.update(logits[part], labels[part])
    read, p = metrics.read("test"), logits.double().softmax(1).numpy()
    np.testing.assert_allclose(read["test_accuracy"], accuracy_score(labels, p.argmax(1)))
    np.testing.assert_allclose(read["test_nll"], log_loss(labels, p, labels=range(7)), rtol=1e-9)


def test_ece_of_a_hand_made_case():
    """Four predictions at confidence 0.9, three right; six at 0.6, three right: 0.4 |0.75 - 0.9| + 0.6 |0.5 - 0.6| = 0.12."""
    p = torch.tensor([[0.9, 0.1]] * 4 + [[0.6, 0.4]] * 6)
    labels = torch.tensor([0, 0, 0, 1, 0, 0, 0, 1, 1, 1])
    metrics = ClassifierMetrics(torch.device("cpu"))
    metrics.update(p.log(), labels)
    np.testing.assert_allclose(metrics.read("x")["x_ece"], 0.12, atol=1e-6)


def test_certain_answers_share_the_last_bin_with_those_that_are_nearly_so():
    """Confidence 1 and wrong, 0.95 and right, both in (14/15, 1]: |(0 - 1) + (1 - 0.95)| / 2."""
    metrics = ClassifierMetrics(torch.device("cpu"))
    metrics.update(torch.tensor([[1000.0, 0.0], [np.log(19.0), 0.0]]), torch.tensor([1, 0]))
    np.testing.assert_allclose(metrics.read("x")["x_ece"], 0.475, rtol=1e-6)
