"""docs/mixing.md as it stands: its commands compose, its Python runs, its methods are those that there are."""

from __future__ import annotations

import re
import shlex
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from conftest import ROOT

from bench.run.options import options, read_yaml
from bench.run.paths import CONF
from methods.mixing.pairs import draw_order
from methods.sign.baselines import SGD

PAGE = (ROOT / "docs/mixing.md").read_text()


def test_the_commands_compose(job, program):
    lines = re.search(r"```sh\n(.*?)```", PAGE, re.S)[1].strip().splitlines()
    for line in lines:
        words = shlex.split(line, comments=True)
        assert words[:2] == ["python", "run.py"]
        if words[2] == "-m":
            done = program(*words[2:], "dataset.train_size=128", "scale=smoke")
            assert done.returncode == 0, done.stderr
        else:
            assert job(*words[2:]).names["task"] == "classification"


def test_the_commands_that_measure_and_that_show_images_compose(job):
    for block, task in zip(
        re.findall(r"```sh\n(.*?)```", PAGE, re.S)[1:], ("classification", "mixed_images"), strict=True
    ):
        for line in block.strip().splitlines():
            assert job(*shlex.split(line, comments=True)[2:]).names["task"] == task


def test_the_python_runs():
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    found: dict = {}
    exec(blocks[0], found)
    assert found["x"].shape == (32, 3, 32, 32)
    assert found["y"].shape == (32, 10)
    exec(blocks[1], found)
    assert found["loss"].isfinite()


def test_a_rule_of_one_s_own_trains():
    found: dict = {}
    exec(re.findall(r"```python\n(.*?)```", PAGE, re.S)[2], found)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 4))
    method = found["Halves"](model.parameters(), model, optimizer=partial(SGD, lr=0.1))
    x, y = torch.rand(6, 1, 8, 8), torch.arange(6) % 4
    order = draw_order(6, torch.Generator().manual_seed(3))
    ((loss, images),) = method.losses(model, x, y, F.cross_entropy, torch.Generator().manual_seed(3))
    mixed = torch.cat([x[..., :4], x[order][..., 4:]], -1)
    both = [F.cross_entropy(model(mixed), labels) for labels in (y, y[order])]
    assert loss.item() == pytest.approx(sum(both).item() / 2, rel=1e-5)
    assert images == 6


def test_the_table_names_every_mixing_method():
    named = {name for row in re.findall(r"^\|.*\|$", PAGE, re.M) for name in re.findall(r"`(\w+)`", row)}
    ours = {n for n in options("method") if "methods.mixing." in read_yaml(CONF / "method" / f"{n}.yaml")["_target_"]}
    assert named == ours
