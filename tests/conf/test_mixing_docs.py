"""docs/mixing.md as it stands: its commands compose, its Python runs, its methods are those that there are."""

from __future__ import annotations

import re
import shlex

from conftest import ROOT

from bench.run.options import options, read_yaml
from bench.run.paths import CONF

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
    found: dict = {}
    exec(re.search(r"```python\n(.*?)```", PAGE, re.S)[1], found)
    assert found["x"].shape == (32, 3, 32, 32)
    assert found["y"].shape == (32, 10)


def test_the_table_names_every_mixing_method():
    named = {name for row in re.findall(r"^\|.*\|$", PAGE, re.M) for name in re.findall(r"`(\w+)`", row)}
    ours = {n for n in options("method") if "methods.mixing." in read_yaml(CONF / "method" / f"{n}.yaml")["_target_"]}
    assert named == ours
