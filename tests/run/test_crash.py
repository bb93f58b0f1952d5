"""What a crash leaves: a line that names error.json, the exception and the person's own line; the traceback as lines, printed when asked for."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import forks
import pytest
from conftest import CRASH, QUIET, clean_env, seed_folders

from bench.errors import UserError
from bench.run.crash import crash_line, own_line, traceback_lines
from bench.run.loading import load
from bench.run.runner import in_words

LINE = ["method=signsgd", "dataset=digits", "scale=smoke", *QUIET]
OWN = """
def step(x):
    return inner(x)


def inner(x):
    return [0][x]
"""


def crash(tmp_path: Path, **env: str):
    return forks.run([*LINE, f"results_root={tmp_path / 'results'}"], clean_env() | env, prelude=CRASH)


def test_one_line_names_the_exception_and_error_json(tmp_path):
    done = crash(tmp_path)
    assert done.returncode == 1
    (folder,) = seed_folders(tmp_path)
    line = done.stderr.splitlines()[-1]
    assert line.startswith("failed: seed 0: RuntimeError: planted")
    assert line.endswith(f"; see {folder / 'error.json'}")
    content = json.loads((folder / "error.json").read_text())
    assert content["traceback"][0] == "Traceback (most recent call last):"
    assert content["traceback"][-1] == "RuntimeError: planted"
    assert content["error"].startswith("RuntimeError: planted (")


def test_the_traceback_is_printed_when_asked_for(tmp_path):
    done = crash(tmp_path, HYDRA_FULL_ERROR="1")
    assert done.returncode == 1
    assert "Traceback (most recent call last):" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("failed: seed 0: RuntimeError: planted")
    quiet = crash(tmp_path, HYDRA_FULL_ERROR="0")
    assert "Traceback" not in quiet.stderr


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A module of a person's own."""
    (tmp_path / "own_module.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path / "own_module.py"
    sys.modules.pop("own_module", None)


def test_the_innermost_line_of_the_person_s_file(own):
    """Not the line of the library that it called, nor of the runner that called it."""
    with pytest.raises(IndexError) as caught:
        load("own_module.step")(3)
    assert own_line(caught.value) == f"{own}:7"
    assert crash_line(caught.value) == f"IndexError: list index out of range ({own}:7)"
    assert traceback_lines(caught.value)[-1] == "IndexError: list index out of range"
    own.write_text("import json\n\n\ndef step(x):\n    return json.loads(x)\n")
    sys.modules.pop("own_module")
    with pytest.raises(ValueError, match="Expecting") as caught:
        load("own_module.step")("[")
    assert own_line(caught.value) == f"{own}:5"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (
            "\nimport nothing_here\n",
            r":2: No module named 'nothing_here'; install 'nothing_here', or correct the import",
        ),
        ("from os import nothing_here\n", r":1: cannot import name 'nothing_here' from 'os'"),
        ("import json\ndef step(:\n", r":2: invalid syntax"),
    ],
)
def test_a_file_that_cannot_be_imported_says_where(own, source, said):
    own.write_text(source)
    with pytest.raises(UserError, match=said) as caught:
        load("own_module.step")
    assert str(caught.value).startswith(str(own))


@pytest.mark.parametrize("target", ["nothing_here.step", "own_module.nothing", "own_module.inner.step"])
def test_what_is_not_there(own, target):
    with pytest.raises(UserError, match="no such class or function"):
        load(target)


def test_seeds_that_fell_over_the_same_line_are_named_together():
    assert in_words({3: "a", 0: "b", 1: "b", 2: "b"}) == "seeds 0-2: b; seed 3: a"
