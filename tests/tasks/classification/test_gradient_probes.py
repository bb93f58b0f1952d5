"""Probes of the gradient's variance: the law at a network with its method's alpha, and what a row says."""

from __future__ import annotations

import pytest
import torch
from sklearn.datasets import make_moons
from torch import nn
from trained_networks import finished, images

from bench.models.small import mlp, small_cnn
from bench.tasks.classification import gradient_probes
from bench.tasks.classification.gradient_probes import batch_gradient_variance, gradient_variance, off_line
from bench.tasks.classification.note import NOTE


def on_moons(**method):
    points, y = make_moons(400, noise=0.15, random_state=0)
    x = torch.tensor((points + 2) * 50).clamp(0, 255).to(torch.uint8)[:, :, None, None]
    torch.manual_seed(0)
    return finished(mlp(2, 2, 1, hidden=[64]), x, torch.tensor(y), 2, **method)


def test_the_law_holds_and_alpha_is_the_method_s():
    rows = {alpha: gradient_variance(on_moons(alpha=alpha)) for alpha in (0.2, 2.0)}
    for row in rows.values():
        assert set(row) <= set(NOTE.metrics)
        assert row["gradient_variance_off_law"] < 0.03
        assert row["gradient_variance_off_line"] < 0.03
        parts = [row[f"gradient_variance_{name}"] for name in ("pairs", "lambda", "interaction")]
        assert row["gradient_variance_predicted_k5"] == pytest.approx(parts[0] + (parts[1] + parts[2]) / 5)
        assert row["gradient_variance_ratio_stratified_k5"] < row["gradient_variance_ratio_k5"]
        assert row["gradient_variance_ratio_k5"] == row["gradient_variance_k5"] / row["gradient_variance_k1"]
    assert rows[0.2]["gradient_variance_ratio_k5"] < rows[2.0]["gradient_variance_ratio_k5"] - 0.1


def test_a_method_without_alpha_counts_as_alpha_one(monkeypatch):
    monkeypatch.setattr(gradient_probes, "MOST", 256)
    assert gradient_variance(on_moons()) == gradient_variance(on_moons(alpha=1.0))


def test_batches_that_share_lambdas_gain_more_and_more_pairs_gain_most(monkeypatch):
    monkeypatch.setattr(gradient_probes, "DRAWS", 400)
    row = batch_gradient_variance(on_moons(alpha=1.0))
    assert set(row) <= set(NOTE.metrics)
    for name in ("batch_variance", "batch_variance_shared"):
        for k in (1, 5):
            assert row[f"{name}_k{k}"] == pytest.approx(row[f"{name}_predicted_k{k}"], rel=0.15)
        assert row[f"{name}_equal_compute"] < row[f"{name}_k5"] < row[f"{name}_k1"]


def test_a_network_is_left_in_training_mode_as_it_was(monkeypatch):
    """BatchNorm's statistics are not touched; dropout is off."""
    for name, value in (("MOST", 256), ("LEAST", 8), ("WORK", 1)):
        monkeypatch.setattr(gradient_probes, name, value)
    torch.manual_seed(0)
    model = nn.Sequential(small_cnn(3, 4, 8, width=3), nn.Dropout(0.5))
    trained = finished(model, images(40, 3, 8), torch.arange(40) % 4, 4, alpha=1.0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    row = gradient_variance(trained)
    assert row["gradient_variance_k20"] < row["gradient_variance_k1"]
    assert model.training
    assert model[0][1].training
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    assert all(p.grad is None for p in model.parameters())


def test_a_straight_line_in_one_over_k_is_no_distance_off():
    line = {k: 2 + 3 / k for k in (1, 2, 5, 10, 20)}
    assert off_line(line) == pytest.approx(0, abs=1e-12)
    assert off_line(line | {2: 4.2}) > 0.05
