"""Functions that a config names: their source says, before anything is computed, whether they can be called with one argument."""

from __future__ import annotations

import pytest

from bench.errors import UserError
from bench.run.signature import takes_one
from bench.run.targets import check_function

SOURCE = """
from functools import partial
from own_others import helper

SIZE = 3
ready = partial(print, "x")
short = lambda x: x


def one(x, scale=1.0): ...


def two(x, y): ...


def none(): ...


def starred(x, *, needed): ...


class Loop:
    def __init__(self, session, model): ...
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "own_functions.py").write_text(SOURCE)
    (tmp_path / "own_others.py").write_text("def helper(a, b): ...\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return "own_functions"


@pytest.mark.parametrize(("name", "fits"), [
    ("one", True), ("two", False), ("none", False), ("starred", False), ("helper", False), ("ready", None), ("short", None), ("Loop", None),
])  # fmt: skip
def test_a_function_s_source_tells_whether_one_argument_will_do(module, name, fits):
    assert takes_one(f"{module}.{name}") is fits


def test_a_library_s_function_is_not_read():
    assert takes_one("torch.nn.functional.relu") is None


@pytest.mark.parametrize(("name", "said"), [
    ("nothing", "no function 'nothing' in own_functions"),
    ("SIZE", "no function 'SIZE' in own_functions"),
    ("two", "a function of one argument is wanted"),
])  # fmt: skip
def test_what_is_no_such_function_is_refused_by_its_key(module, name, said):
    with pytest.raises(UserError, match=rf"^task\.probes = 'own_functions\.{name}': {said}"):
        check_function("task.probes", f"{module}.{name}", ["own_functions", "own_others"])
    check_function("task.probes", f"{module}.one", ["own_functions"])


@pytest.mark.parametrize("name", ["bench.tasks.classification.probes.BATCH", "bench.seeding.generator"])
def test_a_probe_that_is_none_ends_the_command_before_it_trains(job, name):
    with pytest.raises(UserError, match=rf"^task\.probes = '{name}': "):
        job("method=sgd", "dataset=digits", f"task.probes=[{name}]")
