"""docs/private.md as it stands: its commands compose, its experiments are the paper's, its methods are those that there are."""

from __future__ import annotations

import re
import shlex

from conftest import ROOT

from bench.judge.papers import load_papers
from bench.run.options import options, read_yaml
from bench.run.paths import CONF

PAGE = (ROOT / "docs/private.md").read_text()


def test_the_commands_compose(job):
    commands = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.S) for line in block.strip().splitlines()]
    commands += re.findall(r"`(python run\.py [^`]*)`", PAGE)
    lines = [shlex.split(line, comments=True) for line in commands]
    runs = [line[2:] for line in lines if line[1] == "run.py" and not line[2].startswith("experiment=")]
    assert len(runs) >= 6
    assert {job(*line).names["task"] for line in runs} == {"generation", "private_budget", "private_step"}
    named = {line[2].partition("=")[2] for line in lines if line[2].startswith("experiment=")}
    assert {"dplora/step"} <= named <= set(options("experiment"))


def test_every_experiment_without_diffusion_training_stands_there():
    small = {"private_budget", "private_step", "low_rank_shift", "epoch_choice"}
    claims = [claim for _, claim, _ in load_papers("dplora")["dplora"].judged()]
    named = set(re.findall(r"`(dplora/\w+)`", PAGE))
    assert named <= set(options("experiment"))
    for experiment in {claim.experiment for claim in claims}:
        chosen = next(
            one for one in read_yaml(CONF / f"experiment/{experiment}.yaml")["defaults"] if "override /dataset" in one
        )
        task = read_yaml(CONF / f"dataset/{chosen['override /dataset']}.yaml")["defaults"][0]
        assert experiment in named or task["/task@_global_.task"] not in small, experiment


def test_its_methods_are_those_of_private_generation():
    table = PAGE[PAGE.index("| method |") : PAGE.index("A step draws")]
    named = set(re.findall(r"`(\w+)`", table))
    ours = {n for n in options("method") if "methods.private." in str(read_yaml(CONF / "method" / f"{n}.yaml"))}
    assert named == {name for name in ours if not name.endswith("_epoch")}
