"""Probes of the gradient's variance: the law at a network with its method's alpha, and what a row says."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn.datasets import make_moons
from torch import nn
from trained_networks import finished, images

from bench.models.small import mlp, small_cnn
from bench.tasks.classification import gradient_probes
from bench.tasks.classification.gradient_probes import (
    batch_gradient_variance,
    gradient_variance,
    mixup_loss,
    off_line,
)
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


def test_ratios_are_those_of_the_variances_that_they_name(monkeypatch):
    monkeypatch.setattr(gradient_probes, "DRAWS", 200)
    monkeypatch.setattr(gradient_probes, "MOST", 512)
    trained = on_moons(alpha=1.0)
    row, batches = gradient_variance(trained), batch_gradient_variance(trained)
    of_k = [row[f"gradient_variance_k{k}"] for k in (1, 2, 5, 10, 20)]
    assert row["gradient_variance_rise"] == pytest.approx(max(b / a for a, b in pairwise(of_k)))
    stratified = row["gradient_variance_ratio_stratified_k5"] * of_k[0]
    assert row["gradient_variance_stratified_gain"] == pytest.approx(stratified / of_k[2])
    ratios = []
    for name in ("batch_variance", "batch_variance_shared"):
        one, five = (batches[f"{name}_k{k}"] for k in (1, 5))
        ratios.append(five / one)
        assert batches[f"{name}_ratio_k5"] == pytest.approx(five / one)
        assert batches[f"{name}_equal_compute_ratio"] == pytest.approx(batches[f"{name}_equal_compute"] / five)
    assert batches["batch_variance_shared_gain"] == pytest.approx(ratios[1] / ratios[0])
    off = [
        abs(batches[f"{name}_k{k}"] / batches[f"{name}_predicted_k{k}"] - 1)
        for name in ("batch_variance", "batch_variance_shared")
        for k in (1, 5)
    ]
    assert batches["batch_variance_off_law"] == pytest.approx(max(off))


@pytest.mark.parametrize("n", [20, 200])
def test_the_expected_loss_is_that_of_all_pairs_and_lambdas(n):
    """Against numpy: a linear network, all ordered pairs, lambda by Gauss-Legendre on [0, 1] (alpha = 1); of many images a sample of pairs."""
    points, y = make_moons(n, noise=0.15, random_state=0)
    x = torch.tensor((points + 2) * 50).clamp(0, 255).to(torch.uint8)[:, :, None, None]
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2))
    trained = finished(model, x, torch.tensor(y), 2, alpha=1.0)
    seen = trained.images.plain(torch.arange(n)).flatten(1).double().numpy()
    weight, bias = (p.detach().double().numpy() for p in model[1].parameters())
    logits, onehot = seen @ weight.T + bias, np.eye(2)[y]
    nodes, weights = np.polynomial.legendre.leggauss(24)
    total = 0.0
    for t, w in zip((nodes + 1) / 2, weights / 2):
        mixed = t * logits[:, None] + (1 - t) * logits[None]
        targets = t * onehot[:, None] + (1 - t) * onehot[None]
        logs = mixed - np.log(np.exp(mixed).sum(-1, keepdims=True))
        total += w * -(targets * logs).sum(-1).mean()
    found = mixup_loss(trained)
    assert set(found) <= set(NOTE.metrics)
    assert found["mixup_loss"] == pytest.approx(total, rel=2e-3 if n == 20 else 2e-2)
    assert model.training
