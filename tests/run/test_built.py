"""A method's key that holds another method: chosen as an option, its keys typed, its code part of the run."""

from __future__ import annotations

import re

import pytest

from bench.run.build import build
from bench.run.codehash import files_of
from bench.run.config import code_names
from methods.sign.baselines import AdamW

LINE = ("method=multimix", "dataset=digits", "scale=smoke")


def test_it_is_chosen_as_an_option_and_its_keys_are_typed(job):
    made = job(*LINE, "method@method.optimizer=adamw", "method.optimizer.lr=1")
    node = made.parts["method"]["optimizer"]
    assert node["_target_"] == "methods.sign.baselines.AdamW"
    assert "tasks" not in node
    assert node["lr"] == 1.0
    assert isinstance(node["lr"], float)
    assert made.get("method.optimizer.lr") == 1.0
    assert made.key == job(*LINE, "method@method.optimizer=adamw", "method.optimizer.lr=1.0").key
    assert made.key != job(*LINE, "method@method.optimizer=adamw", "method.optimizer.lr=2.0").key
    assert made.key != job(*LINE, "method@method.optimizer=sgd", "method.optimizer.lr=1").key


def test_its_code_is_the_run_s(job):
    plain, other = (job(*LINE, f"method@method.optimizer={name}") for name in ("sgd", "ssvr"))
    assert "methods.sign.ssvr.SSVR" in code_names(other.parts)
    assert plain.code != other.code
    files = {path.name for path in files_of(name.rpartition(".")[0] for name in code_names(other.parts))}
    assert {"interpolated.py", "ssvr.py"} <= files


def test_the_constructor_is_given_a_function_that_builds_it(job):
    import torch

    parts = job(*LINE, "method@method.optimizer=adamw", "method.optimizer.weight_decay=0.25").parts
    method = build("method", parts["method"], [torch.nn.Parameter(torch.zeros(2))])
    assert isinstance(method.optimizer, AdamW)
    assert method.param_groups[0]["weight_decay"] == 0.25


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("method.optimizer.lrr=1", r"method\.optimizer\.lrr = '1': unknown key; allowed: .*did you mean 'lr'"),
        ("method.optimizer.lr=-1", r"method\.optimizer\.lr = -1: must be greater than 0"),
        ("method.optimizer.momentum=high", r"method\.optimizer\.momentum = 'high': must be a number"),
        ("method.optimizer=adamw", r"method\.optimizer = 'adamw': .*method@method\.optimizer=adamw"),
        ("method@method.optimizer=adamww", r"'adamww': unknown; .*did you mean 'adamw'"),
        ("method@method.optimizer=olmar1", r"method\.optimizer: a method for portfolio; task 'classification'"),
        ("method.optimizer._target_=os.system", r"method\.optimizer\._target_ = 'os.system'.*not in bench"),
        ("~method.optimizer", r"method\.optimizer: missing value"),
    ],
)
def test_what_does_not_fit_is_one_line(override, told, program):
    done = program(*LINE, override)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert re.search(told, done.stderr), done.stderr


def test_a_sweep_goes_over_methods_and_what_they_hold(program):
    done = program(
        "-m", "method=mixup,unmixed", "method@method.optimizer=adamw,ssvr", *LINE[1:], "dataset.train_size=128"
    )
    assert done.returncode == 0, done.stderr


def test_methods_are_swept_under_another_optimizer(program):
    """The default method of the command line holds no optimizer."""
    done = program("-m", "method=mixup,unmixed", "method@method.optimizer=ssvr", *LINE[1:], "dataset.train_size=128")
    assert done.returncode == 0, done.stderr
