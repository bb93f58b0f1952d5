"""Gradient descent on all layers at once, against automatic differentiation."""

from __future__ import annotations

import pytest
import torch
from conftest import final, whole_and_resumed

from bench.tasks.feature_learning.all_samples import step
from bench.tasks.feature_learning.two_layer import TwoLayer
from datasets.teachers.single_index import single_index
from methods.two_layer.all_layers import AllLayersGD

D, PATHS, COUNT, STEPS = 7, 2, 40, 4
QUICK = ["dataset=single_index", "dataset.d=[8,12]", "model.width=4", "task.ridge_samples=0", "task.test_samples=64"]


@pytest.mark.parametrize("bias", ["normal", "none"])
@pytest.mark.parametrize("output", ["mean", "root"])
def test_every_parameter_follows_its_gradient(output, bias):
    """Two settings of the step size in one batch, each path against plain gradient descent on W, a and b."""
    chosen = {"activation": "relu", "bias": bias, "second_layer": "gaussian", "output": output, "start": "uniform"}
    network, model, rates = TwoLayer(width=5, **chosen), single_index(d=D), torch.tensor([[0.5], [2.0]]).double()
    theta, seeds = model.directions([0, 1], 1, D), [0, 1]
    neurons = network.neurons(seeds, 1, D, model.target, torch.device("cpu"))
    start = network.weights(seeds, 1, D, theta)
    x, y = model.labelled(seeds, 1, D, 1, COUNT, theta)
    method = AllLayersGD(lr=rates, lr_power=1.0, fresh=False, steps=STEPS)
    dims = torch.full((PATHS, 1, 1), float(D), dtype=torch.float64)
    method.begin(neurons, model.target, dims)
    w = start.expand(2, -1, -1, -1)
    for _ in range(STEPS):
        w = step(method, w, x, y[:, None], x.square().sum(-1)[:, None], dims * 0)
    for g in range(2):
        for p in range(PATHS):
            b = torch.zeros(5, dtype=torch.float64) if bias == "none" else neurons.b[p, :, 0]
            leaves = [part.clone().requires_grad_() for part in (start[p], neurons.a[p, :, 0], b)]
            trained = leaves[: 2 if bias == "none" else 3]
            for _ in range(STEPS):
                f = neurons.scale * torch.relu(x[p] @ leaves[0].T + leaves[2]) @ leaves[1]
                gradients = torch.autograd.grad(((f - y[p]) ** 2).mean() / 2, trained)
                with torch.no_grad():
                    for leaf, gradient in zip(trained, gradients):
                        leaf -= float(rates[g]) / D / neurons.scale * gradient
            torch.testing.assert_close(w[g, p], leaves[0].detach())
            torch.testing.assert_close(method.neurons.a[g, p, :, 0], leaves[1].detach())
            if bias == "normal":
                torch.testing.assert_close(method.neurons.b[g, p, :, 0], leaves[2].detach())
    assert float((method.neurons.a - neurons.a).abs().max()) > 0.01


def test_a_stopped_run_goes_on_bit_for_bit(job, tmp_path):
    more = ["task.samples=[2,10]", "method.steps=5", "task.replicates=2", "seeds=[0,1]", "hardware=cpu"]
    whole, resumed = whole_and_resumed(job("method=all_layers_gd", *QUICK, *more), tmp_path, 3)
    assert resumed == whole


def test_each_number_of_samples_starts_from_untrained_layers(go):
    more = ["method=all_layers_gd", *QUICK, "method.steps=30", "method.lr=20.0"]
    (last,) = final(go(*more, "task.samples=[8,2]"))
    (alone,) = final(go(*more, "task.samples=[8]", root="alone"))
    assert last["train_error"] == pytest.approx(alone["train_error"], rel=1e-9)
    assert last["network_error"] == pytest.approx(alone["network_error"], rel=1e-9)
