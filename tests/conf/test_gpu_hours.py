"""Hours at paper scale are counted from the networks: their layers' multiplications by hand, and a line for each setting."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import nn

from bench.run.build import build
from bench.run.paths import ROOT
from bench.run.sweep import of_experiment

sys.path.insert(0, str(ROOT / "scripts"))
import gpu_hours


def test_a_pass_is_what_its_layers_multiply(capsys):
    jobs = {job.names["dataset"]: job for job in of_experiment("dplora/budget", ("scale=mini",))}
    job = jobs["shape_celeba64"]
    total = [0]

    def count(module: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        weight = module.weight
        places = output[0, 0].numel() if isinstance(module, nn.Conv2d) else output[0, ..., 0].numel()
        total[0] += 2 * weight.numel() * places

    with torch.device("meta"):
        network = build("model", job.parts["model"], 3, 0, 32)
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.register_forward_hook(count)
        network(torch.empty(1, 3, 32, 32), torch.zeros(1, dtype=torch.long), None)
    blocks = ((5, 32, 128), (5, 16, 256), (6, 8, 512))  # with attention: how many, side, width
    attention = sum(count * 4 * side**4 * width for count, side, width in blocks)
    assert gpu_hours.forward(job) == pytest.approx(total[0] + attention, rel=1e-4)
    sys.argv = ["gpu_hours.py"]
    assert gpu_hours.main() == 0
    printed = capsys.readouterr().out
    for name in jobs:
        assert name.removeprefix("shape_") in printed


@pytest.mark.parametrize("name", ["shape_mnist", "shape_cifar10"])
def test_twice_the_images_are_twice_the_operations(name):
    job = next(job for job in of_experiment("dplora/budget", ("scale=mini",)) if job.names["dataset"] == name)
    one = gpu_hours.forward(job)
    gpu_hours.ROWS, before = 2 * gpu_hours.ROWS, gpu_hours.ROWS
    try:
        assert gpu_hours.forward(job) == pytest.approx(one, rel=1e-2)
    finally:
        gpu_hours.ROWS = before
