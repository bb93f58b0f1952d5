"""Bad input: exit code 2 and one line that names the key, the value, what is allowed and the nearest spelling; nothing is run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, clean_env

SMALL = ["method=signsgd", "dataset=digits", "scale=smoke"]
CASES = {
    "unknown key on the command line": (["method.lrr=3"], ["method.lrr", "3", "did you mean 'lr'"]),
    "unknown appended key": (["+method.lrr=3"], ["method.lrr = 3", "unknown key", "allowed:", "did you mean 'lr'"]),
    "unknown top-level key": (["seds=[0]"], ["seds", "did you mean 'seeds'"]),
    "unknown appended top-level key": (["+seds=[0]"], ["seds", "did you mean 'seeds'"]),
    "wrong type": (["method.lr=fast"], ["method.lr = 'fast'", "number"]),
    "wrong type in the runner's keys": (["seeds=3"], ["seeds = 3", "list"]),
    "fractional epochs": (["task.epochs=1.5"], ["task.epochs = 1.5", "integer"]),
    "negative epochs": (["task.epochs=-1"], ["task.epochs = -1", "greater than 0"]),
    "missing value": (["method.lr=???"], ["method.lr", "missing value"]),
    "unknown method": (["method=ssrv"], ["method = 'ssrv'", "signsgd", "did you mean 'ssvr'"]),
    "unknown data set": (["dataset=cifar11"], ["dataset = 'cifar11'", "did you mean 'cifar10'"]),
    "unknown experiment": (["experiment=ssvr/cifar"], ["experiment = 'ssvr/cifar'", "did you mean 'ssvr/cifar10'"]),
    "unknown scale": (["scale=tiny"], ["scale = 'tiny'", "mini", "paper"]),
    "unknown device": (["hardware.device=gpu0"], ["hardware.device = 'gpu0'", "cuda"]),
    "misspelt precision": (["hardware.precision=bf15"], ["hardware.precision = 'bf15'", "did you mean 'bf16'"]),
    "repeated seeds": (["seeds=[1,1]"], ["seeds = [1, 1]", "distinct"]),
    "no seeds": (["seeds=[]"], ["seeds = []"]),
    "negative seed": (["seeds=[-1]"], ["seeds.0 = -1", "greater than or equal to 0"]),
    "value out of the constructor's range": (["method=ssvr", "method.beta=1.5"], ["beta"]),
    "pair that does not fit": (["method=sgd", "dataset=sine_quadratic", "method.lr=-1"], ["lr"]),
    "several values without a sweep": (["method=ssvr,signsgd"], ["-m"]),
    "unknown hyper-parameter in a task": (["task.epoch=3"], ["task.epoch", "did you mean 'epochs'"]),
    "batch larger than the data": (["task.batch_size=100000"], ["task.batch_size = 100000", "at most"]),
    "selection without validation data": (["task.selection=best_val"], ["dataset.val_size"]),
}


@pytest.mark.parametrize("name", CASES)
def test_one_line_and_exit_code_2(name, program, tmp_path):
    arguments, expected = CASES[name]
    done = program(*SMALL, *arguments)
    assert done.returncode == 2, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    for text in expected:
        assert text in lines[0], lines[0]
    assert not list((tmp_path / "results").rglob("result.json"))


@pytest.mark.skipif(__import__("bench.run.gpu", fromlist=["x"]).cuda_devices() > 0, reason="a GPU is here")
def test_cuda_asked_for_and_absent(program):
    done = program(*SMALL, "hardware=gpu", quiet=False)
    assert done.returncode == 2
    assert "hardware.device = 'cuda'" in done.stderr
    assert "hardware=cpu" in done.stderr


def test_unknown_key_inside_a_yaml(tmp_path):
    """A misspelt key in a method's file fails before any work, though Hydra alone would accept it."""
    import shutil

    for name in ("bench", "conf", "methods", "datasets"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "run.py", tmp_path)
    path = tmp_path / "conf/method/ssvr.yaml"
    path.write_text(path.read_text().replace("beta:", "betta:"))
    command = [sys.executable, str(tmp_path / "run.py"), "method=ssvr", "tracker=none"]
    done = subprocess.run(command, capture_output=True, text=True, env=clean_env(), timeout=60, check=False)
    assert done.returncode == 2
    assert "method.betta" in done.stderr
    assert "did you mean 'beta'" in done.stderr


def test_pair_that_does_not_fit_names_those_that_do(job, monkeypatch):
    from bench.errors import UserError
    from bench.run import config, notes

    brought = lambda name: "classification" if name in ("digits", "mnist") else "finite_sum"  # noqa: E731
    for module in (config, notes):
        monkeypatch.setattr(module, "task_of", brought)
    with pytest.raises(UserError) as caught:
        config._check_fit({"method": "mixup", "dataset": "least_squares", "task": "finite_sum"}, ["classification"])
    line = str(caught.value)
    assert "method 'mixup' trains a classifier" in line
    assert "'least_squares' is a stochastic or finite-sum objective" in line
    assert line.endswith("Data sets that fit: digits, mnist")


def test_validation_and_help_do_not_import_torch():
    code = (
        "import sys; sys.argv = ['run.py', 'task.epochs=-1']; import run; from bench.run.cli import run as cli\n"
        "assert cli(run.main, run.compare) == 2; sys.argv = ['run.py', '--help']; assert cli(run.main, run.compare) == 0\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env=clean_env(), timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_reader_that_leaves_the_help_is_no_error():
    """python run.py --help | head"""
    command, pipes = (
        [sys.executable, str(ROOT / "run.py"), "--help"],
        {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE},
    )
    with subprocess.Popen(command, env=clean_env(), **pipes) as helped:
        helped.stdout.close()
        assert (helped.stderr.read(), helped.wait(60)) == (b"", 0)


def test_help_lists_everything_with_a_sentence(program):
    text = program("--help").stdout
    for group in ("method", "dataset", "model", "hardware", "experiment"):
        for path in Path(ROOT / "conf" / group).rglob("*.yaml"):
            name = str(path.relative_to(ROOT / "conf" / group).with_suffix(""))
            line = next(row for row in text.splitlines() if row.strip().startswith(f"{name} "))
            assert len(line.split()) >= 4, line
    assert "mini" in text
    assert "paper" in text
