"""docs/vote.md as it stands: its commands compose, its methods are those that there are, its table of bytes is what is packed."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import ROOT, clean_env
from outside_made import made

from bench.models import resnet18
from bench.run.options import options, read_yaml
from bench.run.paths import CONF
from bench.tasks.vote_images.ballot import Ballot
from bench.tasks.vote_images.wire import Wire

PAGE = (ROOT / "docs/vote.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE, re.S)


def test_the_example_gives_the_same_numbers_in_one_process_and_in_two(tmp_path):
    assert BLOCKS[1].count("/tmp/") == 4
    found = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = clean_env() | {"PATH": found, "WANDB_MODE": "disabled"}
    command = ["bash", "-ec", BLOCKS[1].replace("/tmp/", f"{tmp_path}/")]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "on 2 processes" in done.stdout
    assert "taken" not in done.stdout


def test_the_commands_compose(job):
    lines = [shlex.split(line, comments=True) for block in BLOCKS for line in block.splitlines() if "run.py" in line]
    runs = [[word for word in line[line.index("run.py") + 1 :] if word != "hardware=ddp"] for line in lines]
    named = {line[0].partition("=")[2] for line in runs if line[0].startswith("experiment=")}
    assert named == {"ssvr/cifar100_vote", "ssvr/communication"} <= set(options("experiment"))
    assert {job(*line).names["task"] for line in runs if not line[0].startswith("experiment=")} == {"vote_images"}


def test_its_methods_are_those_that_serve_the_task():
    told = set(re.findall(r"`(\w+)`", PAGE[PAGE.index("Methods:") : PAGE.index("Their halves")]))
    assert told == {n for n in options("method") if "vote_images" in read_yaml(CONF / f"method/{n}.yaml")["tasks"]}


def test_its_table_of_bytes_is_what_is_packed():
    rows = re.findall(r"^\| (`.*?) \| ([\d.]+) \| ([\d.]+) \| 1 / ([\d.]+) \|$", PAGE, re.M)
    assert len(rows) == 5
    with torch.device("meta"):
        sizes = [p.numel() for p in resnet18(3, 100, 32).parameters()]
    for what, up, down, times in rows:
        for name in re.findall(r"`(\w+)`", what):
            keys = {"ties": "random"} if "random" in what and "ties" in read_yaml(CONF / f"method/{name}.yaml") else {}
            more = {"radius": None, "projection": None} if name == "ssvr_mv_stochastic" else {}
            ballot = Ballot(made(name, dataset="worker_quadratics", **keys, **more), sizes, Wire(4), 0)
            told = 4 * len(sizes) * ballot.asks
            assert (ballot.up.length + told) / 1e6 == pytest.approx(float(up), abs=0.006)
            assert (ballot.down.length + told) / 1e6 == pytest.approx(float(down), abs=0.006)
            assert 4 * 8 * sum(sizes) / ballot.bytes_a_step == pytest.approx(float(times), abs=0.05)
