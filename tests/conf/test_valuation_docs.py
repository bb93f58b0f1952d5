"""docs/valuation.md: its six lines and its commands, run as they stand; the corruptions that it lists are those there are."""

from __future__ import annotations

import inspect
import re
import typing

import numpy as np
import pytest
from conftest import ROOT
from transport_points import problem

from bench.run.options import options, read_yaml
from datasets.valuation.noisy_images import noisy_images

PAGE = (ROOT / "docs/valuation.md").read_text()
LINES = re.search(r"```python\n(import numpy.*?)```", PAGE, re.S)[1]
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.S) for line in block.splitlines()]


@pytest.fixture
def mine(tmp_path):
    """The reader's file."""
    p = problem()
    names = ("features", "labels", "reference_features", "reference_labels")
    np.savez(tmp_path / "mine.npz", **dict(zip(names, (p.x, p.y, p.reference_x, p.reference_y))))
    return tmp_path / "mine.npz"


def test_the_lines_of_the_page_run(mine, monkeypatch):
    assert len([line for line in LINES.splitlines() if line]) <= 6
    monkeypatch.chdir(mine.parent)
    found: dict = {}
    exec(LINES, found)
    assert found["values"].shape == (120,)
    assert found["suspects"].shape == (100,)
    assert float(found["values"][found["suspects"][0]]) == float(found["values"].min())


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_of_the_page_runs(line, mine, program, tmp_path):
    arguments = line.replace("mine.npz", str(mine)).removeprefix("python run.py ").split()
    done = program("scale=smoke", "tracker=none", *arguments)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "results").rglob("values.csv"))) == 1
    assert len(list((tmp_path / "results").rglob("sheet.png"))) == ("digits" in line)


def test_the_page_lists_the_corruptions_and_data_sets_there_are():
    told = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", PAGE, re.M))))
    types = typing.get_type_hints(noisy_images, include_extras=True)
    assert "corruption" in inspect.signature(noisy_images).parameters
    assert set(typing.get_args(types["corruption"])) <= told
    own = {name for name in options("dataset") if "datasets.valuation" in str(read_yaml_of(name).get("_target_"))}
    assert own - told <= {"gaussian_sum"}


def read_yaml_of(name: str) -> dict:
    return read_yaml(ROOT / f"conf/dataset/{name}.yaml")
