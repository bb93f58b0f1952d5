"""Each example runs alone and prints what its docstring promises; none is long or needs the runner."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path

import forks
import pytest
from conftest import ROOT, clean_env

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


ONE_THREAD = "import runpy, sys, torch; torch.set_num_threads(1); runpy.run_path(sys.argv[1], run_name='__main__')"


@pytest.fixture
def printed(tmp_path: Path) -> Callable[[str], list[str]]:
    """The lines of a run on one thread, from an empty folder that stays empty; nothing else is said."""

    def run(name: str) -> list[str]:
        done = forks.python(["-c", ONE_THREAD, ROOT / f"examples/{name}.py"], clean_env(), cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert not list(tmp_path.iterdir())
        lines = done.stdout.splitlines()
        assert 2 <= len(lines) <= 3
        return lines

    return run


def number(line: str, after: str) -> float:
    return float(re.search(re.escape(after) + r" (-?\d[\d.e+-]*)", line)[1])


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_a_short_loop_without_the_runner(path):
    text = path.read_text()
    assert len(text.splitlines()) < 40
    tree = ast.parse(text)
    assert len(re.findall(r"[.?!](?:\s|$)", ast.get_docstring(tree))) <= 2, "one or two sentences"
    assert not re.search(r"\bbench\.run\b|\bhydra\b|\bconf\b", text)
    assert f"`examples/{path.name}`" in (ROOT / "README.md").read_text()


def test_every_example_is_tested_below():
    tested = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    assert {path.stem for path in EXAMPLES} <= tested


def test_ssvr(printed):
    lines = printed("ssvr")
    assert [line.split(",")[0] for line in lines] == ["SSVR", "SignSGD", "SignSGD"]
    assert all(0.8 < number(line, "accuracy") <= 1 for line in lines)


def test_multimix(printed):
    plain, mixup, several = (number(line, "accuracy") for line in printed("multimix"))
    assert plain < min(mixup, several) <= 1


def test_sava(printed):
    area, lowest = printed("sava")
    assert 0.8 < number(area, "curve") <= 1
    assert number(lowest, "values") > 20  # of 100, as many as chance finds


def test_budget(printed):
    shared, own = printed("budget")
    split = re.compile(r"(\d+) examples x (\d+) draws")
    sizes = [tuple(map(int, split.search(line).groups())) for line in (shared, own)]
    assert all(b * m == 256 for b, m in sizes)
    assert sizes[0][0] < sizes[1][0] == 256  # only draws of their own make every further example worth its gradient
    assert all(number(line, "variance") < number(line, "split has") for line in (shared, own))


def test_portfolio(printed):
    for line, name in zip(printed("portfolio"), ("EGAB-N", "EG", "buy and hold")):
        assert line.startswith(f"{name}: ")
        assert 0 < number(line, "costs") < number(line, "wealth")


def test_dplora(printed):
    spent, learnt = printed("dplora")
    assert number(spent, "delta") == 1e-4
    assert 0 < number(spent, "epsilon") <= 5
    before, after = re.findall(r"(\d\.\d+) (?:before|after)", learnt)
    assert float(after) < float(before)
